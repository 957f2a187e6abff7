import type { Core, CpuFeatures, Device, DeviceGroups } from '@iommukit/core';
import type { IopfQueue } from '@iommukit/iopf-queue';
import { assert, type Kernel, type Mmio } from '@iommukit/kernel';
import type { Asids } from './asids.js';
import type { CommandQueue } from './command-queue.js';
import type { ContextTables } from './context-tables.js';
import type { DeviceFeatures } from './device-features.js';
import type { DmaDomains } from './dma-domains.js';
import type { Domains } from './domains.js';
import type { EntryWriter } from './entry-writer.js';
import type { Events } from './events.js';
import type { SmmuFeatures } from './features.js';
import type { GlobalErrors } from './global-errors.js';
import type { Invalidation } from './invalidate.js';
import type { Masters } from './masters.js';
import type { PageRequests } from './page-requests.js';
import type { Smmuv3Parts } from './parts.js';
import type { PrivateContexts } from './private-contexts.js';
import type { Master } from './records.js';
import type { Reset } from './reset.js';
import { type QueueSizes, queueSizes } from './settings.js';
import type { SharedContexts } from './shared-contexts.js';
import type { StreamTable } from './stream-table.js';
import type { Sva } from './sva.js';

/** One SMMU and the services that drive it. They find one another here. */
export class Smmu {
  readonly device: Device;
  readonly core: Core;
  readonly kernel: Kernel;
  readonly name: string;
  readonly mmio: Mmio;
  readonly cpu: CpuFeatures;
  readonly sizes: QueueSizes;
  readonly commands: CommandQueue;
  readonly entries: EntryWriter;
  readonly invalidation: Invalidation;
  readonly streamTable: StreamTable;
  readonly contexts: ContextTables;
  readonly asids: Asids;
  readonly sharedContexts: SharedContexts;
  readonly privateContexts: PrivateContexts;
  readonly masters: Masters;
  readonly domains: Domains;
  readonly dmaDomains: DmaDomains;
  readonly sva: Sva;
  readonly deviceFeatures: DeviceFeatures;
  readonly groups: DeviceGroups<Master>;
  readonly pageRequests: PageRequests;
  readonly events: Events;
  readonly globalErrors: GlobalErrors;
  readonly iopf: IopfQueue;
  readonly reset: Reset;
  /** What the ID registers said; null before the probe. */
  probed: SmmuFeatures | null = null;

  constructor(device: Device, core: Core, parts: Smmuv3Parts) {
    this.device = device;
    this.core = core;
    this.kernel = core.kernel;
    this.name = device.name;
    this.mmio = device.mmio[0]!;
    this.cpu = core.cpuFeatures;
    this.sizes = queueSizes(core.settings);
    this.commands = new parts.CommandQueue(this);
    this.entries = new parts.EntryWriter(device.dma, this.kernel);
    this.invalidation = new parts.Invalidation(this);
    this.streamTable = new parts.StreamTable(this);
    this.contexts = new parts.ContextTables(this);
    this.asids = new parts.Asids(this);
    this.sharedContexts = new parts.SharedContexts(this);
    this.privateContexts = new parts.PrivateContexts(this);
    this.masters = new parts.Masters(this);
    this.domains = new parts.Domains(this);
    this.dmaDomains = new parts.DmaDomains(this);
    this.sva = new parts.Sva(this);
    this.deviceFeatures = new parts.DeviceFeatures(this);
    this.groups = new parts.DeviceGroups(this);
    this.pageRequests = new parts.PageRequests(this);
    this.events = new parts.Events(this);
    this.globalErrors = new parts.GlobalErrors(this);
    this.iopf = new parts.IopfQueue(core, `${device.name} iopf`);
    this.reset = new parts.Reset(this);
  }

  get features(): SmmuFeatures {
    assert(this.probed !== null, `${this.name} is used before it is probed`);
    return this.probed;
  }

  /**
   * Streams are in the EL2-E2H world, where the kernel is. A kernel at EL2 without that in the SMMU leaves them in EL1's
   * (SMMU-14).
   */
  get el2(): boolean {
    return this.cpu.el2 && this.features.hypervisor;
  }

  /**
   * Broadcast TLB maintenance reaches the SMMU and means its translations: same ASIDs, same exception level (SMMU-16,
   * TLB-9).
   */
  get followsCpus(): boolean {
    const { cpu, features, sva } = this;
    return cpu.broadcast && features.broadcast && cpu.el2 === this.el2 && sva.settings.sharedAsids;
  }

  /** Connects the interrupt threads. */
  handleInterrupts(): void {
    this.device.irq('eventq').handle(() => this.events.work());
    if (this.features.pri) this.device.irq('priq').handle(() => this.pageRequests.work());
    this.device.irq('gerror').handle(() => this.globalErrors.work());
  }
}
