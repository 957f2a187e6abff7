import type { AnyLayout } from '@iommukit/bitfield';
import { DESCRIPTOR_TYPE, GRANULES, PageDescriptor, TableDescriptor } from '@iommukit/paging';
import {
  CD,
  EVENT,
  EVENT_CLASS,
  FaultEvent,
  FWalkEabt,
  L1STD,
  OPCODE,
  STE,
  STE_CONFIG,
  Sync,
} from '@iommukit/smmuv3-spec';
import type { Deviation, DeviationContext } from '../../deviations.js';
import type { CaseStep, CompareCase, MemoryPiece } from '../case-format.js';
import { memoryBefore } from '../case-memory.js';
import type { AnswerDifference } from '../differences.js';
import { bitsOf, lowBitOf, valueIn } from '../field-bits.js';
import { compareMachine } from '../machine.js';
import { eventId, eventOf } from './events-seen.js';

const OUTPUT_BITS = 44n;
/** The machine has no RAM beyond. */
const RAM_BITS = 32n;
/** AP[1]: unprivileged requests, too. */
const UNPRIVILEGED = lowBitOf(PageDescriptor.f.ap);
const AP_TABLE = bitsOf(TableDescriptor.f.apTable);
/** APTable[0]. */
const PRIVILEGED_TABLE = lowBitOf(TableDescriptor.f.apTable);
const TYPE = BigInt(DESCRIPTOR_TYPE.TABLE_OR_PAGE);
const BLOCK = BigInt(DESCRIPTOR_TYPE.BLOCK);
const ENDI = bitsOf(CD.f.endi);
const DISABLED = bitsOf(CD.f.epd0) | bitsOf(CD.f.epd1);
const SPAN = bitsOf(L1STD.f.span);
const NG = bitsOf(PageDescriptor.f.ng);
const R = bitsOf(CD.f.r);
/** TTB0 and TTB1, to the largest granule. */
const TABLE_BASE = 0xffff_ffff_0000n;
const MEV = bitsOf(STE.f.mev);
/** The bits from 55 up of an address of the upper half. */
const UPPER = 0x1ffn;
/** Within a page, events are the same wherever they happened. */
const PAGE_OFFSET = 0xfffn;
/** What is looked for before rights. */
const EARLIER: readonly number[] = [EVENT.F_TRANSLATION, EVENT.F_WALK_EABT, EVENT.F_ADDR_SIZE, EVENT.F_ACCESS];
/** What is looked for after the output size. */
const LATER: readonly number[] = [EVENT.F_ACCESS, EVENT.F_PERMISSION];

/** The STE or CD of the access that step `index` is, as software left it; null where it cannot be found. */
function structureOf({ case: what }: DeviationContext, index: number, { name }: AnyLayout): readonly bigint[] | null {
  const step = what.steps[index];
  if (step?.do !== 'dma') return null;
  const memory = memoryBefore(what, index);
  const pieces = [...what.memory, ...what.steps.slice(0, index).filter((one) => one.do === 'store')];
  const piece = pieces.find((one) => one.as === name && one.what === `${name} of ${step.device}`);
  return piece === undefined ? null : piece.words.map((_word, i) => memory.get(piece.address + i * 8) ?? 0n);
}

const steOf = (context: DeviationContext, index: number) => structureOf(context, index, STE);
const cdOf = (context: DeviationContext, index: number) => structureOf(context, index, CD);

const configOf = (ste: readonly bigint[]): number => Number(valueIn(ste[0]!, STE.f.config));

/** Some descriptor that software has put anywhere fits. */
function someDescriptor(
  what: CompareCase,
  kinds: readonly string[],
  test: (word: bigint, piece: MemoryPiece) => boolean,
): boolean {
  const pieces = [...what.memory, ...what.steps.filter((step) => step.do === 'store')];
  return pieces.some((piece) => kinds.includes(piece.as) && test(piece.words[0]!, piece));
}

/** The page or block, as its name tells where it is mapped, holds an address. */
function leafHolds({ what }: MemoryPiece, iova: bigint): boolean {
  const [, name, level, at] = /^(\d+K) level (\d) of (0x[0-9a-f]+)$/.exec(what) ?? [];
  const granule = Object.values(GRANULES).find((one) => one.name === name);
  if (granule === undefined) return false;
  const shift = BigInt(granule.levelShift[Number(level)]!);
  return BigInt(at!) >> shift === iova >> shift;
}

/** The address lies in the table that TTB0 or TTB1 of the access names. */
function inFirstTable(context: DeviationContext, index: number, address: number): boolean {
  const [, lower, upper] = cdOf(context, index) ?? [];
  const table = (of: bigint | undefined): bigint => (of ?? 0n) & TABLE_BASE;
  return [table(lower), table(upper)].includes(BigInt(address) & TABLE_BASE);
}

