import {
  BusMmio,
  type Chooser,
  type Coroutine,
  FairChooser,
  Kernel,
  type Outcome,
  PhysicalBus,
  type Setting,
  type Settings,
} from '@iommukit/kernel';
import {
  type CompletionStatus,
  type Link,
  PlatformLink,
  type TranslationAgent,
  type Upstream,
} from '@iommukit/pci-ats';
import { dmaEnginePlatform, type EngineParts, type PlatformEngine } from '../src/index.js';

const BASE = 0x0a00_0000;
const RAM = 0x4000_0000;

/** The name of the bench's engine. */
export const NAME = 'accelerator@a000000';

type Access = Extract<Upstream, { kind: 'read' | 'write' }>;

/** A fake IOMMU that may hold accesses back: page n is frame n of its RAM. */
export class StallingIommu implements TranslationAgent {
  readonly bench: PlatformBench;
  link: Link | null = null;
  readonly seen: Access[] = [];
  /** What an access comes to; null: it stalls until {@link resume}. */
  verdict: (access: Access) => CompletionStatus | null = () => 'ok';

  constructor(bench: PlatformBench) {
    this.bench = bench;
  }

  connect(link: Link): void {
    this.link = link;
  }

  translate(): boolean {
    return false;
  }

  *receive(_link: Link, tlp: Upstream): Coroutine<void> {
    this.seen.push(tlp as Access);
    const status = this.verdict(tlp as Access);
    if (status !== null) yield* this.resume(tlp as Access, status);
  }

  /** Ends an access: it goes through, or not. */
  *resume(access: Access, status: CompletionStatus): Coroutine<void> {
    const { bus } = this.bench;
    const at = RAM + access.page * 4096 + access.offset;
    const data = new Uint8Array(access.kind === 'read' && status === 'ok' ? access.bytes : 0);
    if (status === 'ok' && access.kind === 'write') bus.write(at, access.data);
    if (status === 'ok' && access.kind === 'read') bus.read(at, data);
    if (access.tag !== undefined) yield* this.link!.down({ kind: 'completion', tag: access.tag, status, data });
  }
}

/** An engine on a platform bus, behind a fake IOMMU. */
export class PlatformBench {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: RAM, bytes: 2 ** 21 }]);
  readonly iommu = new StallingIommu(this);
  readonly pulses: number[] = [];
  readonly link = new PlatformLink(this.kernel, { name: NAME, stream: 0x100 });
  readonly engine: PlatformEngine;
  readonly registers = new BusMmio(this.kernel, this.bus, BASE, 0x20000, NAME);

  constructor(
    options: {
      readonly settings?: Settings;
      readonly capabilities?: Readonly<Record<string, Setting>>;
      readonly parts?: Partial<EngineParts>;
      readonly bytes?: number;
    } = {},
  ) {
    const { kernel, bus, link } = this;
    const { settings = {}, capabilities = {}, parts = {}, bytes = 0x20000 } = options;
    const irq = (name: string) => ({
      name,
      set: () => {},
      pulse: () => void this.pulses.push(this.iommu.seen.length),
      handle: () => {},
    });
    const place = { kernel, bus, name: NAME, base: BASE, bytes, capabilities, irq };
    this.engine = dmaEnginePlatform.create(place, link, settings, { ...dmaEnginePlatform.parts, ...parts });
    link.join(this.engine, this.iommu);
  }

  /** Describes a job with the offsets of the README, and starts it. `operation` has the opcode and the flags. */
  *start(job: {
    readonly operation: number;
    readonly source?: number;
    readonly destination?: number;
    readonly bytes: number;
    readonly pasid?: number;
    readonly pattern?: number;
  }): Coroutine<void> {
    const { registers } = this;
    yield* registers.write32(0x0c, job.operation);
    yield* registers.write64(0x10, job.source ?? 0, 0);
    yield* registers.write64(0x18, job.destination ?? 0, 0);
    yield* registers.write32(0x20, job.bytes);
    yield* registers.write32(0x24, job.pasid ?? 5);
    yield* registers.write32(0x28, job.pattern ?? 0);
    yield* registers.write32(0x04, 1);
  }

  /** Runs a job. @returns its status */
  *job(job: Parameters<PlatformBench['start']>[0]): Coroutine<number> {
    yield* this.start(job);
    return yield* this.registers.until32(0x08, (value) => value !== 1, 1e9);
  }

  run(body: () => Coroutine<void>, chooser: Chooser = new FairChooser()): Outcome {
    this.kernel.begin(chooser);
    this.kernel.spawn('test', body);
    return this.kernel.run();
  }

  /** Runs one task, and fails unless it finishes. */
  do(body: () => Coroutine<void>, chooser?: Chooser): this {
    const outcome = this.run(body, chooser);
    if (outcome.end !== 'finished') throw new Error(`the run ended with ${JSON.stringify(outcome)}`);
    return this;
  }

  bytes(at: number, count: number): number[] {
    const into = new Uint8Array(count);
    this.bus.read(RAM + at, into);
    return [...into];
  }

  put(at: number, values: readonly number[]): void {
    this.bus.write(RAM + at, Uint8Array.from(values));
  }
}
