import { ECS_TT, EcsContextEntry, EcsPasidEntry } from '@iommukit/vtd-spec';
import type { FirstStage } from '../pasid-entries.js';
import type { SecondStage } from '../second-stage-entries.js';

/** What a device's context entry says in the extended-context mode. */
export interface ExtendedContext {
  /** Where requests without PASID go. */
  readonly second: SecondStage;
  /** The unit's PASID table, of `entries` entries, and the state table beside it; 0: none. */
  readonly table: number;
  readonly states: number;
  readonly entries: number;
  readonly pasids: boolean;
  /** The device translates by itself. */
  readonly ats: boolean;
  /** It sends page requests. */
  readonly pri: boolean;
}

/** log2 of the PASIDs of a table with PTS 0: no table is smaller. */
export const LEAST_BITS = 5;

/** An extended context entry (vtd.md 2.4). */
export function extendedContext(about: ExtendedContext): Uint32Array {
  const { second, table, states, entries, pasids, ats, pri } = about;
  return EcsContextEntry.make({
    p: 1,
    tt: ats ? ECS_TT.DEVICE_TLB : ECS_TT.UNTRANSLATED,
    dinve: states === 0 ? 0 : 1,
    pre: pri ? 1 : 0,
    paside: pasids ? 1 : 0,
    slptptr: second.pgd,
    aw: second.aw,
    did: second.did,
    pts: Math.log2(entries) - LEAST_BITS,
    pasidptr: table,
    pasidstptr: states,
  });
}

/** The 8-byte PASID entry of an address space (vtd.md 2.5). Its tag is the domain id of the device's context entry. */
export function extendedEntry({ pgd, levels, supervisor = false }: FirstStage): Uint32Array {
  return EcsPasidEntry.make({ p: 1, flpm: levels === 5 ? 1 : 0, sre: supervisor ? 1 : 0, flptptr: pgd });
}