/** The models refuse an access for its rights. With CD.R=0 they do not say so. */
function refusedForRights(context: DeviationContext, index: number): boolean {
  const event = ours(context, index);
  if (event !== null) return eventId(event) === EVENT.F_PERMISSION;
  const [word] = cdOf(context, index) ?? [R];
  return (word! & R) === 0n && context.ours.steps[index]?.['ok'] !== true;
}

const ours = (context: DeviationContext, index: number) => eventOf(context.ours, index);
const theirs = (context: DeviationContext, index: number) => eventOf(context.theirs, index);

/** The SMMU could not fetch from an address that is wider than those of memory. */
const fetchedBeyond = (event: readonly bigint[] | null): boolean =>
  eventId(event) === EVENT.F_WALK_EABT && (event![3]! & bitsOf(FWalkEabt.f.fetchAddr)) >> RAM_BITS !== 0n;

/**
 * Words of two events of one request that differ in what only their kind tells: its number, CLASS, and the address of a failed fetch,
 * which is of `fetched` alone.
 */
function sameButKind({ field, ours: a, theirs: b }: AnswerDifference, fetched: 'ours' | 'theirs'): boolean {
  if (typeof a !== 'bigint' || typeof b !== 'bigint') return false;
  if (field === 'EVENT_3') return (fetched === 'ours' ? b : a) === 0n;
  const kind = { EVENT_0: 0xffn, EVENT_1: 3n << 40n }[field];
  return kind !== undefined && ((a ^ b) & ~kind) === 0n;
}

/** QEMU's event may be merged with that of step `index`; also where the models call both F_ADDR_SIZE (smmu-size-last). */
function mayBeMerged(context: DeviationContext, index: number, event: readonly bigint[]): boolean {
  if (sameEvent(theirs(context, index), event)) return true;
  if (!LATER.includes(eventId(event) ?? 0)) return false;
  const number = bitsOf(FaultEvent.f.eventId);
  const [first, ...rest] = event;
  return sameEvent(ours(context, index), [(first! & ~number) | BigInt(EVENT.F_ADDR_SIZE), ...rest]);
}

/** Two events that may be merged. */
const sameEvent = (one: readonly bigint[] | null, other: readonly bigint[]): boolean =>
  one?.every((word, i) => (word & ~(i === 2 ? PAGE_OFFSET : 0n)) === (other[i]! & ~(i === 2 ? PAGE_OFFSET : 0n))) ??
  false;

/** CMD_SYNC with CS=3. */
const isSyncWithReservedSignal = (word: bigint): boolean =>
  valueIn(word, Sync.f.opcode) === BigInt(OPCODE.SYNC) && valueIn(word, Sync.f.cs) === 3n;

