import { SecondStagePage, X86Page } from '@iommukit/paging';
import { ContextEntry, LegacyContextEntry, PasidDirEntry, PasidEntry, PasidIotlbInv, PGTT } from '@iommukit/vtd-spec';
import type { Deviation, DeviationContext } from '../../deviations.js';
import type { CompareCase, MemoryPiece } from '../case-format.js';
import { bitsOf, valueIn } from '../field-bits.js';
import { passesThrough, pathOf } from './case-tables.js';
import { reasonSeen, reasonsAlone } from './faults-seen.js';

/** What legacy mode calls the reasons of scalable mode (vtd.md 5.1 and 5.2). */
const LEGACY_REASONS: Readonly<Record<number, readonly number[]>> = {
  56: [0x08],
  57: [0x01],
  58: [0x0a],
  64: [0x09],
  65: [0x02],
  66: [0x0b],
  67: [0x03],
  120: [0x07],
  121: [0x05, 0x06],
  122: [0x0c],
  123: [0x03],
  132: [0x04],
  133: [0x05],
  134: [0x06],
  135: [0x0e],
};
/** Reasons of rights, of each mode and stage. */
const RIGHTS: readonly number[] = [0x05, 0x06, 0x81, 0x85, 0x86];
/** Reasons that a walk ends with at a level below the one that takes a right away. */
const BELOW: readonly number[] = [
  0x05, 0x06, 0x07, 0x0c, 0x0e, 0x70, 0x71, 0x72, 0x78, 0x79, 0x7a, 0x81, 0x85, 0x86, 0x87,
];
const ACCESSED = bitsOf(X86Page.f.a);
const DIRTY = bitsOf(X86Page.f.d);
const SNP = bitsOf(SecondStagePage.f.snp);
const QUALIFYING: readonly string[] = [LegacyContextEntry, ContextEntry, PasidDirEntry, PasidEntry].map(
  ({ name }) => name,
);
/** CAP.MAMV of the machines. */
const MAMV = 18;
/** In each of these the same bit. */
const FPD = bitsOf(PasidEntry.f.fpd);
const PWSNP = bitsOf(PasidEntry.f.pwsnp);
const WIDTH = 48n;

