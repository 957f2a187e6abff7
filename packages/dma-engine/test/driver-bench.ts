import {
  type Core,
  type CoreParts,
  coreParts,
  createCore,
  type Device,
  type Mm,
  type OpenFile,
  type Process,
} from '@iommukit/core';
import {
  BusMmio,
  type Chooser,
  CoherentMemory,
  type Coroutine,
  FairChooser,
  isIommuError,
  Kernel,
  type Observer,
  type Outcome,
  PhysicalBus,
  type Setting,
  type Settings,
  ThreadedInterrupt,
} from '@iommukit/kernel';
import { assignBar, EcamWindow, PcieLink, type PciFunction, PlatformLink } from '@iommukit/pci-ats';
import { type Smmuv3Driver, type Smmuv3Parts, smmuv3Driver, smmuv3Parts } from '@iommukit/smmuv3-driver';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import {
  type DmaEngine,
  type DmaEngineDriver,
  dmaEngine,
  dmaEngineDriver,
  dmaEnginePlatform,
  type EngineDriverParts,
  type EngineParts,
  type Job,
  type PlatformEngine,
} from '../src/index.js';

const SMMU = 0x0905_0000;
const ECAM = 0x10_0000_0000;
const BAR = 0x1000_0000;
const BDF = 0x18;
const NAME = '0000:00:03.0';

/** What a bench is made of, where it differs from the default. */
export interface DriverBenchOptions {
  readonly settings?: Settings;
  readonly capabilities?: Readonly<Record<string, Setting>>;
  readonly smmuCapabilities?: Readonly<Record<string, Setting>>;
  readonly properties?: Readonly<Record<string, Setting>>;
  readonly core?: Partial<CoreParts>;
  readonly engine?: Partial<EngineParts>;
  readonly engineDriver?: Partial<EngineDriverParts>;
  readonly smmu?: Partial<Smmuv3Parts>;
  /** The engine is a platform device, which may stall unless `properties` say no. */
  readonly platform?: boolean;
  readonly observer?: Observer;
}

/** A job that fills 8 bytes of nothing, for what is not given. */
export const JOB: Job = { op: 'fill', source: 0n, destination: 0n, bytes: 8, pattern: 0, prefetch: 0 };

