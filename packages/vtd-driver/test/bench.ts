import {
  type Core,
  type CoreParts,
  type CpuFeatures,
  coreParts,
  createCore,
  type Device,
  type Mm,
  PERM,
  X86Format,
} from '@iommukit/core';
import {
  BusMmio,
  type Chooser,
  CoherentMemory,
  type Coroutine,
  FairChooser,
  isIommuError,
  Kernel,
  type Outcome,
  PhysicalBus,
  type Setting,
  type Settings,
  type Step,
} from '@iommukit/kernel';
import { EcamWindow, PciFunction } from '@iommukit/pci-ats';
import { VtdDriver, type VtdParts, vtdParts } from '../src/index.js';
import { BASE, type FakeCapabilities, FakeUnit } from './fake-unit.js';

const ECAM = 0x1000_0000;

/** Requester id of the benches' PCI function 00:03.0. */
export const SID = 0x18;

/** What a bench is made of, where it differs from the default. */
export interface BenchOptions extends FakeCapabilities {
  readonly settings?: Settings;
  readonly parts?: Partial<VtdParts>;
  readonly coreParts?: Partial<CoreParts>;
  readonly cpu?: Partial<CpuFeatures>;
  readonly levels?: 4 | 5;
  /** Of the PCI function. */
  readonly pci?: Partial<ConstructorParameters<typeof PciFunction>[2]>;
  readonly properties?: Readonly<Record<string, Setting>>;
}

/** Memory whose 64-bit stores are written down: `s <address> <value>`. */
class WitnessedMemory extends CoherentMemory {
  log: string[] = [];

  override store64(pa: number, lo: number, hi: number): Step<void> {
    this.note(pa, lo, hi);
    return super.store64(pa, lo, hi);
  }

  override storeWords(pa: number, from: Uint32Array, at: number, count: number): Step<void> {
    for (let i = 0; i < count; i++) this.note(pa + 8 * i, from[at + 2 * i]!, from[at + 2 * i + 1]!);
    return super.storeWords(pa, from, at, count);
  }

  note(pa: number, lo: number, hi: number): void {
    this.log.push(`s ${pa.toString(16)} ${((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16)}`);
  }
}

