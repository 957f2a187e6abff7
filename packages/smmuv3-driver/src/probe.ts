import type { AddressSpaceFormat, CpuFeatures, Refusal } from '@iommukit/core';
import type { Coroutine, Mmio } from '@iommukit/kernel';
import { AIDR, IDR0, IDR1, IDR3, IDR5, IIDR } from '@iommukit/smmuv3-spec';
import type { SmmuFeatures } from './features.js';

/** Output address bits by IDR5.OAS. */
const OUTPUT_BITS = [32, 36, 40, 42, 44, 48, 52, 56];
/** What IDR0.HTTU says; 3 adds the Access flag of table entries (D-12). */
const HARDWARE_UPDATE = ['none', 'access', 'dirty', 'dirty'] as const;
/** What IDR3.BBML says; 3 is reserved. */
const BLOCK_CHANGES = [0, 1, 2, 0] as const;
const STALL_MODEL = ['optional', 'never', 'forced'] as const;

/** The tables that an SMMU walks. */
const WALKED = 'VMSAv8-64';

type TableFormat = Pick<AddressSpaceFormat, 'name'>;

const VMSA: TableFormat = { name: WALKED };

/** Reads the ID registers. */
export function* readFeatures(mmio: Mmio): Coroutine<SmmuFeatures> {
  const idr0 = IDR0.unpack(yield* mmio.read32(IDR0.offset));
  const idr1 = IDR1.unpack(yield* mmio.read32(IDR1.offset));
  const idr3 = IDR3.unpack(yield* mmio.read32(IDR3.offset));
  const idr5 = IDR5.unpack(yield* mmio.read32(IDR5.offset));
  return {
    stage1: idr0.s1p === 1,
    stage2: idr0.s2p === 1,
    aarch64: (idr0.ttf & 2) !== 0,
    coherent: idr0.cohacc === 1,
    broadcast: idr0.btm === 1,
    httu: HARDWARE_UPDATE[idr0.httu]!,
    hypervisor: idr0.hyp === 1,
    ats: idr0.ats === 1,
    pri: idr0.pri === 1,
    sev: idr0.sev === 1,
    asidBits: idr0.asid16 === 1 ? 16 : 8,
    littleEndian: idr0.ttendian === 0 || idr0.ttendian === 2,
    stall: STALL_MODEL[idr0.stallModel] ?? 'never',
    terminateAborts: idr0.termModel === 1,
    twoLevelStreams: idr0.stLevel === 1,
    twoLevelContexts: idr0.cd2l === 1,
    streamBits: idr1.sidsize,
    ssidBits: idr1.ssidsize,
    commandBits: idr1.cmdqs,
    eventBits: idr1.eventqs,
    priBits: idr1.priqs,
    preset: [idr1.rel && 'REL', idr1.queuesPreset && 'QUEUES_PRESET', idr1.tablesPreset && 'TABLES_PRESET'].filter(
      (name) => typeof name === 'string',
    ),
    attributeOverride: idr1.attrTypesOvr === 1,
    rangeInvalidation: idr3.ril === 1,
    blockChanges: BLOCK_CHANGES[idr3.bbml]!,
    outputBits: OUTPUT_BITS[idr5.oas]!,
    inputBits: [48, 52, 56][idr5.vax] ?? 48,
    largeAddresses: idr5.ds === 1,
    granules: [idr5.gran4k && 12, idr5.gran16k && 14, idr5.gran64k && 16].filter((shift) => shift !== 0),
    implementation: yield* mmio.read32(IIDR.offset),
    architecture: yield* mmio.read32(AIDR.offset),
  };
}

