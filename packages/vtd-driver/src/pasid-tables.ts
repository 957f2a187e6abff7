import type { Coroutine, Step } from '@iommukit/kernel';
import {
  directoryEntries,
  PASID_DIR_BYTES,
  PASID_ENTRY_BYTES,
  PASID_TABLE_ENTRIES,
  PasidDirEntry,
} from '@iommukit/vtd-spec';
import { blockedWord, type FirstStage, firstStageEntry, QUIET } from './pasid-entries.js';
import type { Master, PasidDirectory } from './records.js';
import { vtdEntryLeft } from './trace-points.js';
import type { Vtd } from './vtd.js';

const LEAF_BYTES = PASID_TABLE_ENTRIES * PASID_ENTRY_BYTES;
/** PDTS of a directory of one page: the least that is made (VTD-6). */
const LEAST_PDTS = 2;
/** log2 of the PASIDs that a directory with PDTS 0 reaches. */
const LEAST_BITS = 13;
const ENTRY_WORDS = PASID_ENTRY_BYTES / 8;

/** An entry that is not present: hardware looks at P alone. */
const ABSENT = new Uint32Array(PASID_ENTRY_BYTES / 4);
const PRESENT = Uint32Array.from(ABSENT, (_word, i) => (i === 0 ? 1 : 0));

/** What an entry is (VTD-21). */
export type EntryState = 'present' | 'quiet' | 'empty';

/** PASID directories and their entries: PASID → address space, one directory a device (vtd.md 2.9, 2.10). */
export class PasidTables {
  readonly vtd: Vtd;
  readonly word = new Uint32Array(2);

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  // ── directories ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Makes the device's directory, with the entry of requests without PASID (VTD-40), all of it empty (VTD-4). */
  *create(master: Master): Coroutine<void> {
    const pdts = this.pdtsOf(master.pasidBits);
    const bytes = directoryEntries(pdts) * PASID_DIR_BYTES;
    const pa = yield* this.vtd.device.dma.alloc(bytes, `${this.vtd.name} PASID directory`);
    master.directory = { pa, bytes, pdts, leaves: this.vtd.kernel.checkpoints.keepMap(new Map()) };
    yield* this.reserve(master, 0);
  }

  /** VTD-6: whole pages, at least one. */
  pdtsOf(pasidBits: number): number {
    return Math.max(LEAST_PDTS, pasidBits - LEAST_BITS);
  }

  /** Frees a directory that no context entry points to. */
  *destroy(master: Master): Coroutine<void> {
    const { directory } = master;
    if (directory === null) return;
    const { dma } = this.vtd.device;
    for (const pa of directory.leaves.values()) yield* dma.free(pa, LEAF_BYTES);
    directory.leaves.clear();
    yield* dma.free(directory.pa, directory.bytes);
    master.directory = null;
  }

  /** Makes room for the entry of `pasid`. Tables stay as long as the device does (VTD-7). @throws IommuError ENOMEM */
  *reserve(master: Master, pasid: number): Coroutine<void> {
    const directory = master.directory!;
    const index = Math.floor(pasid / PASID_TABLE_ENTRIES);
    if (directory.leaves.has(index)) return;
    const pa = yield* this.vtd.device.dma.alloc(LEAF_BYTES, `${this.vtd.name} PASID table`);
    directory.leaves.set(index, pa);
    yield* this.publishLeaf(directory, index, pa);
  }

  /** One 64-bit store; whoever stores into the directory holds the device's lock, so nobody else has made one (VTD-7). */
  publishLeaf({ pa }: PasidDirectory, index: number, leaf: number): Step<void> {
    const [lo, hi] = PasidDirEntry.make({ p: 1, smptblptr: leaf });
    return this.vtd.device.dma.store64(pa + index * PASID_DIR_BYTES, lo!, hi!);
  }

  // ── entries ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The entry of an address space. */
  imageOf(space: FirstStage): Uint32Array {
    return firstStageEntry({ ...space, snooped: this.vtd.probed?.smpwcs !== false });
  }