/** What QEMU's SMMUv3 does otherwise. */
export const SMMUV3_DEVIATIONS: readonly Deviation[] = [
  {
    id: 'smmu-fetch-address',
    title: 'QEMU tells the address of a failed fetch in the third word of F_STE_FETCH and F_CD_FETCH',
    specification: 'smmuv3.md 5.1 and D-9: FetchAddr is dw3[55:3]; the third word is 0',
    reason: 'the specification says so',
    explains: ({ step, field }, context) => {
      const [a, b] = [ours(context, step), theirs(context, step)];
      if (a === null || b === null || !(field === 'EVENT_2' || field === 'EVENT_3')) return false;
      const id = eventId(a);
      return (id === EVENT.F_CD_FETCH || id === EVENT.F_STE_FETCH) && a[0] === b[0] && a[2] === b[3] && a[3] === b[2];
    },
  },
  {
    id: 'smmu-bypass-width',
    title: 'QEMU refuses addresses beyond the output size in bypass without a record',
    specification: 'smmuv3.md 3.3: stage 1 not translating, input above OAS: F_ADDR_SIZE with S2=0, CLASS=IN',
    reason: 'the specification says so',
    skips: (index, _found, context) => {
      const step = context.case.steps[index];
      const event = ours(context, index);
      return (
        step?.do === 'dma' &&
        step.iova >> OUTPUT_BITS !== 0n &&
        eventId(event) === EVENT.F_ADDR_SIZE &&
        valueIn(event![1]!, FaultEvent.f.class) === BigInt(EVENT_CLASS.IN) &&
        theirs(context, index) === null &&
        configOf(steOf(context, index) ?? [0n]) === STE_CONFIG.BYPASS
      );
    },
  },
  {
    id: 'smmu-recinvsid',
    title: 'QEMU records C_BAD_STREAMID whatever CR2.RECINVSID says',
    specification: 'smmuv3.md 5.1 0x02: recorded only if CR2.RECINVSID',
    reason: 'the specification says so',
    skips: (index, _found, context) =>
      eventId(theirs(context, index)) === EVENT.C_BAD_STREAMID &&
      ours(context, index) === null &&
      context.ours.steps[index]?.['ok'] !== true,
  },
  {
    id: 'smmu-span',
    title:
      'QEMU takes Span for the log2 of the entries of a second-level stream table, and reports an index beyond as C_BAD_STE',
    specification: 'smmuv3.md 2.1 and D-8: 2^(Span-1) entries; an index beyond is C_BAD_STREAMID',
    reason: 'the specification says so',
    skips: (index, _found, context) =>
      compareMachine(context.case.machine)!.leavesTraces(context.case) &&
      someDescriptor(context.case, [L1STD.name], (word) => (word & SPAN) !== 0n) &&
      (eventId(ours(context, index)) === EVENT.C_BAD_STREAMID || ours(context, index) === null) &&
      context.ours.steps[index]?.['ok'] !== true,
  },
  {
    id: 'smmu-unprivileged',
    title: 'QEMU lets unprivileged requests use pages of privileged software',
    specification: 'smmuv3.md 3.2: with PnU=0 a page needs AP[1]=1, else F_PERMISSION',
    reason: 'the specification says so',
    skips: (index, _found, context) =>
      refusedForRights(context, index) &&
      (someDescriptor(context.case, ['page', 'block'], (word) => (word & UNPRIVILEGED) === 0n) ||
        // A table that became a block, or takes the right away.
        someDescriptor(context.case, ['table'], (word) =>
          (word & TYPE) === BLOCK ? (word & UNPRIVILEGED) === 0n : (word & PRIVILEGED_TABLE) !== 0n,
        )),
  },
  {
    id: 'smmu-table-rights-first',
    title: 'QEMU refuses at the table whose APTable takes the right away, and does not look below',
    specification: 'smmuv3.md 3.3: translation, then address size, then access, then permission',
    reason: 'the specification says so',
    explains: (difference, context) =>
      sameButKind(difference, 'ours') &&
      EARLIER.includes(eventId(ours(context, difference.step)) ?? 0) &&
      eventId(theirs(context, difference.step)) === EVENT.F_PERMISSION &&
      someDescriptor(context.case, ['table'], (word) => (word & AP_TABLE) !== 0n),
    // CD.R=0: QEMU records no refusal for rights.
    skips: (index, _found, context) =>
      eventId(ours(context, index)) === EVENT.F_WALK_EABT &&
      theirs(context, index) === null &&
      ((cdOf(context, index)?.[0] ?? R) & R) === 0n &&
      someDescriptor(context.case, ['table'], (word) => (word & AP_TABLE) !== 0n),
  },
  {
    id: 'smmu-size-last',
    title: 'QEMU looks at the Access flag and at rights before the output size of a page',
    specification: 'smmuv3.md 3.3: translation, then address size, then access, then permission',
    reason: 'the specification says so',
    explains: (difference, context) =>
      difference.field === 'EVENT_0' &&
      sameButKind(difference, 'ours') &&
      eventId(ours(context, difference.step)) === EVENT.F_ADDR_SIZE &&
      LATER.includes(eventId(theirs(context, difference.step)) ?? 0),
  },
  {
    id: 'smmu-block-level',
    title: 'QEMU takes blocks at level 1 of the 16K and 64K granules',
    specification: 'smmuv3.md 3.1: 64 GiB only with DS, 4 TiB only with 52-bit addresses; F_TRANSLATION',
    reason: 'the specification says so',
    skips: (index, _found, context) =>
      eventId(ours(context, index)) === EVENT.F_TRANSLATION &&
      (someDescriptor(context.case, ['table'], (word) => (word & TYPE) === BLOCK) ||
        // TxSZ makes the table of level 2 the first one, of level 1.
        someDescriptor(context.case, ['block'], (_word, { address }) => inFirstTable(context, index, address))),
  },
  {
    id: 'smmu-table-rights-cached',
    title: 'QEMU forgets APTable once a translation is cached: a write after a read is let through',
    specification: 'smmuv3.md 3.2: APTable takes rights from everything below',
    reason: 'the specification says so',
    skips: (index, _found, context) =>
      refusedForRights(context, index) &&
      theirs(context, index) === null &&
      someDescriptor(context.case, ['table'], (word) => (word & AP_TABLE) !== 0n),
  },
  {
    id: 'smmu-no-substreams',
    title: 'QEMU refuses an STE with S1CDMax although SSIDSIZE is 0',
    specification: 'smmuv3.md 2.2 and D-16: S1CDMax is ignored if SSIDSIZE=0',
    reason: 'the specification says so',
    skips: (index, _found, context) =>
      eventId(theirs(context, index)) === EVENT.C_BAD_STE &&
      valueIn(steOf(context, index)?.[0] ?? 0n, STE.f.s1cdMax) !== 0n,
  },
  {
    id: 'smmu-table-address-size',
    title: 'QEMU fetches from tables beyond the output size, and reports F_WALK_EABT',
    specification: 'smmuv3.md 3.3: an output address beyond min(IPS, OAS) is F_ADDR_SIZE, at every level',
    reason: 'the specification says so',
    explains: (difference, context) =>
      sameButKind(difference, 'theirs') &&
      eventId(ours(context, difference.step)) === EVENT.F_ADDR_SIZE &&
      fetchedBeyond(theirs(context, difference.step)),
    // CD.R=0: the models record nothing.
    skips: (index, _found, context) => ours(context, index) === null && fetchedBeyond(theirs(context, index)),
  },
  {
    id: 'smmu-top-byte',
    title: 'QEMU takes TBI0 for both halves of an address space',
    specification: 'smmuv3.md 3.1: with bit 55 set, TBI1 says whether bits 63:56 count',
    reason: 'the specification says so',
    skips: (index, _found, context) => {
      const step = context.case.steps[index];
      if (step?.do !== 'dma' || ((step.iova >> 55n) & 1n) === 0n || step.iova >> 55n === UPPER) return false;
      const [word] = cdOf(context, index) ?? [0n];
      if (valueIn(word!, CD.f.tbi0) === valueIn(word!, CD.f.tbi1)) return false;
      // The one that counts the top byte finds no translation; with CD.R=0 it does not say so.
      const [a, b] = [ours(context, index), theirs(context, index)].map(eventId);
      return (a === EVENT.F_TRANSLATION) !== (b === EVENT.F_TRANSLATION) || (a === null && b === null);
    },
  },
  {
    id: 'smmu-endianness',
    title: 'QEMU ignores CD.ENDI where both halves of the address space are disabled',
    specification: 'smmuv3.md 1.1 and 2.3: IDR0.TTENDIAN=2 has little-endian tables only; C_BAD_CD',
    reason: 'the specification says so',
    skips: (index, _found, context) => {
      const [word] = cdOf(context, index) ?? [0n];
      return (
        eventId(ours(context, index)) === EVENT.C_BAD_CD && (word! & ENDI) !== 0n && (word! & DISABLED) === DISABLED
      );
    },
  },
  {
    id: 'smmu-merged-events',
    title: 'QEMU records every event, although STE.MEV lets events with the same content be merged',
    specification: 'smmuv3.md 2.2 and 5.2: with MEV=1 the SMMU may merge',
    reason: 'the specification leaves it open',
    skips: (index, _found, context) => {
      const event = theirs(context, index);
      return (
        event !== null &&
        ours(context, index) === null &&
        ((steOf(context, index)?.[1] ?? 0n) & MEV) !== 0n &&
        context.case.steps.slice(0, index).some((_step, i) => mayBeMerged(context, i, event))
      );
    },
  },
  {
    id: 'smmu-global',
    title: 'QEMU finds a global page by the ASID that it was cached with alone',
    specification: 'smmuv3.md 3.2 and 3.4: with nG=0 an entry is not tagged with the ASID, and matches others',
    reason: 'the specification says so; that both address spaces map a page otherwise is wrong of software',
    skips: (index, _found, { case: what }) => {
      const step = what.steps[index];
      if (step?.do !== 'dma') return false;
      const before = what.steps.slice(0, index);
      return someDescriptor(what, ['page', 'block'], (word, piece) => {
        const holds = (iova: bigint): boolean => (word & NG) === 0n && leafHolds(piece, iova);
        const other = (one: CaseStep): boolean => one.do === 'dma' && one.device !== step.device && holds(one.iova);
        return holds(step.iova) && before.some(other);
      });
    },
  },
  {
    id: 'smmu-sync-signal',
    title: 'QEMU takes CMD_SYNC with the reserved CS=3',
    specification: 'smmuv3.md 4.2: CS=3 is CERROR_ILL',
    reason: 'the specification says so',
    skips: (index, _found, { case: what }) => {
      const step = what.steps[index];
      return step?.do === 'queue' && isSyncWithReservedSignal(step.words[0]!);
    },
  },
];
