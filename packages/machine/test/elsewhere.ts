import type { Core, Device, IommuDriver } from '@iommukit/core';
import {
  FairChooser,
  type FrameMemory,
  FrameSpace,
  type InterruptLine,
  type Kernel,
  type MachineBus,
  type PhysicalBus,
} from '@iommukit/kernel';
import { assemble, type ForeignHardware, type Machine, type MachineOptions } from '../src/index.js';

const nobody = (device: Device): never => {
  throw new Error(`nobody drives ${device.name} here`);
};

/** Hardware modules without drivers, in a kernel of their own: to another machine they are hardware that it does not model. */
export class Elsewhere implements ForeignHardware {
  readonly name = 'the machine elsewhere';
  readonly coherentWalks = false;
  readonly there: Machine;
  readonly raised: [device: string, line: string][] = [];
  line: (device: string, name: string) => InterruptLine | null = () => null;

  constructor(options: MachineOptions) {
    const drivers = options.iommuDrivers.map((driver) => ({
      ...driver,
      create: (device: Device, _core: Core): IommuDriver => new Proxy({} as IommuDriver, { get: () => nobody(device) }),
    }));
    const endpointDrivers = options.endpointDrivers.map((driver) => ({
      ...driver,
      create: (device: Device) => ({ probe: () => nobody(device) }),
    }));
    this.there = assemble({ ...options, iommuDrivers: drivers, endpointDrivers });
    for (const [device, lines] of this.there.lines) {
      for (const [name, line] of lines) {
        const { raised } = this;
        line.handle(function* () {
          raised.push([device, name]);
        });
      }
    }
  }

  bus(kernel: Kernel): MachineBus {
    return new BusElsewhere(kernel, this);
  }

  connect(line: (device: string, name: string) => InterruptLine | null): void {
    this.line = line;
  }

  /** Its hardware comes to rest. */
  settle(): void {
    this.there.kernel.begin(new FairChooser());
    const outcome = this.there.kernel.run();
    if (outcome.end !== 'finished') throw new Error(`the machine elsewhere: ${JSON.stringify(outcome)}`);
  }

  news(): boolean {
    const raised = this.raised.splice(0);
    for (const [device, name] of raised) this.line(device, name)?.pulse();
    return raised.length > 0;
  }

  pass(): number {
    return 0;
  }
}

class BusElsewhere implements MachineBus {
  readonly side: Elsewhere;
  readonly bus: PhysicalBus;
  readonly memory: FrameMemory;

  constructor(kernel: Kernel, side: Elsewhere) {
    this.side = side;
    this.bus = side.there.embedded!;
    const regions = this.bus.memory.regions.map(({ firstPfn, frames }) => ({
      base: firstPfn * 4096,
      bytes: frames * 4096,
    }));
    this.memory = new FrameSpace(kernel, regions, (pfn) => this.bus.write(pfn * 4096, new Uint8Array(4096)));
  }

  get frames() {
    return this.memory.frames;
  }

  after<T>(result: T): T {
    this.side.settle();
    return result;
  }

  read8 = (pa: number): number => this.after(this.bus.read8(pa));
  read16 = (pa: number): number => this.after(this.bus.read16(pa));
  load32 = (pa: number): number => this.after(this.bus.load32(pa));
  load64 = (pa: number, out: Uint32Array): void => this.after(this.bus.load64(pa, out));
  read = (pa: number, into: Uint8Array): void => this.after(this.bus.read(pa, into));
  write8 = (pa: number, value: number): void => this.after(this.bus.write8(pa, value));
  write16 = (pa: number, value: number): void => this.after(this.bus.write16(pa, value));
  store32 = (pa: number, value: number): void => this.after(this.bus.store32(pa, value));
  store64 = (pa: number, lo: number, hi: number): void => this.after(this.bus.store64(pa, lo, hi));
  write = (pa: number, from: Uint8Array): void => this.after(this.bus.write(pa, from));
  swap64 = (pa: number, old: Uint32Array, lo: number, hi: number): boolean =>
    this.after(this.bus.swap64(pa, old, lo, hi));
  claim = (): never => {
    throw new Error('nothing is modelled here');
  };
}
