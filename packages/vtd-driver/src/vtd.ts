import type { Core, CpuFeatures, Device, DeviceGroups } from '@iommukit/core';
import type { IopfQueue } from '@iommukit/iopf-queue';
import { assert, type Kernel, type Mmio } from '@iommukit/kernel';
import type { ContextTables } from './context-tables.js';
import type { DeviceFeatures } from './device-features.js';
import type { DmaDomains } from './dma-domains.js';
import type { Drain } from './drain.js';
import type { Faults } from './faults.js';
import type { VtdFeatures } from './features.js';
import type { Invalidation } from './invalidate.js';
import type { InvalidationQueue } from './invalidation-queue.js';
import type { KernelTables } from './kernel-tables.js';
import type { Masters } from './masters.js';
import type { PageRequests } from './page-requests.js';
import { partsOf, type VtdParts } from './parts.js';
import type { PasidTables } from './pasid-tables.js';
import { modeOf } from './probe.js';
import type { QueueErrors } from './queue-errors.js';
import type { Master } from './records.js';
import type { Reset } from './reset.js';
import { askedMode, type Mode, type QueueSizes, queueSizes } from './settings.js';
import type { Supervisor } from './supervisor.js';
import type { Sva } from './sva.js';
import type { ThreadFaults } from './thread-faults.js';

/** One VT-d unit and the services that drive it. They find one another here. */
export class Vtd {
  readonly device: Device;
  readonly core: Core;
  readonly kernel: Kernel;
  readonly name: string;
  readonly mmio: Mmio;
  readonly cpu: CpuFeatures;
  readonly sizes: QueueSizes;
  readonly queue: InvalidationQueue;
  readonly queueErrors: QueueErrors;
  readonly invalidation: Invalidation;
  readonly contexts: ContextTables;
  readonly pasids: PasidTables;
  readonly masters: Masters;
  readonly dmaDomains: DmaDomains;
  readonly sva: Sva;
  readonly supervisor: Supervisor;
  readonly kernelTables: KernelTables;
  readonly deviceFeatures: DeviceFeatures;
  readonly groups: DeviceGroups<Master>;
  readonly pageRequests: PageRequests;
  readonly threadFaults: ThreadFaults;
  readonly drain: Drain;
  readonly faults: Faults;
  readonly iopf: IopfQueue;
  readonly reset: Reset;
  /** What the capability registers said; null before the probe. */
  probed: VtdFeatures | null = null;

  constructor(device: Device, core: Core, given: VtdParts) {
    const parts = partsOf(given, askedMode(core.settings));
    this.device = device;
    this.core = core;
    this.kernel = core.kernel;
    this.name = device.name;
    this.mmio = device.mmio[0]!;
    this.cpu = core.cpuFeatures;
    this.sizes = queueSizes(core.settings);
    this.queue = new parts.InvalidationQueue(this);
    this.queueErrors = new parts.QueueErrors(this);
    this.invalidation = new parts.Invalidation(this);
    this.contexts = new parts.ContextTables(this);
    this.pasids = new parts.PasidTables(this);
    this.masters = new parts.Masters(this);
    this.dmaDomains = new parts.DmaDomains(this);
    this.sva = new parts.Sva(this);
    this.supervisor = new parts.Supervisor(this);
    this.kernelTables = new parts.KernelTables(this);
    this.deviceFeatures = new parts.DeviceFeatures(this);
    this.groups = new parts.DeviceGroups(this);
    this.pageRequests = new parts.PageRequests(this);
    this.threadFaults = new parts.ThreadFaults(this);
    this.drain = new parts.Drain(this);
    this.faults = new parts.Faults(this);
    this.iopf = new parts.IopfQueue(core, `${device.name} iopf`);
    this.reset = new parts.Reset(this);
  }

  get features(): VtdFeatures {
    assert(this.probed !== null, `${this.name} is used before it is probed`);
    return this.probed;
  }

  /** How the unit is used: what was asked for, as far as it can. */
  get mode(): Mode {
    return modeOf(this.features, askedMode(this.core.settings));
  }

  /** It can take and drain page requests, and somebody is there to handle them. */
  get takesRequests(): boolean {
    const { dt, prs, pds } = this.features;
    return this.mode !== 'legacy' && dt && prs && pds;
  }
}