/** What keeps this driver from driving the SMMU at all: nothing, or reasons. */
export function driverRefusals(features: SmmuFeatures): Refusal[] {
  const refusals: Refusal[] = features.preset.map((name) => ({
    reason: `IDR1.${name} is set: embedded implementations are not supported`,
    rule: 'SMMU-29',
  }));
  if (!features.stage1) refusals.push({ reason: 'IDR0.S1P is 0: it has no stage 1', rule: 'SMMU-8' });
  if (!features.aarch64) refusals.push({ reason: 'IDR0.TTF lacks AArch64 tables', rule: 'SMMU-9' });
  if (!features.littleEndian) refusals.push({ reason: 'IDR0.TTENDIAN lacks little-endian tables', rule: 'SMMU-9' });
  return refusals;
}

/** What the SMMU must be able to do to walk the CPUs' kind of tables: what is missing, as reasons. */
function tableRefusals(features: SmmuFeatures, cpu: CpuFeatures, format: TableFormat): string[] {
  const { granules, inputBits, largeAddresses, coherent } = features;
  const { virtualBits, pageShift } = cpu;
  const missing: string[] = [];
  if (!format.name.startsWith(WALKED)) missing.push(`the CPUs' tables are ${format.name}, it walks ${WALKED}`);
  if (!coherent) missing.push('IDR0.COHACC is 0: its table walks are not coherent with the CPUs');
  if (usesLargeAddresses(cpu)) {
    if (!largeAddresses) missing.push(`IDR5.DS is 0: no ${virtualBits} address bits with small pages`);
  } else if (inputBits < virtualBits) {
    missing.push(`IDR5.VAX allows ${inputBits} address bits, processes use ${virtualBits}`);
  }
  if (!granules.includes(pageShift)) missing.push(`IDR5 lacks the CPUs' page size of ${2 ** (pageShift - 10)} KiB`);
  return missing;
}

/** Why devices behind this SMMU cannot have DMA domains, whose tables are made as the CPUs' are: nothing, or reasons. */
export function domainRefusals(features: SmmuFeatures, cpu: CpuFeatures, format: TableFormat = VMSA): Refusal[] {
  return tableRefusals(features, cpu, format).map((reason) => ({ reason, rule: 'SMMU-9' }));
}

/** Why devices behind this SMMU cannot share the CPUs' page tables (SMMU-17): nothing, or reasons. */
export function svaRefusals(features: SmmuFeatures, cpu: CpuFeatures, format: TableFormat = VMSA): Refusal[] {
  const missing = sharedTableReasons(features, cpu, format);
  if (features.ssidBits === 0) missing.push('IDR1.SSIDSIZE is 0: it takes no PASIDs');
  return missing.map((reason) => ({ reason, rule: 'SMMU-17' }));
}

/** Why requests without PASID cannot use the CPUs' page tables: the same, but for PASIDs. */
export function withoutPasidRefusals(features: SmmuFeatures, cpu: CpuFeatures, format: TableFormat = VMSA): Refusal[] {
  return sharedTableReasons(features, cpu, format).map((reason) => ({ reason, rule: 'SMMU-17' }));
}

/** What keeps an SMMU from sharing the CPUs' tables and ASIDs. */
function sharedTableReasons(features: SmmuFeatures, cpu: CpuFeatures, format: TableFormat): string[] {
  const missing = tableRefusals(features, cpu, format);
  const { outputBits, asidBits } = features;
  const need = (there: boolean, reason: string): void => {
    if (!there) missing.push(reason);
  };
  need(outputBits >= cpu.physicalBits, `IDR5.OAS is ${outputBits} bits, the CPUs' PARange ${cpu.physicalBits}`);
  need(asidBits >= cpu.asidBits, `IDR0.ASID16 is 0: its ASIDs have ${asidBits} bits, the CPUs' ${cpu.asidBits}`);
  return missing;
}

/** True if the CPUs' tables hold 52-bit addresses with pages of 4 KiB or 16 KiB (LPA2): another form of descriptors. */
export function usesLargeAddresses({
  virtualBits,
  pageShift,
}: Pick<CpuFeatures, 'virtualBits' | 'pageShift'>): boolean {
  return virtualBits > 48 && pageShift < 16;
}
