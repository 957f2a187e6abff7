import { type PageSpan, pageCount } from '@iommukit/core';
import { type Coroutine, powerOfTwo } from '@iommukit/kernel';
import { coveringRange, type PageRange } from '@iommukit/pci-ats';
import { ATC_SIZE_ALL } from '@iommukit/smmuv3-spec';
import * as add from './commands.js';
import { TARGET } from './invalidation-targets.js';
import type { Domain, Master } from './records.js';
import type { Smmu } from './smmu.js';
import { addTlbiAll, addTlbiAsid, addTlbiEl2All, addTlbiPage, addTlbiRange, type TlbTarget } from './tlb-commands.js';
import { leafLevel, tlbRanges } from './tlb-ranges.js';

/**
 * Pages of 4 KiB from which on an ASID is invalidated as a whole, without range commands: 2^(`pageShift` - 3) pages of
 * 2^`pageShift` bytes (SMMU-21).
 */
export function wholeAsidPages(pageShift: number): number {
  return 2 ** (pageShift - 3) * 2 ** (pageShift - 12);
}

/** Pages from which on range commands do not reach. */
const RANGE_PAGES = 2 ** 31;

/** An ATC invalidation without PASID. */
const NO_TAG = -1;

/** All of one PASID. */
const ALL: PageRange = { page: 0, order: ATC_SIZE_ALL };

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
    addTlbiAsid(batch, this.smmu.el2, asid);
    return commands.submitAndSync(batch);
  }

  /**
   * An ASID's translations of some pages (SMMU-21): of entries that mapped 2^`leafShift` bytes each, or of all, and of
   * the tables in front of them, which may be freed next.
   */
  *tlbRange(asid: number, range: PageSpan, leafShift = 0): Coroutine<void> {
    const leafPages = powerOfTwo(Math.max(0, leafShift - this.granuleShift()));
    if (this.pagesIn(range) / leafPages >= this.wholeAsidPages()) yield* this.tlbAsid(asid);
    else if (this.smmu.features.rangeInvalidation) yield* this.tlbByRange(asid, range, leafShift);
    else yield* this.tlbByPage(asid, range, leafShift);
  }

  /** How many pages of 4 KiB: more than 32 bits. */
  pagesIn(range: PageSpan): number {
    return pageCount(range);
  }

  /** From how many pages on one command for the ASID does the work (MN-17: otherwise a long range never ends). */
  wholeAsidPages(): number {
    return this.smmu.features.rangeInvalidation ? RANGE_PAGES : wholeAsidPages(this.granuleShift());
  }

  /** log2 of the bytes that one command by page covers: the pages of the tables (SMMU-24). */
  granuleShift(): number {
    return this.smmu.cpu.pageShift;
  }

  tlbByRange(asid: number, range: PageSpan, leafShift = 0): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    const target = this.tlbTarget(asid, leafShift);
    for (const part of tlbRanges(range, target.granuleShift, target.ttl)) addTlbiRange(batch, target, part);
    return commands.submitAndSync(batch);
  }

  *tlbByPage(asid: number, range: PageSpan, leafShift = 0): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    const target = this.tlbTarget(asid, leafShift);
    const step = powerOfTwo(Math.max(leafShift, target.granuleShift) - 12);
    const first = Math.floor(range.first / step) * step;
    for (let done = 0; done < range.first - first + this.pagesIn(range); done += step) {
      if (batch.full) yield* commands.flush(batch);
      addTlbiPage(batch, target, first + done);
    }
    yield* commands.submitAndSync(batch);
  }

  tlbTarget(asid: number, leafShift: number): TlbTarget {
    const granuleShift = this.granuleShift();
    const ttl = leafLevel(leafShift, granuleShift);
    return { el2: this.smmu.el2, asid, granuleShift, leaf: leafShift > 0, ttl };
  }

  /** What devices of the domain cache of some pages of a PASID. After the TLB: they would refill from it (SMMU-19). */
  atcRange(domain: Domain, pasid: number, range: PageSpan): Coroutine<void> {
    return this.atc(domain, pasid, this.atcSpan(range));
  }

  /** Everything that devices of the domain cache of a PASID. */
  atcPasid(domain: Domain, pasid: number): Coroutine<void> {
    return this.atc(domain, pasid, ALL);
  }

  /** The command's range that covers these pages (SMMU-22). */
  atcSpan(range: PageSpan): PageRange {
    return coveringRange(range.first, range.last);
  }

  /**
   * What devices of the domain cache of some pages of requests without PASID. No command hits these alone: entries of
   * every PASID go with them (SMMU-23, TLB-10).
   */
  atcUntagged(domain: Domain, range: PageSpan): Coroutine<void> {
    return this.atc(domain, NO_TAG, this.atcSpan(range));
  }

  /** Everything that devices of the domain cache, whatever the PASID: what came without one goes no other way (SMMU-23). */
  atcEverything(domain: Domain): Coroutine<void> {
    return this.atc(domain, NO_TAG, ALL);
  }

  /** One command for each target of the list as it is now: who comes later has an empty cache (SMMU-26). */
  *atc(domain: Domain, pasid: number, span: PageRange): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    for (const { type, id, users } of domain.targets) {
      if (type !== TARGET.ATS || users === 0) continue;
      if (batch.full) yield* commands.flush(batch);
      add.addAtcInv(batch, id, pasid, span);
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
    addTlbiEl2All(batch);
    return commands.submitAndSync(batch);
  }

  /** All translations of the Non-secure EL1 world. */
  tlbAll(): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    addTlbiAll(batch);
    return commands.submitAndSync(batch);
  }
}
