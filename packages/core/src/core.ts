import type { Bus, Kernel, Settings } from '@iommukit/kernel';
import { AsidAllocator } from './cpu/asid-allocator.js';
import { Cpu } from './cpu/cpu.js';
import { type CpuFeatures, cpuFeatures } from './cpu/cpu-features.js';
import { Tlb } from './cpu/tlb.js';
import { FaultReports } from './fault/fault-reports.js';
import { FilePages } from './file/file-pages.js';
import { Files } from './file/files.js';
import { PageCache } from './file/page-cache.js';
import { Truncation } from './file/truncation.js';
import { IoasidAllocator } from './ioasid/ioasid-allocator.js';
import type { AddressSpaceFormat } from './mm/address-space-format.js';
import { Advice } from './mm/advice.js';
import { Collapse } from './mm/collapse.js';
import { CopyOnWrite } from './mm/copy-on-write.js';
import { DisplacedPages } from './mm/displaced-pages.js';
import { Forking } from './mm/forking.js';
import { formatOf } from './mm/formats/format-of.js';
import { LeafEntries } from './mm/leaf-entries.js';
import { Mappings } from './mm/mappings.js';
import { Migration } from './mm/migration.js';
import { MmService } from './mm/mm-service.js';
import { OomReaper } from './mm/oom-reaper.js';
import { PageFaults } from './mm/page-faults.js';
import { PageFrames } from './mm/page-frames.js';
import { PageTables } from './mm/page-tables.js';
import { Protection } from './mm/protection.js';
import { Reclaim } from './mm/reclaim.js';
import { Remapping } from './mm/remapping.js';
import { ReverseMap } from './mm/reverse-map.js';
import { StackGrowth } from './mm/stack-growth.js';
import { Swap } from './mm/swap.js';
import { Swapping } from './mm/swapping.js';
import { VmaEdits } from './mm/vma-edits.js';
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
  readonly VmaEdits: Part<VmaEdits>;
  readonly PageFrames: Part<PageFrames>;
  readonly LeafEntries: Part<LeafEntries>;
  readonly DisplacedPages: Part<DisplacedPages>;
  readonly Swap: Part<Swap>;
  readonly Swapping: Part<Swapping>;
  readonly CopyOnWrite: Part<CopyOnWrite>;
  readonly Protection: Part<Protection>;
  readonly Remapping: Part<Remapping>;
  readonly Advice: Part<Advice>;
  readonly Forking: Part<Forking>;
  readonly ReverseMap: Part<ReverseMap>;
  readonly Migration: Part<Migration>;
  readonly Reclaim: Part<Reclaim>;
  readonly Collapse: Part<Collapse>;
  readonly OomReaper: Part<OomReaper>;
  readonly StackGrowth: Part<StackGrowth>;
  readonly MmService: Part<MmService>;
  readonly MmuNotifiers: Part<MmuNotifiers>;
  readonly AsidAllocator: Part<AsidAllocator>;
  readonly Tlb: Part<Tlb>;
  readonly Cpu: Part<Cpu>;
  readonly Files: Part<Files>;
  readonly PageCache: Part<PageCache>;
  readonly FilePages: Part<FilePages>;
  readonly Truncation: Part<Truncation>;
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
  VmaEdits,
  PageFrames,
  LeafEntries,
  DisplacedPages,
  Swap,
  Swapping,
  CopyOnWrite,
  Protection,
  Remapping,
  Advice,
  Forking,
  ReverseMap,
  Migration,
  Reclaim,
  Collapse,
  OomReaper,
  StackGrowth,
  MmService,
  MmuNotifiers,
  AsidAllocator,
  Tlb,
  Cpu,
  Files,
  PageCache,
  FilePages,
  Truncation,
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
  readonly vmas: VmaEdits;
  readonly pageFrames: PageFrames;
  readonly leaves: LeafEntries;
  readonly displaced: DisplacedPages;
  readonly swap: Swap;
  readonly swapping: Swapping;
  readonly copyOnWrite: CopyOnWrite;
  readonly protection: Protection;
  readonly remapping: Remapping;
  readonly advice: Advice;
  readonly forking: Forking;
  readonly reverseMap: ReverseMap;
  readonly migration: Migration;
  readonly reclaim: Reclaim;
  readonly collapse: Collapse;
  readonly oomReaper: OomReaper;
  readonly stacks: StackGrowth;
  readonly mms: MmService;
  readonly notifiers: MmuNotifiers;
  readonly asids: AsidAllocator;
  readonly tlb: Tlb;
  readonly cpu: Cpu;
  readonly files: Files;
  readonly pageCache: PageCache;
  readonly filePages: FilePages;
  readonly truncation: Truncation;
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
    this.vmas = new parts.VmaEdits(this);
    this.pageFrames = new parts.PageFrames(this);
    this.leaves = new parts.LeafEntries(this);
    this.displaced = new parts.DisplacedPages(this);
    this.swap = new parts.Swap(this);
    this.swapping = new parts.Swapping(this);
    this.copyOnWrite = new parts.CopyOnWrite(this);
    this.protection = new parts.Protection(this);
    this.remapping = new parts.Remapping(this);
    this.advice = new parts.Advice(this);
    this.forking = new parts.Forking(this);
    this.reverseMap = new parts.ReverseMap(this);
    this.migration = new parts.Migration(this);
    this.reclaim = new parts.Reclaim(this);
    this.collapse = new parts.Collapse(this);
    this.oomReaper = new parts.OomReaper(this);
    this.stacks = new parts.StackGrowth(this);
    this.mms = new parts.MmService(this);
    this.notifiers = new parts.MmuNotifiers(this);
    this.asids = new parts.AsidAllocator(this);
    this.tlb = new parts.Tlb(this);
    this.cpu = new parts.Cpu(this);
    this.files = new parts.Files(this);
    this.pageCache = new parts.PageCache(this);
    this.filePages = new parts.FilePages(this);
    this.truncation = new parts.Truncation(this);
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
      ['mappings', this.vmas.slab.live()],
      ['MMU notifiers', this.notifiers.slab.live()],
      ['swap slots', this.swap.slots.size],
      ['cached file pages', this.pageCache.byFrame.size],
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
