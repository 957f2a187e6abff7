import {
  type Footprint,
  type HardwarePlace,
  type Kernel,
  type PhysicalBus,
  type PhysicalMemory,
  type Settings,
  withEffects,
} from '@iommukit/kernel';
import { AgentPorts, type Translation } from '@iommukit/pci-ats';
import { AddressSpaces } from './address-spaces.js';
import { TranslationRequests } from './ats.js';
import { capabilitiesOf, type VtdCapabilities } from './capabilities.js';
import { ConfigurationInvalidations } from './configuration-invalidations.js';
import { ContextCache } from './context-cache.js';
import { DeviceTlbInvalidations } from './device-tlb-invalidations.js';
import { Events } from './events.js';
import { ExtendedEntries } from './extended-entries.js';
import { Faults } from './faults.js';
import { Fetcher } from './fetch.js';
import { FirstStage } from './first-stage.js';
import { InFlight } from './in-flight.js';
import { InvalidateRequests } from './invalidate-requests.js';
import { InvalidationQueue } from './invalidation-queue.js';
import { Iotlb } from './iotlb.js';
import { IotlbInvalidations } from './iotlb-invalidations.js';
import { PageRequests } from './page-requests.js';
import { PageResponses } from './page-responses.js';
import { PasidCache } from './pasid-cache.js';
import { STRIDE } from './regime.js';
import { CONTEXT_REGIMES, OWN_REGIME, Regimes } from './regimes.js';
import { RegisterInvalidations } from './register-invalidations.js';
import { RegisterFile } from './registers.js';
import { ScalableEntries } from './scalable-entries.js';
import { SecondStage } from './second-stage.js';
import { Stepwise } from './stepwise.js';
import { effects, switches } from './switches.js';
import { Translator } from './translate.js';
import { DataAccesses } from './translated.js';
import { Waits } from './waits.js';
import { Walker } from './walk.js';
import { WalkCache } from './walk-cache.js';

/** The classes that a unit is made of; a subclass of any of them overrides single steps. */
export const vtdParts = {
  RegisterFile,
  Events,
  Faults,
  ContextCache,
  PasidCache,
  WalkCache,
  Iotlb,
  Fetcher,
  ScalableEntries,
  ExtendedEntries,
  FirstStage,
  SecondStage,
  Walker,
  Stepwise,
  Translator,
  InFlight,
  InvalidationQueue,
  ConfigurationInvalidations,
  IotlbInvalidations,
  RegisterInvalidations,
  Waits,
  InvalidateRequests,
  DeviceTlbInvalidations,
  PageResponses,
  PageRequests,
  TranslationRequests,
  DataAccesses,
};

/** See {@link vtdParts}. */
export type VtdParts = typeof vtdParts;

/** An Intel VT-d remapping unit (vtd.md): registers on the bus, tables and queues in memory, devices on links. */
export class Vtd extends AgentPorts {
  override readonly streamNoun = 'rid';
  readonly place: HardwarePlace;
  readonly kernel: Kernel;
  readonly bus: PhysicalBus;
  readonly memory: PhysicalMemory;
  /** `dmar@fed90000`: its name in the platform and in reports. */
  readonly name: string;
  readonly capabilities: VtdCapabilities;
  /** What translations read and invalidations write: the caches. */
  readonly footprint: Footprint;
  readonly registers: RegisterFile;
  readonly events: Events;
  readonly faults: Faults;
  readonly spaces: AddressSpaces;
  readonly regimes: Regimes;
  readonly contexts: ContextCache;
  readonly pasids: PasidCache;
  readonly walkCache: WalkCache;
  readonly iotlb: Iotlb;
  readonly fetcher: Fetcher;
  readonly scalableEntries: ScalableEntries;
  readonly extendedEntries: ExtendedEntries;
  readonly firstStage: FirstStage;
  readonly secondStage: SecondStage;
  readonly walker: Walker;
  readonly stepwise: Stepwise;
  readonly translator: Translator;
  readonly inFlight: InFlight;
  readonly configurationInvalidations: ConfigurationInvalidations;
  readonly iotlbInvalidations: IotlbInvalidations;
  readonly registerInvalidations: RegisterInvalidations;
  readonly invalidateRequests: InvalidateRequests;
  readonly deviceTlbInvalidations: DeviceTlbInvalidations;
  readonly pageRequests: PageRequests;
  readonly pageResponses: PageResponses;
  readonly waits: Waits;
  readonly queue: InvalidationQueue;
  readonly translationRequests: TranslationRequests;
  readonly data: DataAccesses;

