import type { Bus, Kernel, Settings } from '@iommukit/kernel';
import { AsidAllocator } from './cpu/asid-allocator.js';
import { Cpu } from './cpu/cpu.js';
import { type CpuFeatures, cpuFeatures } from './cpu/cpu-features.js';
import { Tlb } from './cpu/tlb.js';
import { FaultReports } from './fault/fault-reports.js';
import { Files } from './file/files.js';
import { IoasidAllocator } from './ioasid/ioasid-allocator.js';
import type { AddressSpaceFormat } from './mm/address-space-format.js';
import { formatOf } from './mm/formats/format-of.js';
import { Mappings } from './mm/mappings.js';
import { MmService } from './mm/mm-service.js';
import { PageFaults } from './mm/page-faults.js';
import { PageTables } from './mm/page-tables.js';
import { MmuNotifiers } from './notifier/mmu-notifiers.js';
import { Processes } from './process/processes.js';
import { Sva } from './sva/sva.js';

/** A service's class. */
type Part<T> = new (core: Core) => T;

/** The classes that a {@link Core} is made from. */
export interface CoreParts {
  readonly IoasidAllocator: Part<IoasidAllocator>;
  readonly PageTables: Part<PageTables>;
  readonly PageFaults: Part<PageFaults>;
  readonly Mappings: Part<Mappings>;
  readonly MmService: Part<MmService>;
  readonly MmuNotifiers: Part<MmuNotifiers>;
  readonly AsidAllocator: Part<AsidAllocator>;
  readonly Tlb: Part<Tlb>;
  readonly Cpu: Part<Cpu>;
  readonly Files: Part<Files>;
  readonly Processes: Part<Processes>;
  readonly FaultReports: Part<FaultReports>;
  readonly Sva: Part<Sva>;
}

/** The default parts: a subclass of one of them changes one step. */
export const coreParts: CoreParts = {
  IoasidAllocator,
  PageTables,
  PageFaults,
  Mappings,
  MmService,
  MmuNotifiers,
  AsidAllocator,
  Tlb,
  Cpu,
  Files,
  Processes,
  FaultReports,
  Sva,
};

/** What a {@link Core} is made of. */
export interface CoreOptions {
  readonly kernel: Kernel;
  readonly bus: Bus;
  /** Every declared switch with its value; an absent one has its default. */
  readonly settings?: Settings;
  /** How page tables are written (default: what the settings choose, see {@link formatOf}). */
  readonly format?: AddressSpaceFormat;
  /** What the CPUs can do, where it is not the default. */
  readonly cpu?: Partial<CpuFeatures>;
  readonly parts?: CoreParts;
}

/** What a kernel offers to IOMMU and device drivers: one a machine. */
export class Core {
  readonly kernel: Kernel;
  readonly bus: Bus;
  readonly settings: Settings;
  readonly format: AddressSpaceFormat;
  readonly cpuFeatures: CpuFeatures;
  readonly ioasid: IoasidAllocator;
  readonly pageTables: PageTables;
  readonly pageFaults: PageFaults;
  readonly mappings: Mappings;
  readonly mms: MmService;
  readonly notifiers: MmuNotifiers;
  readonly asids: AsidAllocator;
  readonly tlb: Tlb;
  readonly cpu: Cpu;
  readonly files: Files;
  readonly processes: Processes;
  readonly faults: FaultReports;
  readonly sva: Sva;

  constructor({ kernel, bus, settings = {}, format = formatOf(settings), cpu = {}, parts = coreParts }: CoreOptions) {
    this.kernel = kernel;
    this.bus = bus;
    this.settings = settings;
    this.format = format;
    this.cpuFeatures = cpuFeatures(format, settings, cpu);
    this.ioasid = new parts.IoasidAllocator(this);
    this.pageTables = new parts.PageTables(this);
    this.pageFaults = new parts.PageFaults(this);
    this.mappings = new parts.Mappings(this);
    this.mms = new parts.MmService(this);
    this.notifiers = new parts.MmuNotifiers(this);
    this.asids = new parts.AsidAllocator(this);
    this.tlb = new parts.Tlb(this);
    this.cpu = new parts.Cpu(this);
    this.files = new parts.Files(this);
    this.processes = new parts.Processes(this);
    this.faults = new parts.FaultReports(this);
    this.sva = new parts.Sva(this);
  }

  /** What is in use, for the comparison with a baseline. */
  census(): [what: string, count: number][] {
    return [
      ['PASIDs', this.ioasid.inUse()],
      ['processes', this.processes.alive()],
      ['address spaces', this.mms.slab.live()],
      ['mappings', this.mappings.slab.live()],
      ['MMU notifiers', this.notifiers.slab.live()],
      ['open files', this.files.slab.live()],
      ['pinned ASIDs', this.asids.inUse()],
      ['pending page request groups', this.faults.pending.length],
      ['frames', this.bus.frames.inUse()],
    ];
  }
}

/** Makes a {@link Core}. */
export function createCore(options: CoreOptions): Core {
  return new Core(options);
}
