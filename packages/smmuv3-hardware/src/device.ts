import {
  type Footprint,
  type HardwarePlace,
  type Kernel,
  type PhysicalBus,
  type PhysicalMemory,
  type Settings,
  withEffects,
} from '@iommukit/kernel';
import { AgentPorts, InFlight, type Translation } from '@iommukit/pci-ats';
import { AddressSpaces, tagShape } from './address-spaces.js';
import { TranslationRequests } from './ats.js';
import { AtsCommands } from './ats-commands.js';
import { Broadcast } from './broadcast.js';
import { capabilitiesOf, type SmmuCapabilities } from './capabilities.js';
import { CommandQueue } from './commands.js';
import { ConfigCache } from './config-cache.js';
import { ConfigCommands } from './config-commands.js';
import { EventQueue } from './faults.js';
import { Fetcher } from './fetch.js';
import { Interrupts } from './interrupts.js';
import { InvalidateRequests } from './invalidate-requests.js';
import { Iotlb } from './iotlb.js';
import { PageRequestQueue } from './page-requests.js';
import { RegisterFile } from './registers.js';
import { StallCommands } from './stall-commands.js';
import { Stalls } from './stalls.js';
import { Stepwise } from './stepwise.js';
import { effects, switches } from './switches.js';
import { TlbCommands } from './tlb-commands.js';
import { Translator } from './translate.js';
import { DataAccesses } from './translated.js';
import { Walker } from './walk.js';
import { WalkCache } from './walk-cache.js';

/** The classes that an SMMU is made of; a subclass of any of them overrides single steps. */
export const smmuV3Parts = {
  RegisterFile,
  Interrupts,
  ConfigCache,
  WalkCache,
  Iotlb,
  Fetcher,
  Walker,
  Stepwise,
  Translator,
  EventQueue,
  PageRequestQueue,
  InvalidateRequests,
  InFlight,
  Stalls,
  Broadcast,
  ConfigCommands,
  TlbCommands,
  AtsCommands,
  StallCommands,
  CommandQueue,
  TranslationRequests,
  DataAccesses,
};

/** See {@link smmuV3Parts}. */
export type SmmuV3Parts = typeof smmuV3Parts;

/** An Arm SMMUv3 (smmuv3.md): registers on the bus, tables and queues in memory, devices on links. */
export class SmmuV3 extends AgentPorts {
  override readonly streamNoun = 'sid';
  readonly place: HardwarePlace;
  readonly kernel: Kernel;
  readonly bus: PhysicalBus;
  readonly memory: PhysicalMemory;
  /** `smmuv3@9050000`: its name in the platform and in reports. */
  readonly name: string;
  readonly capabilities: SmmuCapabilities;
  /** What translations read and invalidations write: the caches. */
  readonly footprint: Footprint;
  readonly registers: RegisterFile;
  readonly interrupts: Interrupts;
  readonly spaces: AddressSpaces;
  readonly config: ConfigCache;
  readonly walkCache: WalkCache;
  readonly iotlb: Iotlb;
  readonly fetcher: Fetcher;
  readonly walker: Walker;
  readonly stepwise: Stepwise;
  readonly translator: Translator;
  readonly events: EventQueue;
  readonly pageRequests: PageRequestQueue;
  readonly invalidateRequests: InvalidateRequests;
  readonly inFlight: InFlight;
  readonly stalls: Stalls;
  readonly broadcast: Broadcast;
  readonly configCommands: ConfigCommands;
  readonly tlbCommands: TlbCommands;
  readonly atsCommands: AtsCommands;
  readonly stallCommands: StallCommands;
  readonly commands: CommandQueue;
  readonly translationRequests: TranslationRequests;
  readonly data: DataAccesses;
  /** Something was invalidated, and no CMD_SYNC has completed since. */
  readonly state = { unsynced: false };

  /** @throws IommuError EINVAL for capabilities that this model cannot have, EBUSY if its registers overlap something */
  constructor(place: HardwarePlace, settings: Settings = {}, parts: SmmuV3Parts = smmuV3Parts) {
    super();
    this.place = place;
    this.kernel = place.kernel;
    this.bus = place.bus;
    this.memory = place.bus.memory;
    this.name = place.name;
    this.capabilities = capabilitiesOf(withEffects(place.capabilities, settings, effects));
    this.footprint = place.kernel.footprint();
    place.kernel.checkpoints.keep(this.state);
    this.registers = new parts.RegisterFile(this);
    this.interrupts = new parts.Interrupts(this);
    const { vax, ds, stage2, oas } = this.capabilities;
    const bits = vax === 52 || ds || (stage2 && oas === 52) ? 52 : 48;
    this.spaces = new AddressSpaces(place.kernel, tagShape(bits));
    this.inFlight = new parts.InFlight(place.kernel);
    this.config = new parts.ConfigCache(this);
    this.walkCache = new parts.WalkCache(this);
    this.iotlb = new parts.Iotlb(this);
    this.fetcher = new parts.Fetcher(this);
    this.walker = new parts.Walker(this);
    this.stepwise = new parts.Stepwise(this);
    this.translator = new parts.Translator(this);
    this.events = new parts.EventQueue(this);
    this.pageRequests = new parts.PageRequestQueue(this);
    this.invalidateRequests = new parts.InvalidateRequests(this);
    this.configCommands = new parts.ConfigCommands(this);
    this.tlbCommands = new parts.TlbCommands(this);
    this.atsCommands = new parts.AtsCommands(this);
    this.stallCommands = new parts.StallCommands(this);
    this.commands = new parts.CommandQueue(this);
    this.stalls = new parts.Stalls(this);
    this.inFlight.settled = () => this.kernel.kick(this.commands.task);
    this.broadcast = new parts.Broadcast(this);
    if (this.capabilities.btm) place.kernel.tlbBroadcast.connect(this.broadcast);
    this.translationRequests = new parts.TranslationRequests(this);
    this.data = new parts.DataAccesses(this);
  }

  translate(stream: number, pasid: number, page: number, want: number, out: Translation): boolean {
    return this.translator.translate(stream, pasid, page, want, out);
  }

  /** A CFGI or TLBI command, or a broadcast, took effect. */
  invalidated(): void {
    this.state.unsynced = true;
    this.inFlight.invalidated();
  }

  /** A CMD_SYNC completes. */
  synced(): void {
    if (!this.state.unsynced) return;
    this.state.unsynced = false;
    this.stalls.retryUnrecorded();
  }

  /** Forgets every cached translation and configuration. Caches may lose entries at any time. */
  dropEverything(): void {
    this.inFlight.invalidated();
    this.iotlb.dropAll();
    this.config.dropStreams(0, Number.MAX_SAFE_INTEGER);
    this.spaces.clear();
  }
}

/** The SMMUv3 as a part of a machine. */
export const smmuV3Hardware = {
  matches: ['arm,smmu-v3'],
  parts: smmuV3Parts,
  switches,
  create: (place: HardwarePlace, settings: Settings = {}, parts: SmmuV3Parts = smmuV3Parts): SmmuV3 =>
    new SmmuV3(place, settings, parts),
} as const;