/** A fake unit, its driver, and one PCI function with ATS, PRI and PASID. */
export class Bench {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: 0x4000_0000, bytes: 64 << 20 }]);
  readonly core: Core;
  readonly unit: FakeUnit;
  readonly driver: VtdDriver;
  readonly device: Device;
  readonly function: PciFunction;
  readonly ecam: EcamWindow;
  readonly trace: string[] = [];
  readonly options: BenchOptions;

  constructor(options: BenchOptions = {}) {
    const { settings = {}, cpu = {}, levels = 4 } = options;
    const { kernel, bus } = this;
    this.options = options;
    const format = new X86Format(levels);
    this.core = createCore({ kernel, bus, settings, cpu, format, parts: { ...coreParts, ...options.coreParts } });
    this.unit = new FakeUnit(bus, options);
    const window = new BusMmio(kernel, bus, BASE, 0x1000, 'dmar0');
    const dma = new WitnessedMemory(kernel, bus);
    dma.log = this.unit.log;
    const unit = { ...this.makeDevice('dmar0', [], {}), dma, mmio: [window] };
    this.driver = new VtdDriver(unit, this.core, { ...vtdParts, ...options.parts });
    this.ecam = new EcamWindow(bus, ECAM, 2);
    this.function = this.makeFunction(SID);
    this.device = this.pciDevice('0000:00:03.0', SID, options.properties);
    kernel.trace.add({ event: ({ point, record }) => this.trace.push(`${point.name}: ${point.format(record)}`) });
  }

  makeFunction(sid: number): PciFunction {
    const made = new PciFunction(
      this.kernel,
      this.bus,
      {
        vendorId: 0x1d55,
        deviceId: 1,
        classCode: 0x120000,
        ats: { queueDepth: 32, pageAligned: true, globalInvalidate: false },
        pri: { capacity: 16, prgResponsePasidRequired: true },
        pasid: { width: 20, exec: false, priv: false },
        ...this.options.pci,
      },
      [],
    );
    this.ecam.add(sid, made.config);
    return made;
  }

  pciDevice(name: string, sid: number, given: Readonly<Record<string, Setting>> = {}): Device {
    const properties: Readonly<Record<string, Setting>> = { 'ats-supported': true, ...given };
    const config = new BusMmio(this.kernel, this.bus, ECAM + sid * 4096, 4096, name);
    return { ...this.makeDevice(name, [sid], properties), config };
  }

  makeDevice(name: string, streams: number[], properties: Readonly<Record<string, Setting>>): Device {
    return {
      name,
      kernel: this.kernel,
      streams,
      dma: new CoherentMemory(this.kernel, this.bus),
      mmio: [],
      config: null,
      irq: (line) => this.unit.line(line),
      property: (key) => properties[key] ?? null,
    };
  }

  run(body: () => Coroutine<void>, chooser: Chooser = new FairChooser()): Outcome {
    this.kernel.spawn('test', body);
    this.kernel.begin(chooser);
    return this.kernel.run();
  }

  /** Runs one task, and fails unless it finishes. */
  do(body: () => Coroutine<void>, chooser?: Chooser): void {
    const outcome = this.run(body, chooser);
    if (outcome.end !== 'finished') throw new Error(JSON.stringify(outcome));
  }

  /** The unit started, the device probed and ready to bind; nothing written down yet. */
  boot(): this {
    this.do(() => this.start());
    this.unit.log.length = 0;
    this.trace.length = 0;
    return this;
  }

  *start(): Coroutine<void> {
    yield* this.driver.start();
    yield* this.driver.probeDevice(this.device);
    yield* this.enableSva(this.device);
  }

  /** One more PCI function, ready to bind. */
  *plug(name: string, sid: number): Coroutine<Device> {
    this.makeFunction(sid);
    const device = this.pciDevice(name, sid);
    yield* this.driver.probeDevice(device);
    yield* this.enableSva(device);
    return device;
  }

  *enableSva(device: Device): Coroutine<void> {
    yield* this.driver.enable(device, 'iopf');
    yield* this.driver.enable(device, 'sva');
  }

  *disableSva(device: Device): Coroutine<void> {
    yield* this.driver.disable(device, 'sva');
    yield* this.driver.disable(device, 'iopf');
  }

  /** A process's memory: one writable page, with a word in it. */
  *makeMm(): Coroutine<{ mm: Mm; va: bigint }> {
    const { core } = this;
    const mm = core.mms.create();
    const va = yield* core.mms.mmap(mm, 4096, PERM.READ | PERM.WRITE);
    yield* core.cpu.store(mm, va, Uint8Array.of(1, 2, 3, 4));
    return { mm, va };
  }

  /** Where the entry of a PASID is. */
  entryAt(pasid: number, sid = SID): number {
    const { vtd } = this.driver;
    return vtd.pasids.addressOf(vtd.masters.find(sid)!, pasid);
  }

  /** The eight words of an entry; trailing zeros left out. */
  entry(pasid: number, sid = SID): bigint[] {
    const words = Array.from({ length: 8 }, (_, i) => this.unit.word(this.entryAt(pasid, sid) + 8 * i));
    while (words.length > 0 && words[words.length - 1] === 0n) words.pop();
    return words;
  }

  /** Everything that can be left behind. */
  inUse(): Record<string, number> {
    return { ...Object.fromEntries(this.kernel.slabs.counts()), frames: this.bus.frames.inUse() };
  }
}

/** The code of the IommuError that `body` throws. */
export function* codeOf(body: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* body;
  } catch (error) {
    if (isIommuError(error)) return error.code;
    throw error;
  }
  return 'none';
}