/** What QEMU's VT-d does otherwise. */
export const VTD_DEVIATIONS: readonly Deviation[] = [
  {
    id: 'vtd-legacy-reasons',
    title:
      'In scalable mode QEMU reports root and context entries and the second stage with the reasons of legacy mode',
    specification: 'vtd.md 5.2: scalable mode has numbers of its own, 0x38 to 0x48 and 0x78 to 0x87',
    reason: 'what is wrong is the same, only the number is not (QE-3)',
    explains: ({ field, ours, theirs }, { case: what }) => {
      const reasons = field === 'FRCD_HI' && what.machine !== 'vtd-legacy' ? reasonsAlone(ours, theirs) : null;
      return reasons !== null && (LEGACY_REASONS[reasons[0]]?.includes(reasons[1]) ?? false);
    },
  },
  {
    id: 'vtd-early-rights',
    title: 'QEMU refuses at the first level that lacks a right, and does not look at the levels below',
    specification: 'vtd.md 2.11, 2.12: rights accumulate over the levels, what is wrong on the way is found first',
    reason: 'of several things that are wrong with one request one is reported; which one is open',
    explains: ({ field, ours, theirs }) => {
      const reasons = field === 'FRCD_HI' ? reasonsAlone(ours, theirs) : null;
      if (reasons === null || LEGACY_REASONS[reasons[0]]?.includes(reasons[1])) return false;
      return BELOW.includes(reasons[0]) && RIGHTS.includes(reasons[1]);
    },
  },
  {
    id: 'vtd-accessed-when-refused',
    title: 'QEMU leaves the Accessed flags alone from the level on that refuses',
    specification: 'vtd.md 2.11: A is set in every entry used; of requests that are refused it says nothing',
    reason: 'open: Accessed may be set in tables on the way to a fault',
    explains: ({ field, ours, theirs, stored }) =>
      field.startsWith('memory') &&
      typeof ours === 'bigint' &&
      theirs === false &&
      ours === ((stored ?? 0n) | ACCESSED),
  },
  {
    id: 'vtd-pass-through-width',
    title: 'QEMU refuses addresses beyond the width in pass-through without a record',
    specification: 'vtd.md 5.1 0x04 and 5.2 0x83: input beyond HAW in pass-through is a fault and recorded, unless FPD',
    reason: 'QEMU takes its IOMMU out of the way of devices that pass through (not the specification)',
    skips: (index, _found, context) => {
      const path = pathOf(context, index);
      if (path === null || !passesThrough(path) || path.iova >> WIDTH === 0n) return false;
      return [0x04, 0x83].includes(reasonFor(context, index) ?? 0);
    },
  },
  {
    id: 'vtd-flags-without-pwsnp',
    title: 'QEMU sets Accessed and Dirty flags of the first stage with PWSNP=0, and without ECAP.SMPWCS',
    specification: 'vtd.md 2.11: if PWSNP=0 and an update is needed, 0x90',
    reason: 'the specification says so (QE-6)',
    // Refused for another reason too, or behind another record: only the flags are seen.
    explains: ({ field, ours, theirs, stored }, { case: what }) =>
      field.startsWith('memory') &&
      ours === false &&
      typeof theirs === 'bigint' &&
      (theirs & ~DIRTY) === ((stored ?? 0n) | ACCESSED) &&
      withoutSnoop(what),
    skips: (index, _found, context) => reasonFor(context, index) === 0x90,
  },
  {
    id: 'vtd-pasid-reserved',
    title: 'QEMU ignores reserved bits of PASID directory and table entries, addresses that are too wide included',
    specification: 'vtd.md 5.2: 0x52 and 0x5a',
    reason: 'the specification says so (QE-5)',
    skips: (index, _found, context) => {
      const reason = reasonFor(context, index);
      return reason === 0x52 || reason === 0x5a;
    },
  },
  {
    id: 'vtd-root-halves',
    title: 'QEMU looks for reserved bits in both halves of a root entry of scalable mode',
    specification: 'vtd.md 2.7: only the half that devfn[7] selects is looked at',
    reason: 'the specification says so',
    skips: (index, _found, context) => {
      const path = pathOf(context, index);
      return (
        path !== null &&
        path.pasid.length > 0 &&
        (path.root[1]! & ~1n) !== 0n &&
        context.theirs.steps[index]?.['ok'] !== true
      );
    },
  },
  {
    id: 'vtd-absent-or-invalid',
    title: 'QEMU reports a PASID entry that is not present and has no valid PGTT as invalid: 0x5b, not 0x59',
    specification: 'vtd.md 2 and 5.2: of a not-present entry all other fields are ignored except FPD; 0x59',
    reason: 'the specification says so (QE-19)',
    explains: ({ field, ours, theirs }) => {
      const reasons = field === 'FRCD_HI' ? reasonsAlone(ours, theirs) : null;
      return reasons !== null && reasons[0] === 0x59 && reasons[1] === 0x5b;
    },
  },
  {
    id: 'vtd-fpd-of-absent',
    title: 'QEMU ignores FPD of PASID directory entries, and of PASID entries that are not present',
    specification: 'vtd.md 2.9, 2.10, 5.2: FPD of each counts, also with P=0',
    reason: 'the specification says so (QE-19)',
    skips: (index, _found, context) => {
      const path = pathOf(context, index);
      const fpd = ((path?.directory[0] ?? 0n) | (path?.pasid[0] ?? 0n)) & FPD;
      return fpd !== 0n && refusedInSilence(context, index);
    },
  },
  {
    id: 'vtd-fpd-of-reserved',
    title: 'QEMU reports reserved bits of a context entry although its FPD is 1',
    specification: 'vtd.md 5.1 0x0b and 5.2 0x42: qualified by the FPD of the context entry',
    reason: 'the specification says so (QE-4)',
    skips: (index, _found, context) => {
      const path = pathOf(context, index);
      return (
        path !== null &&
        (path.context[0]! & FPD) !== 0n &&
        [0x0b, 0x42].includes(reasonFor(context, index) ?? 0) &&
        refusedInSilence(context, index)
      );
    },
  },
  {
    id: 'vtd-hit-without-right',
    title: 'QEMU records nothing when a cached translation lacks the right',
    specification:
      'vtd.md 5.1 0x05 0x06 and 5.2 0x85 0x86: each access without its right is a fault and recorded, unless FPD',
    reason: 'the specification says so; a cache must not be seen',
    skips: (index, found, context) => {
      const { case: what } = context;
      const step = what.steps[index];
      if (step?.do !== 'dma' || !RIGHTS.includes(reasonFor(context, index) ?? 0)) return false;
      if (found.some(({ field }) => field === 'ok')) return false;
      return what.steps.slice(0, index).some((other) => other.do === 'dma' && other.device === step.device);
    },
  },
  {
    id: 'vtd-dirty-on-hit',
    title: 'QEMU does not set Dirty on a write whose translation a read has cached',
    specification: 'vtd.md 2.11: D is set in the leaf on a write',
    reason: 'the specification says so',
    explains: ({ field, ours, theirs, stored }) =>
      field.startsWith('memory') &&
      typeof ours === 'bigint' &&
      ours === ((theirs === false ? (stored ?? 0n) : (theirs as bigint)) | DIRTY) &&
      (ours & ACCESSED) !== 0n,
  },
  {
    id: 'vtd-flags-of-interrupt-page',
    title: 'QEMU sets Accessed and Dirty in the leaf of a page in the interrupt range, and refuses then',
    specification: 'vtd.md 2.11, 2.13: the result is a fault, 0x87; of flags it says nothing',
    reason: 'open: flags of requests that are refused',
    explains: ({ field, ours, theirs, stored }) =>
      field.startsWith('memory') &&
      typeof theirs === 'bigint' &&
      ours === false &&
      (theirs >> 20n) % (1n << 32n) === 0xfeen &&
      (theirs & ~(ACCESSED | DIRTY)) === ((stored ?? 0n) & ~(ACCESSED | DIRTY)),
  },
  {
    id: 'vtd-snoop-bit',
    title: 'In scalable mode QEMU accepts SNP in second-stage leaves although ECAP.SC is 0',
    specification: 'vtd.md 2.12: SNP is reserved in a leaf without ECAP.SC',
    reason: 'the specification says so; in legacy mode QEMU does so too',
    skips: (index, _found, context) =>
      reasonFor(context, index) === 0x7a && context.case.machine === 'vtd-scalable-ss' && stores(context, SNP),
  },
  {
    id: 'vtd-canonical-by-aw',
    title: 'QEMU judges by AW of the PASID entry whether a first-stage address is canonical',
    specification: 'vtd.md 2.10, 2.11: AW is of the second stage; canonical is what FSPM says, bit 47 with 4 levels',
    reason: 'the specification says so (QE-6)',
    skips: (index, _found, context) => {
      const path = pathOf(context, index);
      const entry = path?.pasid[0];
      if (entry === undefined || valueIn(entry, PasidEntry.f.pgtt) !== BigInt(PGTT.FIRST_STAGE)) return false;
      const bits = Number(30n + 9n * valueIn(entry, PasidEntry.f.aw));
      return !isCanonical(path!.iova, bits) && isCanonical(path!.iova, 48);
    },
  },
  {
    id: 'vtd-wide-range',
    title: 'QEMU refuses PASID-based IOTLB invalidations of ranges beyond CAP.MAMV',
    specification: 'vtd.md 3.6: AM of type 6 is not limited by CAP.MAMV',
    reason: 'the specification says so',
    skips: (index, _found, { case: what }) => {
      const step = what.steps[index];
      return (
        step?.do === 'queue' &&
        step.as === PasidIotlbInv.name &&
        Number(valueIn(step.words[1]!, PasidIotlbInv.f.am)) > MAMV
      );
    },
  },
];