  /** The physical address of the entry of `pasid`, for which there is room. */
  addressOf({ directory }: Master, pasid: number): number {
    const leaf = directory!.leaves.get(Math.floor(pasid / PASID_TABLE_ENTRIES))!;
    return leaf + (pasid % PASID_TABLE_ENTRIES) * PASID_ENTRY_BYTES;
  }

  /** From not present to present (VTD-11, TLB-4): every field, then P. Returns when no hardware takes it for absent. */
  *install(master: Master, pasid: number, image: Uint32Array, did: number): Coroutine<void> {
    yield* this.storeFields(master, pasid, image);
    yield* this.storePresent(master, pasid, image);
    yield* this.flushAfterPresent(did, pasid);
  }

  storeFields(master: Master, pasid: number, image: Uint32Array): Step<void> {
    return this.vtd.device.dma.storeWords(this.addressOf(master, pasid) + 8, image, 2, ENTRY_WORDS - 1);
  }

  /** P and what is beside it: one store, the last. */
  storePresent(master: Master, pasid: number, image: Uint32Array): Step<void> {
    this.vtd.kernel.observer.versions(this.addressOf(master, pasid), [image, ABSENT], [null, PRESENT]);
    return this.vtd.device.dma.store64(this.addressOf(master, pasid), image[0]!, image[1]!);
  }

  /** VTD-12, MN-16: with caching mode the absence may be cached; without, write buffers may hold the stores back. */
  *flushAfterPresent(did: number, pasid: number): Coroutine<void> {
    const { features, invalidation, reset } = this.vtd;
    if (!features.cm) return yield* reset.flushWriteBuffers();
    yield* invalidation.pasid(did, pasid);
    yield* invalidation.pasidTranslations(did, pasid);
  }

  /** What the entry is now. */
  *stateOf(master: Master, pasid: number): Coroutine<EntryState> {
    yield* this.vtd.device.dma.load64(this.addressOf(master, pasid), this.word);
    const low = this.word[0]!;
    if ((low & 1) !== 0) return 'present';
    return (low & QUIET) === 0 ? 'empty' : 'quiet';
  }

  /** Bytes of an entry. */
  get entryBytes(): number {
    return PASID_ENTRY_BYTES;
  }

  /** VTD-21: an entry that is neither present nor quiet is all zero; what else it holds is told, and left alone. */
  *expectZero(master: Master, pasid: number): Coroutine<void> {
    const words = new Uint32Array(this.entryBytes / 4);
    yield* this.vtd.device.dma.loadWords(this.addressOf(master, pasid), words);
    const { trace } = this.vtd.kernel;
    if (words.every((word) => word === 0) || !trace.wants(vtdEntryLeft)) return;
    trace.emit(vtdEntryLeft, { dev: master.device.name, pasid });
  }

  /**
   * From present to not present: P alone, all else stays until nobody uses the entry (TLB-4, VTD-17). `quiet`: with FPD in
   * the same store, so that no request in between is recorded (VTD-20).
   */
  *block(master: Master, pasid: number, quiet: boolean): Coroutine<void> {
    const { dma } = this.vtd.device;
    const pa = this.addressOf(master, pasid);
    yield* dma.load64(pa, this.word);
    yield* dma.store64(pa, blockedWord(this.word[0]!, quiet), this.word[1]!);
  }

  /** Zeroes an entry that is not present and that nothing caches; `quiet`: FPD stays (VTD-17, VTD-20, VTD-21). */
  *erase(master: Master, pasid: number, quiet: boolean): Coroutine<void> {
    const { dma } = this.vtd.device;
    const pa = this.addressOf(master, pasid);
    yield* dma.store64(pa, quiet ? QUIET : 0, 0);
    yield* dma.storeWords(pa + 8, new Uint32Array(PASID_ENTRY_BYTES / 4), 0, ENTRY_WORDS - 1);
  }
}