/** An engine and its driver behind an SMMUv3 and its driver. */
export class DriverBench {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: 0x4000_0000, bytes: 64 << 20 }]);
  readonly core: Core;
  readonly engine: DmaEngine | PlatformEngine;
  readonly iommu: Smmuv3Driver;
  readonly device: Device;
  readonly driver: DmaEngineDriver;
  readonly link: PcieLink | PlatformLink;
  readonly log: string[] = [];

  constructor(options: DriverBenchOptions = {}) {
    const { kernel, bus } = this;
    const { settings = {}, capabilities = {}, properties = {} } = options;
    if (options.observer !== undefined) kernel.observer = options.observer;
    this.core = createCore({ kernel, bus, settings, parts: { ...coreParts, ...options.core } });
    const line = new ThreadedInterrupt(kernel, NAME);
    const smmu = this.makeDevice('smmuv3', [], new BusMmio(kernel, bus, SMMU, 0x20000, 'smmuv3'));
    const where = { kernel, bus, name: 'smmuv3', base: SMMU, bytes: 0x20000, irq: smmu.irq };
    const hardware = smmuV3Hardware.create({ ...where, capabilities: options.smmuCapabilities ?? {} }, settings);
    this.iommu = smmuv3Driver.create(smmu, this.core, { ...smmuv3Parts, ...options.smmu });
    const engineParts = { ...dmaEngine.parts, ...options.engine };
    const base = this.makeDevice(NAME, [BDF], new BusMmio(kernel, bus, BAR, 0x20000, NAME));
    if (options.platform === true) {
      const link = new PlatformLink(kernel, { name: NAME, stream: BDF });
      const place = { kernel, bus, name: NAME, base: BAR, bytes: 0x20000, capabilities, irq: () => line };
      this.engine = dmaEnginePlatform.create(place, link, settings, engineParts);
      link.join(this.engine, hardware);
      this.link = link;
      const known = { 'dma-can-stall': true, 'pasid-num-bits': 20, ...properties };
      this.device = { ...base, irq: () => line, property: (key) => (known as Record<string, Setting>)[key] ?? null };
    } else {
      const link = new PcieLink(kernel, { name: NAME, stream: BDF, irq: line });
      const place = { kernel, bus, name: NAME, base: 0, bytes: 0, capabilities, irq: () => line };
      const engine = dmaEngine.create(place, link, settings, engineParts);
      new EcamWindow(bus, ECAM, 1).add(BDF, engine.config);
      link.join(engine, hardware);
      this.engine = engine;
      this.link = link;
      this.device = {
        ...base,
        config: new BusMmio(kernel, bus, ECAM + BDF * 4096, 4096, `${NAME} config`),
        irq: () => line,
        property: (key) => ({ 'ats-supported': true, ...properties })[key] ?? null,
      };
    }
    const parts = { ...dmaEngineDriver.parts, ...options.engineDriver };
    this.driver = dmaEngineDriver.create(this.device, this.iommu, this.core, parts);
    kernel.trace.add({
      wants: (event) => event.startsWith('engine_job'),
      event: ({ point, record }) => void this.log.push(point.format(record)),
    });
  }

  /** The PCI function of an engine that is one. */
  get fn(): PciFunction {
    return (this.engine as DmaEngine).fn;
  }

  makeDevice(name: string, streams: readonly number[], window: BusMmio): Device {
    const lines = new Map<string, ThreadedInterrupt>();
    return {
      name,
      kernel: this.kernel,
      streams,
      dma: new CoherentMemory(this.kernel, this.bus),
      mmio: [window],
      config: null,
      irq: (line) => {
        if (!lines.has(line)) lines.set(line, new ThreadedInterrupt(this.kernel, `${name}-${line}`));
        return lines.get(line)!;
      },
      property: () => null,
    };
  }

  /** Runs one task to its end. */
  run(body: () => Coroutine<void>, chooser: Chooser = new FairChooser()): Outcome {
    this.kernel.spawn('test', body);
    this.kernel.begin(chooser);
    return this.kernel.run();
  }

  /** Runs processes side by side. */
  processes(programs: Readonly<Record<string, (user: User) => Coroutine<void>>>, chooser?: Chooser): Outcome {
    for (const [name, program] of Object.entries(programs)) {
      this.core.processes.spawn(name, (process) => program(new User(this, process)));
    }
    this.kernel.begin(chooser ?? new FairChooser());
    return this.kernel.run();
  }

  /** The SMMU started and the device probed. */
  boot(): this {
    const outcome = this.run(() => this.start());
    if (outcome.end !== 'finished') throw new Error(JSON.stringify(outcome));
    return this;
  }

  *start(): Coroutine<void> {
    if (this.device.config !== null) yield* assignBar(this.device.config, 0, BAR);
    yield* this.iommu.start();
    yield* this.iommu.probeDevice(this.device);
    yield* this.driver.probe();
  }

  /** Everything that can be left behind. */
  inUse(): Record<string, number> {
    return {
      ...Object.fromEntries(this.kernel.slabs.counts()),
      ...Object.fromEntries(this.core.census()),
      frames: this.bus.frames.inUse(),
    };
  }
}

/** A process that uses the engine. */
export class User {
  readonly bench: DriverBench;
  readonly process: Process;

  constructor(bench: DriverBench, process: Process) {
    this.bench = bench;
    this.process = process;
  }

  get mm(): Mm {
    return this.bench.core.processes.mmOf(this.process);
  }

  *open(): Coroutine<OpenFile> {
    return yield* this.bench.driver.open(this.process);
  }

  /** An open file, bound. */
  *bound(): Coroutine<OpenFile> {
    const file = yield* this.open();
    yield* this.bench.driver.bind(file, this.mm);
    return file;
  }

  *map(pages: number, perm = 3): Coroutine<bigint> {
    return yield* this.bench.core.processes.mmap(this.process, pages * 4096, perm);
  }

  *bytes(address: bigint, count: number): Coroutine<number[]> {
    const into = new Uint8Array(count);
    yield* this.bench.core.cpu.load(this.mm, address, into);
    return [...into];
  }

  *close(file: OpenFile): Coroutine<void> {
    yield* this.bench.core.processes.close(this.process, file);
  }
}

/** The code of the IommuError that `body` throws. */
export function* codeOf(body: () => Coroutine<unknown>): Coroutine<string> {
  try {
    yield* body();
  } catch (error) {
    if (isIommuError(error)) return error.code;
    throw error;
  }
  return 'none';
}
