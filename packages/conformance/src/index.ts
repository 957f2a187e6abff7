export { Bench } from './bench.js';
export type { Candidate, CommandObserver, ObserveCommands, SmallRequestQueue } from './candidate.js';
export { ConformanceError } from './checks.js';
export { type Conformance, type ConformanceOptions, conformance, testsFor } from './conformance.js';
export type { ConformanceTest, DeviceWish, MachineWish, Way } from './conformance-test.js';
export { type Encodings, INTENTS, type Intent, NOT_SUPPORTED, type NotSupported } from './encodings.js';
export {
  type BackendManifest,
  EXPECTED_FEATURES,
  type ExpectedFeature,
  FEATURES,
  type Feature,
  OPTIONAL_FEATURES,
  type OptionalFeature,
  REQUIRED_FEATURES,
  type RequiredFeature,
  type Support,
  supports,
} from './manifest.js';
export {
  type ConformanceReport,
  cellOf,
  conformanceTable,
  type FeatureResult,
  failuresOf,
  type TestResult,
  type Verdict,
} from './report.js';
export { SUITE } from './suite.js';
export type { SupervisorDriver, SupervisorHandle } from './suites/supervisor.js';
export { LACKS, type Lack, type TwoUnits } from './two-units.js';
