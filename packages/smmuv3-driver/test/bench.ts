import {
  type Core,
  type CoreParts,
  type CpuFeatures,
  coreParts,
  createCore,
  type Device,
  type Mm,
  PERM,
} from '@iommukit/core';
import {
  BusMmio,
  CoherentMemory,
  type Coroutine,
  FairChooser,
  isIommuError,
  Kernel,
  type Outcome,
  PhysicalBus,
  type Setting,
  type Settings,
  ThreadedInterrupt,
} from '@iommukit/kernel';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import { Smmuv3Driver, type Smmuv3Parts, smmuv3Parts } from '../src/index.js';

/** Where the SMMU's registers are. */
export const BASE = 0x0905_0000;

/** The streams of the benches' platform device. */
export const SID = 0x42;

/** What a bench is made of, where it differs from the default. */
export interface BenchOptions {
  readonly capabilities?: Readonly<Record<string, Setting>>;
  readonly settings?: Settings;
  readonly parts?: Partial<Smmuv3Parts>;
  readonly coreParts?: Partial<CoreParts>;
  readonly cpu?: Partial<CpuFeatures>;
  /** Firmware properties of the device. */
  readonly properties?: Readonly<Record<string, Setting>>;
}

/** An SMMU model, its driver, and one platform device that stalls. */
export class Bench {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: 0x4000_0000, bytes: 64 << 20 }]);
  readonly core: Core;
  readonly hardware: ReturnType<typeof smmuV3Hardware.create>;
  readonly driver: Smmuv3Driver;
  readonly device: Device;
  readonly lines = new Map<string, ThreadedInterrupt>();

  constructor(options: BenchOptions = {}) {
    const { capabilities = {}, settings = {}, parts = {}, properties = {}, cpu = {} } = options;
    const { kernel, bus } = this;
    this.core = createCore({ kernel, bus, settings, cpu, parts: { ...coreParts, ...options.coreParts } });
    const irq = (name: string): ThreadedInterrupt => this.line(name);
    const place = { kernel, bus, name: 'smmuv3@9050000', base: BASE, bytes: 0x20000, capabilities, irq };
    this.hardware = smmuV3Hardware.create(place, settings);
    const window = new BusMmio(kernel, bus, BASE, 0x20000, 'smmuv3@9050000');
    this.driver = new Smmuv3Driver(this.makeDevice('smmuv3@9050000', [], {}, window), this.core, {
      ...smmuv3Parts,
      ...parts,
    });
    this.device = this.makeDevice('accelerator', [SID], { 'dma-can-stall': true, 'pasid-num-bits': 8, ...properties });
  }

  line(name: string): ThreadedInterrupt {
    let line = this.lines.get(name);
    if (line === undefined) {
      line = new ThreadedInterrupt(this.kernel, name);
      this.lines.set(name, line);
    }
    return line;
  }

  makeDevice(name: string, streams: number[], properties: Readonly<Record<string, Setting>>, window?: BusMmio): Device {
    return {
      name,
      kernel: this.kernel,
      streams,
      dma: new CoherentMemory(this.kernel, this.bus),
      mmio: window === undefined ? [] : [window],
      config: null,
      irq: (line) => this.line(line),
      property: (key) => properties[key] ?? null,
    };
  }

  /** Runs one task to its end. */
  run(body: () => Coroutine<void>): Outcome {
    this.kernel.spawn('test', body);
    this.kernel.begin(new FairChooser());
    return this.kernel.run();
  }

  /** Runs one task, and fails unless it finishes. */
  do(body: () => Coroutine<void>): void {
    const outcome = this.run(body);
    if (outcome.end !== 'finished') throw new Error(JSON.stringify(outcome));
  }

  /** The SMMU started, the device probed and ready to bind. */
  boot(): this {
    this.do(() => this.start());
    return this;
  }

  *start(): Coroutine<void> {
    yield* this.driver.start();
    yield* this.driver.probeDevice(this.device);
    yield* this.driver.enable(this.device, 'iopf');
    yield* this.driver.enable(this.device, 'sva');
  }

  /** A process's memory: one writable page, with a word in it. */
  *makeMm(): Coroutine<{ mm: Mm; va: bigint }> {
    const { core } = this;
    const mm = core.mms.create();
    const va = yield* core.mms.mmap(mm, 4096, PERM.READ | PERM.WRITE);
    yield* core.cpu.store(mm, va, Uint8Array.of(1, 2, 3, 4));
    return { mm, va };
  }

  /** One more platform device, probed; with `sva` also ready to bind. */
  *plug(name: string, sid: number, properties: Readonly<Record<string, Setting>> = {}, sva = true): Coroutine<Device> {
    const usual = { 'dma-can-stall': true, 'pasid-num-bits': 8 };
    const device = this.makeDevice(name, [sid], { ...usual, ...properties });
    yield* this.driver.probeDevice(device);
    if (sva) yield* this.enableSva(device);
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

  /** What the hardware makes of an access; the reason as a negative number when it refuses. */
  translate(pasid: number, va: bigint, want = 2, sid = SID): number {
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    const ok = this.hardware.translate(sid, pasid, Number(va >> 12n), want, out);
    return ok ? out.frame : -out.reason;
  }

  /** Everything that can be left behind. */
  inUse(): Record<string, number> {
    return { ...Object.fromEntries(this.kernel.slabs.counts()), frames: this.bus.frames.inUse() };
  }

  /** A 64-bit word of memory. */
  word(pa: number): bigint {
    const out = new Uint32Array(2);
    this.bus.load64(pa, out);
    return (BigInt(out[1]!) << 32n) | BigInt(out[0]!);
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
