import type { Coroutine } from '@iommukit/kernel';
import { ATC_SIZE_ALL } from '@iommukit/smmuv3-spec';
import { type AtcSpan, atcSpan } from './atc-range.js';
import * as add from './commands.js';
import type { PageRange } from './page-range.js';
import { pageCount } from './page-range.js';
import type { Domain, Master } from './records.js';
import type { Smmu } from './smmu.js';
import { tlbRanges } from './tlb-ranges.js';

/** Pages from which on an ASID is invalidated as a whole: 2^(12 - 3), without range commands (SMMU-21). */
export const WHOLE_ASID_PAGES = 512;

/** Pages from which on range commands do not reach. */
const RANGE_PAGES = 2 ** 31;

/** All of one PASID. */
const ALL: AtcSpan = { page: 0, size: ATC_SIZE_ALL };

/** What the hardware and the devices have to forget. Each method returns when they have: its batch ends with a SYNC. */
export class Invalidation {
  readonly smmu: Smmu;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
  }

  /** The STE of a stream; with `leaf` false also the level-1 descriptor in front of it. */
  streamEntry(sid: number, leaf = true): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    add.addCfgiSte(batch, sid, leaf);
    return commands.submitAndSync(batch);
  }

  /** A context descriptor, as every device of the domain reaches it. */
  contextDescriptor(domain: Domain, ssid: number): Coroutine<void> {
    return this.contexts(domain, ssid, true);
  }

  /** A level-1 context descriptor, and those behind it. */
  contextLeaf(domain: Domain, ssid: number): Coroutine<void> {
    return this.contexts(domain, ssid, false);
  }

  *contexts(domain: Domain, ssid: number, leaf: boolean): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    for (const master of domain.masters) {
      for (const sid of master.device.streams) {
        if (batch.full) yield* commands.flush(batch);
        add.addCfgiCd(batch, sid, ssid, leaf);
      }
    }
    yield* commands.submitAndSync(batch);
  }

  /** Every translation of an ASID. */
  tlbAsid(asid: number): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    add.addTlbiAsid(batch, asid);
    return commands.submitAndSync(batch);
  }

  /** An ASID's translations of some pages, and the tables in front of them: they may be freed next (SMMU-21). */
  *tlbRange(asid: number, range: PageRange): Coroutine<void> {
    const pages = pageCount(range);
    if (pages >= this.wholeAsidPages()) yield* this.tlbAsid(asid);
    else if (this.smmu.features.rangeInvalidation) yield* this.tlbByRange(asid, range);
    else yield* this.tlbByPage(asid, range);
  }

  /** From how many pages on one command for the ASID does the work (MN-17: otherwise a long range never ends). */
  wholeAsidPages(): number {
    return this.smmu.features.rangeInvalidation ? RANGE_PAGES : WHOLE_ASID_PAGES;
  }

  tlbByRange(asid: number, range: PageRange): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    for (const part of tlbRanges(range)) add.addTlbiRange(batch, asid, part);
    return commands.submitAndSync(batch);
  }

  *tlbByPage(asid: number, range: PageRange): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    for (let page = range.first; page <= range.last; page++) {
      if (batch.full) yield* commands.flush(batch);
      add.addTlbiPage(batch, asid, page);
    }
    yield* commands.submitAndSync(batch);
  }

  /** What devices of the domain cache of some pages of a PASID. After the TLB: they would refill from it (SMMU-19). */
  atcRange(domain: Domain, pasid: number, range: PageRange): Coroutine<void> {
    return this.atc(domain, pasid, this.atcSpan(range));
  }

  /** Everything that devices of the domain cache of a PASID. */
  atcPasid(domain: Domain, pasid: number): Coroutine<void> {
    return this.atc(domain, pasid, ALL);
  }

  /** The command's range that covers these pages (SMMU-22). */
  atcSpan(range: PageRange): AtcSpan {
    return atcSpan(range);
  }

  *atc(domain: Domain, pasid: number, span: AtcSpan): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    for (const master of domain.masters) {
      if (!master.ats) continue;
      for (const sid of master.device.streams) {
        if (batch.full) yield* commands.flush(batch);
        add.addAtcInv(batch, sid, pasid, span);
      }
    }
    if (batch.count === 0) commands.giveBack(batch);
    else yield* commands.submitAndSync(batch);
  }

  /** Everything that a device caches, whatever the PASID. */
  *atcDevice(master: Master): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    for (const sid of master.device.streams) {
      if (batch.full) yield* commands.flush(batch);
      add.addAtcInvAll(batch, sid);
    }
    yield* commands.submitAndSync(batch);
  }

  /** All configuration. */
  everyEntry(): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    add.addCfgiAll(batch);
    return commands.submitAndSync(batch);
  }

  /** All translations of the EL2 world. */
  tlbEl2(): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    add.addTlbiEl2All(batch);
    return commands.submitAndSync(batch);
  }

  /** All translations of the Non-secure EL1 world. */
  tlbAll(): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    add.addTlbiAll(batch);
    return commands.submitAndSync(batch);
  }
}