  /** @throws IommuError EINVAL for capabilities that this model cannot have, EBUSY if its registers overlap something */
  constructor(place: HardwarePlace, settings: Settings = {}, parts: VtdParts = vtdParts) {
    super();
    this.place = place;
    this.kernel = place.kernel;
    this.bus = place.bus;
    this.memory = place.bus.memory;
    this.name = place.name;
    this.capabilities = capabilitiesOf(withEffects(place.capabilities, settings, effects));
    this.footprint = place.kernel.footprint();
    this.registers = new parts.RegisterFile(this);
    this.events = new parts.Events(this);
    this.faults = new parts.Faults(this);
    this.spaces = new AddressSpaces(place.kernel);
    this.regimes = new Regimes(place.kernel);
    this.inFlight = new parts.InFlight(place.kernel);
    this.contexts = new parts.ContextCache(this);
    this.pasids = new parts.PasidCache(this);
    this.walkCache = new parts.WalkCache(this);
    this.iotlb = new parts.Iotlb(this);
    this.fetcher = new parts.Fetcher(this);
    this.scalableEntries = new parts.ScalableEntries(this);
    this.extendedEntries = new parts.ExtendedEntries(this);
    this.firstStage = new parts.FirstStage(this);
    this.secondStage = new parts.SecondStage(this);
    this.walker = new parts.Walker(this);
    this.stepwise = new parts.Stepwise(this);
    this.translator = new parts.Translator(this);
    this.configurationInvalidations = new parts.ConfigurationInvalidations(this);
    this.iotlbInvalidations = new parts.IotlbInvalidations(this);
    this.registerInvalidations = new parts.RegisterInvalidations(this);
    this.invalidateRequests = new parts.InvalidateRequests(this);
    this.deviceTlbInvalidations = new parts.DeviceTlbInvalidations(this);
    this.pageRequests = new parts.PageRequests(this);
    this.pageResponses = new parts.PageResponses(this);
    this.waits = new parts.Waits(this);
    this.queue = new parts.InvalidationQueue(this);
    this.inFlight.settled = () => this.queue.settled();
    this.translationRequests = new parts.TranslationRequests(this);
    this.data = new parts.DataAccesses(this);
  }

  translate(stream: number, pasid: number, page: number, want: number, out: Translation): boolean {
    return this.translator.translate(stream, pasid, page, want, out);
  }

  /** Something that was cached is cached no more: what is under way does not put it back (MN-18). */
  invalidated(drainReads = true, drainWrites = true): void {
    this.inFlight.invalidated(drainReads, drainWrites);
  }

  /** Tells oracles that the cached entry whose regime lies at `at` is used for a walk, or passes a request through. */
  useRegime(at: number): void {
    if (at >= OWN_REGIME) return;
    if (at >= CONTEXT_REGIMES) this.contexts.use((at - CONTEXT_REGIMES) / STRIDE);
    else this.pasids.use(at / STRIDE);
  }

  /** Forgets every cached translation and configuration. Caches may lose entries at any time. */
  dropEverything(): void {
    this.inFlight.invalidated();
    this.iotlb.dropAll();
    this.contexts.dropAll();
    this.pasids.dropAll();
    this.spaces.clear();
  }
}

/** VT-d as a part of a machine. */
export const vtdHardware = {
  matches: ['intel,vtd'],
  parts: vtdParts,
  switches,
  create: (place: HardwarePlace, settings: Settings = {}, parts: VtdParts = vtdParts): Vtd =>
    new Vtd(place, settings, parts),
} as const;
