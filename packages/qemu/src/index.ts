export { QemuBus } from './bus.js';
export type { Answers, CompareCase, Observation, Performer, Vector } from './compare/case-format.js';
export { caseToJson, jsonText, vectorToJson } from './compare/case-json.js';
export { type EmbeddedHardware, EmbeddedPerformer } from './compare/embedded.js';
export { type Comparison, compareCase, type Judgement, judge } from './compare/explain.js';
export { complaintOf, FrozenPerformer, vectorOf } from './compare/frozen.js';
export { generateCase } from './compare/generate.js';
export { type CompareMachine, compareMachine, compareMachines } from './compare/machine.js';
export { QemuPerformer } from './compare/on-qemu.js';
export { CaseError, isCaseError, readCase, readVector } from './compare/read-case.js';
export { differenceLines, reportOf } from './compare/report.js';
export {
  type ComparisonOptions,
  type ComparisonTotals,
  type Disagreement,
  runComparison,
} from './compare/run-comparison.js';
export { shrinkCase } from './compare/shrink.js';
export { DEVIATIONS, type Deviation } from './deviations.js';
export { type Edu, edu } from './devices/edu.js';
export { type Testdev, type TestdevOutcome, testdev } from './devices/testdev.js';
export { TESTDEV_PATTERN } from './devices/testdev-registers.js';
export { isQemuError, QemuError, type QemuErrorCode } from './errors.js';
export { type GetOptions, getQemu } from './get/get-qemu.js';
export { platformOfQemu, QemuHardware } from './hardware/qemu-hardware.js';
export { KEPT_BYTES, QemuMachineBus } from './machine-bus.js';
export type { Interception, PlacedDevice, QemuArch, QemuMachineSpec } from './machines/kinds.js';
export { isQemuMachineKind, QEMU_MACHINES, type QemuMachineKind } from './machines/machines.js';
export type { PciBar, PciFunction } from './machines/pci.js';
export { cacheFolder, findQemu, GET_QEMU, type QemuProgram, type SearchPlaces } from './process/find.js';
export type { MemoryFile, RamRange } from './process/memory-file.js';
export { isSupported, parseVersion, type QemuVersion } from './process/version.js';
export { type Qemu, type StartOptions, startQemu } from './qemu-machine.js';
export type { QtestBatch } from './qtest/batch.js';
export { type LineChange, QtestClient } from './qtest/client.js';
export type { QtestWidth } from './qtest/commands.js';
export type { Transport } from './qtest/transport.js';
