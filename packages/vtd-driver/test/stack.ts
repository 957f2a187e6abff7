import {
  type Core,
  type CoreParts,
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
  Kernel,
  type Observer,
  type Outcome,
  PhysicalBus,
  type PhysicalMemory,
  type Setting,
  type Settings,
  ThreadedInterrupt,
} from '@iommukit/kernel';
import { EcamWindow, setBusMaster } from '@iommukit/pci-ats';
import { vtdHardware } from '@iommukit/vtd-hardware';
import { VtdDriver, type VtdParts, vtdParts } from '../src/index.js';
import { Endpoint } from './endpoint.js';

const BASE = 0xfed9_0000;
const ECAM = 0x1000_0000;

/** Requester id of the first endpoint. */
export const RID = 0x18;

/** What a stack is made of, where it differs from the default. */
export interface StackOptions {
  readonly capabilities?: Readonly<Record<string, Setting>>;
  readonly settings?: Settings;
  readonly parts?: Partial<VtdParts>;
  readonly hardware?: Partial<typeof vtdHardware.parts>;
  readonly coreParts?: Partial<CoreParts>;
  readonly levels?: 4 | 5;
  /** Makes the oracles, before there is any hardware. */
  readonly observe?: (kernel: Kernel, memory: PhysicalMemory) => Observer;
}

/** The model of a unit, its driver, and endpoints with ATS, PRI and PASID. */
export class Stack {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: 0x4000_0000, bytes: 64 << 20 }]);
  readonly core: Core;
  readonly hardware: ReturnType<typeof vtdHardware.create>;
  readonly driver: VtdDriver;
  readonly endpoint: Endpoint;
  readonly device: Device;
  readonly ecam: EcamWindow;
  readonly trace: string[] = [];
  readonly lines = new Map<string, ThreadedInterrupt>();

  constructor(options: StackOptions = {}) {
    const { kernel, bus } = this;
    const { capabilities = {}, settings = {}, levels = 4 } = options;
    if (options.observe !== undefined) kernel.observer = options.observe(kernel, bus.memory);
    const format = new X86Format(levels);
    this.core = createCore({ kernel, bus, settings, format, parts: { ...coreParts, ...options.coreParts } });
    const irq = (name: string): ThreadedInterrupt => this.line(name);
    const place = { kernel, bus, name: 'dmar@fed90000', base: BASE, bytes: 0x1000, capabilities, irq };
    this.hardware = vtdHardware.create(place, settings, { ...vtdHardware.parts, ...options.hardware });
    const window = new BusMmio(kernel, bus, BASE, 0x1000, 'dmar0');
    const unit = { ...this.makeDevice('dmar0', []), mmio: [window] };
    this.driver = new VtdDriver(unit, this.core, { ...vtdParts, ...options.parts });
    this.ecam = new EcamWindow(bus, ECAM, 1);
    [this.endpoint, this.device] = this.connect('0000:00:03.0', RID);
    kernel.trace.add({ event: ({ point, record }) => this.trace.push(`${point.name}: ${point.format(record)}`) });
  }

  connect(name: string, rid: number): [Endpoint, Device] {
    const endpoint = new Endpoint(this.kernel, this.bus, name, rid);
    this.ecam.add(rid, endpoint.fn.config);
    endpoint.link.join({ receive: (tlp) => endpoint.receive(tlp) }, this.hardware);
    const config = new BusMmio(this.kernel, this.bus, ECAM + rid * 4096, 4096, name);
    const property = (key: string): Setting | null => (key === 'ats-supported' ? true : null);
    return [endpoint, { ...this.makeDevice(name, [rid]), config, property }];
  }

  line(name: string): ThreadedInterrupt {
    let line = this.lines.get(name);
    if (line === undefined) {
      line = new ThreadedInterrupt(this.kernel, name);
      this.lines.set(name, line);
    }
    return line;
  }

  makeDevice(name: string, streams: number[]): Device {
    return {
      name,
      kernel: this.kernel,
      streams,
      dma: new CoherentMemory(this.kernel, this.bus),
      mmio: [],
      config: null,
      irq: (line) => this.line(line),
      property: () => null,
    };
  }

  run(body: () => Coroutine<void>, chooser: Chooser = new FairChooser()): Outcome {
    this.kernel.spawn('test', body);
    this.kernel.begin(chooser);
    return this.kernel.run();
  }

  do(body: () => Coroutine<void>, chooser?: Chooser): void {
    const outcome = this.run(body, chooser);
    if (outcome.end !== 'finished') throw new Error(JSON.stringify(outcome));
  }

  /** The unit started, the endpoint ready to bind. */
  boot(iopf = true): this {
    this.do(() => this.start(iopf));
    this.trace.length = 0;
    return this;
  }

  *start(iopf = true): Coroutine<void> {
    yield* this.driver.start();
    yield* this.add(this.device, iopf);
  }

  *add(device: Device, iopf = true): Coroutine<void> {
    yield* setBusMaster(device.config!, true);
    yield* this.driver.probeDevice(device);
    if (iopf) yield* this.driver.enable(device, 'iopf');
    yield* this.driver.enable(device, 'sva');
  }

  *remove(device: Device): Coroutine<void> {
    yield* this.driver.disable(device, 'sva');
    yield* this.driver.disable(device, 'iopf');
    yield* this.driver.releaseDevice(device);
  }

  /** A process with writable pages, the first of them touched. */
  *makeMm(pages = 2): Coroutine<{ mm: Mm; va: bigint; page: number }> {
    const { core } = this;
    const mm = core.mms.create();
    const va = yield* core.mms.mmap(mm, pages * 4096, PERM.READ | PERM.WRITE);
    yield* core.cpu.store(mm, va, Uint8Array.of(1, 2, 3, 4));
    return { mm, va, page: Number(va >> 12n) };
  }

  /** What the hardware makes of an access; the reason as a negative number when it refuses. */
  translate(pasid: number, page: number, want = 2, rid = RID): number {
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    return this.hardware.translate(rid, pasid, page, want, out) ? out.frame : -out.reason;
  }

  /** The eight words of an entry; trailing zeros left out. */
  entry(pasid: number, rid = RID): bigint[] {
    const { vtd } = this.driver;
    const at = vtd.pasids.addressOf(vtd.masters.find(rid)!, pasid);
    const words = Array.from({ length: 8 }, (_, i) => this.word(at + 8 * i));
    while (words.length > 0 && words[words.length - 1] === 0n) words.pop();
    return words;
  }

  word(pa: number): bigint {
    return (BigInt(this.bus.load32(pa + 4)) << 32n) | BigInt(this.bus.load32(pa));
  }

  /** The traced lines of some points. */
  told(points: RegExp): string[] {
    return this.trace.filter((line) => points.test(line));
  }

  /** Everything that can be left behind. */
  inUse(): Record<string, number> {
    return { ...Object.fromEntries(this.kernel.slabs.counts()), frames: this.bus.frames.inUse() };
  }
}
