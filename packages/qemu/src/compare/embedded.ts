import { type Checkpoint, FairChooser, Kernel, PhysicalBus, type Setting, ThreadedInterrupt } from '@iommukit/kernel';
import type { IommuHardwareModule } from '@iommukit/machine';
import type { Downstream, Link, TranslationAgent } from '@iommukit/pci-ats';
import type { Answers, CaseDevice, CaseStep, CompareCase, Performer } from './case-format.js';
import { changedWords, type Hands, Observations, performSteps, storedWords } from './lower.js';
import { type CompareMachine, compareMachine } from './machine.js';

/** A model of an IOMMU, and how its capabilities follow from its identification registers. */
export interface EmbeddedHardware {
  readonly module: IommuHardwareModule;
  capabilitiesFrom(read: (offset: number, name: string) => number): object;
}

/** The 32-bit words of a case's identification registers. */
function wordsOfIdentification(what: CompareCase, machine: CompareMachine): (offset: number, name: string) => number {
  return (offset, name) => {
    const { offset: first } = machine.registers[name]!;
    return Number((what.identification[name]! >> BigInt((offset - first) * 8)) & 0xffff_ffffn);
  };
}

/** Performs cases on embedded models. A machine is made once for each kind, and put back as it was before every case. */
export class EmbeddedPerformer implements Performer {
  readonly name = 'embedded';
  readonly hardware: Readonly<Record<string, EmbeddedHardware>>;
  readonly machines = new Map<string, EmbeddedHands>();

  /** `hardware` by backend. */
  constructor(hardware: Readonly<Record<string, EmbeddedHardware>>) {
    this.hardware = hardware;
  }

  perform(what: CompareCase): Answers {
    const machine = compareMachine(what.machine)!;
    const hands = this.machineOf(what, machine);
    hands.begin(what);
    performSteps(what, machine, hands);
    const steps = hands.observations.done.map((step) => machine.meaningful(step));
    const end = steps.pop() ?? {};
    hands.bus.memory.read(machine.arena.base, hands.bytes);
    return machine.finished(what, {
      steps,
      end,
      memory: changedWords(hands.bytes, storedWords(what, machine), machine.arena.base),
    });
  }

  machineOf(what: CompareCase, machine: CompareMachine): EmbeddedHands {
    const key = [what.machine, ...Object.values(what.identification)].join(' ');
    let hands = this.machines.get(key);
    if (hands === undefined) {
      hands = new EmbeddedHands(machine, this.hardware[machine.backend]!, what);
      this.machines.set(key, hands);
    }
    return hands;
  }
}

/** Keeps what is sent down. */
class CaseLink implements Link {
  readonly stream: number;
  readonly kernel: Kernel;
  last: Downstream | null = null;

  constructor(kernel: Kernel, stream: number) {
    this.kernel = kernel;
    this.stream = stream;
  }

  up(): never {
    throw new Error('accesses of cases go to the IOMMU at once');
  }

  down(tlp: Downstream) {
    this.last = tlp;
    return this.kernel.done(undefined);
  }

  remove(): void {}
}

const PATTERN = [0x78, 0x56, 0x34, 0x12] as const;
const PAGE = 4096;

class EmbeddedHands implements Hands {
  readonly kernel = new Kernel();
  readonly bus: PhysicalBus;
  readonly iommu: TranslationAgent;
  readonly links: Readonly<Record<CaseDevice, CaseLink>>;
  observations = new Observations();
  readonly machine: CompareMachine;
  readonly atRest: Checkpoint;
  /** The arena. */
  readonly bytes: Uint8Array;
  /** edu's buffer. */
  readonly buffer = new Uint8Array(PAGE);
  readonly out = new Uint32Array(2);

  constructor(machine: CompareMachine, hardware: EmbeddedHardware, what: CompareCase) {
    const { kernel } = this;
    this.machine = machine;
    this.bytes = new Uint8Array(machine.arena.bytes);
    this.bus = new PhysicalBus(kernel, machine.ram);
    const place = {
      kernel,
      bus: this.bus,
      name: what.machine,
      base: machine.base,
      bytes: 0x2_0000,
      capabilities: {
        ...(hardware.capabilitiesFrom(wordsOfIdentification(what, machine)) as Readonly<Record<string, Setting>>),
        ...machine.assumed,
      },
      irq: (name: string) => new ThreadedInterrupt(kernel, name),
    };
    this.iommu = hardware.module.create(place, {});
    const link = (device: CaseDevice): CaseLink => {
      const made = new CaseLink(kernel, machine.devices[device]);
      this.iommu.connect(made);
      return made;
    };
    this.links = { edu: link('edu'), testdev: link('testdev') };
    this.settle();
    this.atRest = kernel.checkpoints.take();
  }

  /** Everything is as after the start, and the case's words are in memory. */
  begin(what: CompareCase): void {
    this.atRest.restore();
    this.observations = new Observations();
    this.buffer.fill(0);
    for (const { address, words } of what.memory) this.store(address, words);
  }

  settle(): void {
    this.kernel.begin(new FairChooser());
    const outcome = this.kernel.run();
    if (outcome.end !== 'finished') throw new Error(`the embedded machine ended with ${outcome.end}`);
  }

  write(address: number, bytes: 4 | 8, value: bigint): void {
    const [lo, hi] = [Number(value & 0xffff_ffffn), Number(value >> 32n)];
    if (bytes === 8) this.bus.store64(address, lo, hi);
    else this.bus.store32(address, lo);
    this.settle();
  }

  store(address: number, words: readonly bigint[]): void {
    words.forEach((word, i) => {
      this.bus.store64(address + i * 8, Number(word & 0xffff_ffffn), Number(word >> 32n));
    });
  }

  dma({ device, access, iova, bytes }: Extract<CaseStep, { do: 'dma' }>): void {
    const link = this.links[device];
    const { iommu } = this;
    const page = Number(iova >> 12n);
    const offset = Number(iova & 0xfffn);
    const common = { at: 0, tag: 1, pasid: -1, page, offset, witness: 0 } as const;
    const data =
      device === 'edu' ? this.buffer.slice(0, bytes) : Uint8Array.from({ length: bytes }, (_, i) => PATTERN[i & 3]!);
    link.last = null;
    this.kernel.spawn('device', function* () {
      yield* iommu.receive(
        link,
        access === 'read' ? { kind: 'read', bytes, ...common } : { kind: 'write', data, ...common },
      );
    });
    this.settle();
    const answer = link.last as Downstream | null;
    const ok = answer?.kind === 'completion' && answer.status === 'ok';
    if (access === 'read') {
      this.buffer.fill(0, 0, bytes);
      if (ok && answer.kind === 'completion') this.buffer.set(answer.data.subarray(0, bytes));
    }
    if (device === 'testdev') this.observations.set('ok', ok);
  }

  look(name: string, address: number, bytes: 4 | 8): void {
    if (bytes === 8) {
      this.bus.load64(address, this.out);
      this.observations.set(name, (BigInt(this.out[1]!) << 32n) | BigInt(this.out[0]!));
    } else this.observations.set(name, BigInt(this.bus.load32(address)));
  }

  mark(): void {
    this.observations.mark();
  }
}