/** The bits from `bits` - 1 up are equal. */
const isCanonical = (iova: bigint, bits: number): boolean => BigInt.asUintN(64, BigInt.asIntN(bits, iova)) === iova;

/** Some PASID entry of a first stage has PWSNP=0. */
function withoutSnoop(what: CompareCase): boolean {
  const pieces = [...what.memory, ...what.steps.filter((step) => step.do === 'store')];
  return pieces.some(({ as, words }) => as === PasidEntry.name && (words[1]! & PWSNP) === 0n);
}

/** Software has put `bit` into an entry of the second stage. */
function stores({ case: what }: DeviationContext, bit: bigint): boolean {
  const pieces = [...what.memory, ...what.steps.filter((step) => step.do === 'store')];
  return pieces.some(({ as, words }) => as.startsWith('second-stage') && (words[0]! & bit) !== 0n);
}

/** The reason for which the models refuse step `index`, whatever FPD says and waits for software. */
const reasonFor = (context: DeviationContext, index: number): number | null =>
  reasonSeen(context.alone(index, withoutFpd));

/** The case with FPD=0 in all of its configuration. */
function withoutFpd(what: CompareCase): CompareCase {
  const loud = <T extends MemoryPiece>(piece: T): T =>
    QUALIFYING.includes(piece.as) ? { ...piece, words: [piece.words[0]! & ~FPD, ...piece.words.slice(1)] } : piece;
  return {
    ...what,
    memory: what.memory.map(loud),
    steps: what.steps.map((step) => (step.do === 'store' ? loud(step) : step)),
  };
}

/** The models refuse step `index` and record nothing. */
function refusedInSilence(context: DeviationContext, index: number): boolean {
  return reasonSeen(context.alone(index)) === null && context.ours.steps[index]?.['ok'] !== true;
}
