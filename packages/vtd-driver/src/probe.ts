import type { AddressSpaceFormat, CpuFeatures, Refusal } from '@iommukit/core';
import type { Coroutine, Mmio } from '@iommukit/kernel';
import { CAP, ECAP, VER } from '@iommukit/vtd-spec';
import type { VtdFeatures } from './features.js';
import type { Mode } from './settings.js';

/** The tables that a first-stage walk reads. */
const WALKED = 'x86-64';
/** Level of the tables whose leaves are pages of 1 GiB, counted as core does. */
const GIGABYTE_LEVEL = 1;

type TableFormat = Pick<AddressSpaceFormat, 'name' | 'leafOrders' | 'pageShift' | 'addressBits'>;

/** Reads the capability registers. */
export function* readFeatures(mmio: Mmio): Coroutine<VtdFeatures> {
  const words = new Uint32Array(2);
  const version = VER.f.max.of(yield* mmio.read32(VER.offset));
  yield* mmio.read64(CAP.offset, words);
  const cap = CAP.decode(words);
  yield* mmio.read64(ECAP.offset, words);
  const ecap = ECAP.decode(words);
  const pasid = ecap.pasid === 1;
  return {
    version,
    domainBits: 4 + 2 * cap.nd,
    rwbf: cap.rwbf === 1,
    cm: cap.cm === 1,
    sagaw: cap.sagaw,
    guestBits: cap.mgaw + 1,
    sllps: cap.sllps,
    recordsAt: 16 * cap.fro,
    records: cap.nfr + 1,
    psi: cap.psi === 1,
    mamv: cap.mamv,
    dwd: cap.dwd === 1,
    drd: cap.drd === 1,
    fl1gp: cap.fl1gp === 1,
    fl5lp: cap.fl5lp === 1,
    esrtps: cap.esrtps === 1,
    coherent: ecap.c === 1,
    qi: ecap.qi === 1,
    dt: ecap.dt === 1,
    pt: ecap.pt === 1,
    sc: ecap.sc === 1,
    ecs: ecap.ecs === 1,
    mts: ecap.mts === 1,
    nest: ecap.nest === 1,
    dis: ecap.dis === 1,
    prs: ecap.prs === 1,
    ers: ecap.ers === 1,
    srs: ecap.srs === 1,
    eafs: ecap.eafs === 1,
    pasid,
    pasidBits: pasid ? ecap.pss + 1 : 0,
    dit: ecap.dit === 1,
    pds: ecap.pds === 1,
    smts: ecap.smts === 1,
    slads: ecap.slads === 1,
    slts: ecap.slts === 1,
    flts: ecap.flts === 1,
    smpwcs: ecap.smpwcs === 1,
    seesStores: ecap.smpwcs === 1,
  };
}

/** The mode that the unit is used in: what was asked for, or legacy where scalable mode is asked for and not there. */
export function modeOf({ smts }: VtdFeatures, asked: Mode): Mode {
  return asked === 'scalable' && !smts ? 'legacy' : asked;
}

/**
 * What keeps this driver from driving the unit in a mode: nothing, or reasons. That its walks do not look into the CPUs' caches
 * (ECAP.C is 0) is none: what it walks is written to memory that is coherent for every device (VTD-4).
 */
export function driverRefusals(features: VtdFeatures, mode: Mode): Refusal[] {
  const refusals: Refusal[] = [];
  if (!features.qi) {
    refusals.push({
      reason: 'ECAP.QI is 0: it has no invalidation queue, and the driver knows no other way',
      rule: 'VTD-1',
    });
  }
  if (mode === 'ecs' && !features.ecs) {
    refusals.push({ reason: 'ECAP.ECS is 0: it has no extended-context mode', rule: 'VTD-45' });
  }
  return refusals;
}

/** Why devices behind this unit cannot share the CPUs' page tables (FEAT-3, vtd.md 1.3): nothing, or reasons. */
export function svaRefusals(features: VtdFeatures, mode: Mode, cpu: CpuFeatures, format: TableFormat): Refusal[] {
  const missing: string[] = [];
  if (mode === 'legacy') missing.push(legacyReason(features, 'it takes no PASIDs'));
  if (!features.pasid) missing.push('ECAP.PASID is 0: it takes no requests with PASID');
  return [...missing, ...tableReasons(features, mode, cpu, format)].map((reason) => ({ reason, rule: 'FEAT-3' }));
}

/** Why requests without PASID cannot use the CPUs' page tables: nothing, or reasons. Only scalable mode has an entry for them (VTD-40). */
export function firstStageRefusals(
  features: VtdFeatures,
  mode: Mode,
  cpu: CpuFeatures,
  format: TableFormat,
): Refusal[] {
  const missing: string[] = [];
  if (mode === 'legacy') missing.push(legacyReason(features, 'it has no first stage'));
  if (mode === 'ecs') missing.push('vtd.mode is ecs: the first stage is for requests with PASID');
  return [...missing, ...tableReasons(features, mode, cpu, format)].map((reason) => ({ reason, rule: 'VTD-40' }));
}

function legacyReason({ smts }: VtdFeatures, lacking: string): string {
  return smts ? `vtd.mode is legacy: ${lacking}` : 'ECAP.SMTS is 0: no scalable mode';
}

/** What keeps a unit from walking the CPUs' tables. */
function tableReasons(features: VtdFeatures, mode: Mode, cpu: CpuFeatures, format: TableFormat): string[] {
  const missing: string[] = [];
  const need = (there: boolean, reason: string): void => {
    if (!there) missing.push(reason);
  };
  if (mode === 'scalable') {
    need(features.flts, 'ECAP.FLTS is 0: it has no first stage');
    need(features.seesStores, 'ECAP.SMPWCS is 0: its table walks are not coherent with the CPUs');
  }
  need(format.name.startsWith(WALKED), `the CPUs' tables are ${format.name}, it walks ${WALKED}`);
  if (format.name.startsWith(WALKED)) {
    need(
      features.fl1gp || format.leafOrders(GIGABYTE_LEVEL).length === 0,
      'CAP.FL1GP is 0: no pages of 1 GiB, as the CPUs have',
    );
    need(
      features.fl5lp || format.addressBits <= 48,
      `CAP.FL5LP is 0: no 5-level tables, and processes use ${cpu.virtualBits} bits`,
    );
  }
  return missing;
}

/** Why page requests of devices behind this unit cannot be taken (VTD-30), or ''. */
export function requestRefusal({ prs, pds }: VtdFeatures): string {
  if (!prs) return 'it takes no page requests (ECAP.PRS is 0)';
  return pds ? '' : 'it cannot drain page requests (ECAP.PDS is 0)';
}
