export { AgentPorts, type Receiver } from './agent/agent-ports.js';
export { InFlight, NO_TICKET } from './agent/in-flight.js';
export { completionsOf, InvalidateTags, ITAGS, type TaggedRequest } from './agent/invalidate-tags.js';
export { TableCache } from './agent/table-cache.js';
export { type CacheSpaces, type DropScope, saltOf, TaggedCache, tagOf } from './agent/tagged-cache.js';
export { TranslationCache, WAYS } from './agent/translation-cache.js';
export {
  CLEAN,
  grants,
  inModeOf,
  missingRights,
  PRIVILEGED_SHIFT,
  RIGHTS,
  WANT_PRIVILEGED,
  WANT_TRANSLATION,
  WANT_WRITE_TOO,
  wishes,
} from './agent/want.js';
export type { AtsEndpoint, Link, Translation, TranslationAgent } from './agent.js';
export {
  Atc,
  type AtcOptions,
  type OpenInvalidation,
  type PendingTranslation,
  type TranslationOutcome,
} from './atc/atc.js';
export { AtcLines, type AtcLinesOptions } from './atc/atc-lines.js';
export { type PageRequestGroup, PageRequestInterface, type PageRequestOptions } from './atc/page-request-interface.js';
export {
  InvalidateBody,
  InvalidateCompletionBody,
  PageRequestBody,
  PrgResponseBody,
  TranslationEntry,
} from './bodies.js';
export { Bar, type BarTarget } from './config/bar.js';
export {
  AtsCapability,
  CAPABILITY,
  CapabilityHeader,
  FIRST_CAPABILITY,
  PasidCapability,
  PriCapability,
} from './config/capabilities.js';
export { type ConfigHook, ConfigSpace } from './config/config-space.js';
export { EcamWindow, formatBdf, parseBdf } from './config/ecam-window.js';
export { BAR0, COMMAND, Type0Header } from './config/header.js';
export { type FunctionListener, PciFunction, type PciFunctionOptions } from './config/pci-function.js';
export {
  type AtsTrust,
  atsPageAligned,
  atsQueueDepth,
  atsSupported,
  disableAts,
  enableAts,
  prepareAts,
} from './driver/ats.js';
export { assignBar, barSize, functionIds, setBusMaster } from './driver/bars.js';
export { atsEnabled, priEnabled } from './driver/enabled.js';
export { findExtCapability, requireCapability } from './driver/find-capability.js';
export {
  disablePasid,
  enablePasid,
  maxPasids,
  PASID_FEATURE,
  type PasidPath,
  pasidBits,
  pasidFeatures,
} from './driver/pasid.js';
export {
  awaitPriStopped,
  disablePri,
  enablePri,
  prgResponsePasidRequired,
  priSupported,
  resetPri,
} from './driver/pri.js';
export { restoreAtsState, type SavedAtsState, saveAtsState } from './driver/saved-state.js';
export {
  decodeInvalidate,
  decodeInvalidateCompletion,
  decodePageRequest,
  decodePrgResponse,
  decodePrgResponseMessage,
  decodeTranslation,
  encodeInvalidate,
  encodeInvalidateCompletion,
  encodePageRequest,
  encodePrgResponse,
  encodePrgResponseMessage,
  encodeTranslation,
  TRANSLATION,
  type TranslationResult,
} from './encode.js';
export { type Draw, type HostileKnowledge, hostileUpstream } from './hostile.js';
export { Lane } from './link/lane.js';
export { PcieLink, type PcieLinkOptions } from './link/pcie-link.js';
export {
  type PlatformDownstream,
  type PlatformEndpoint,
  PlatformLink,
  type PlatformLinkOptions,
} from './link/platform-link.js';
export { coveringRange, decodeRange, encodeRange, type PageRange } from './range.js';
export { AT, type CompletionStatus, type Downstream, PRG_RESPONSE, type Upstream } from './tlp.js';
export {
  addressTypeOf,
  bodyOfBytes,
  bytesOfBody,
  decodePasidPrefix,
  encodePasidPrefix,
  MESSAGE,
  PasidPrefix,
  type PasidTag,
  ROUTING,
  withAddressType,
} from './wire.js';
