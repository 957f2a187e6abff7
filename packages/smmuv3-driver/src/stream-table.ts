import { type Coroutine, IommuError, Mutex } from '@iommukit/kernel';
import {
  ENTRY_BYTES,
  L1_BYTES,
  L1STD,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
  STRTAB_FMT,
  STRTAB_SPLIT,
} from '@iommukit/smmuv3-spec';
import { addPrefetchConfig } from './commands.js';
import { STREAM_ENTRY } from './entry-kinds.js';
import type { TableEntry } from './entry-writer.js';
import type { Smmu } from './smmu.js';
import { abortStream } from './stream-entries.js';

/** log2 of the entries in a second-level block. */
const SPLIT = STRTAB_SPLIT.LEAF_16K;
const BLOCK_BYTES = 2 ** SPLIT * ENTRY_BYTES;

/** log2 of the most level-1 descriptors. */
const LEVEL1_BITS = 17;

/**
 * The stream table: StreamID → what to do with a device's transactions (smmuv3.md 2.1). Two levels where the hardware can,
 * with blocks made on first use. Every entry aborts until a device is attached.
 */
export class StreamTable {
  readonly smmu: Smmu;
  readonly owner: string;
  /** Level-1 index → physical address of its block. */
  readonly blocks = new Map<number, number>();
  readonly state = { pa: 0, bits: 0, twoLevel: false };
  /** Two devices of one block may come at the same time. */
  readonly lock: Mutex;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.owner = `${smmu.name} stream table`;
    this.lock = new Mutex(smmu.kernel, 'smmuv3 stream table');
    smmu.kernel.checkpoints.keep(this.state);
    smmu.kernel.checkpoints.keepMap(this.blocks);
  }

  /** Allocates what covers every StreamID: a first level, or the whole linear table. */
  *prepare(): Coroutine<void> {
    const { features, device } = this.smmu;
    const twoLevel = features.twoLevelStreams && features.streamBits > SPLIT;
    const bits = twoLevel ? Math.min(features.streamBits, LEVEL1_BITS + SPLIT) : features.streamBits;
    const bytes = twoLevel ? 2 ** (bits - SPLIT) * L1_BYTES : 2 ** bits * ENTRY_BYTES;
    const pa = yield* device.dma.alloc(bytes, this.owner);
    Object.assign(this.state, { pa, bits, twoLevel });
    if (!twoLevel) yield* this.fillWithAborts(pa, 2 ** bits);
  }

  /** Tells the hardware where the table is. Translation must be off. */
  *program(): Coroutine<void> {
    const { mmio } = this.smmu;
    const { pa, bits, twoLevel } = this.state;
    const [lo, hi] = STRTAB_BASE.make({ addr: pa, ra: 1 });
    const shape = twoLevel ? { fmt: STRTAB_FMT.TWO_LEVEL, split: SPLIT } : { fmt: STRTAB_FMT.LINEAR };
    yield* mmio.write64(STRTAB_BASE.offset, lo!, hi!);
    yield* mmio.write32(STRTAB_BASE_CFG.offset, STRTAB_BASE_CFG.pack({ log2size: bits, ...shape }));
  }

  /** @throws IommuError ERANGE for a StreamID that the table does not reach */
  checkRange(sid: number): void {
    if (sid < 2 ** this.state.bits) return;
    throw new IommuError('ERANGE', `StreamID 0x${sid.toString(16)} does not fit in ${this.state.bits} bits`, {
      rule: 'IOPF-27',
      remedy: "correct the device's stream numbers in the platform description",
    });
  }

  /** Makes the block that holds the entry of `sid`, all of it aborting. */
  *reserve(sid: number): Coroutine<void> {
    if (!this.state.twoLevel) return;
    const lock = yield* this.lock.acquire();
    try {
      if (!this.blocks.has(sid >>> SPLIT)) yield* this.makeBlock(sid);
    } finally {
      lock.release();
    }
  }

  *makeBlock(sid: number): Coroutine<void> {
    const pa = yield* this.smmu.device.dma.alloc(BLOCK_BYTES, this.owner);
    yield* this.fillWithAborts(pa, 2 ** SPLIT);
    this.blocks.set(sid >>> SPLIT, pa);
    yield* this.publishBlock(sid, pa);
  }

  /** One 64-bit store (SMMU-6); the absence may be cached. */
  *publishBlock(sid: number, pa: number): Coroutine<void> {
    const [lo, hi] = L1STD.make({ span: SPLIT + 1, l2Ptr: pa });
    yield* this.smmu.device.dma.store64(this.state.pa + L1_BYTES * (sid >>> SPLIT), lo!, hi!);
    yield* this.smmu.invalidation.streamEntry(sid, false);
  }

  /** Changes the entry of `sid`, and returns when no hardware uses the old one. */
  *write(sid: number, image: Uint32Array): Coroutine<void> {
    yield* this.smmu.entries.write(this.entry(sid), image);
    if (!this.prefetchIsBroken()) yield* this.prefetch(sid);
  }

  /** A hint that nobody waits for (SMMU-9). */
  prefetch(sid: number): Coroutine<void> {
    const { commands } = this.smmu;
    const batch = commands.batch();
    addPrefetchConfig(batch, sid);
    return commands.submit(batch);
  }

  /** Some hardware stops at the command, and firmware says so (smmuv3.md 7.3). */
  prefetchIsBroken(): boolean {
    return this.smmu.device.property('hisilicon,broken-prefetch-cmd') === true;
  }

  entry(sid: number): TableEntry {
    return { kind: STREAM_ENTRY, pa: this.addressOf(sid), sync: () => this.smmu.invalidation.streamEntry(sid) };
  }

  addressOf(sid: number): number {
    if (!this.state.twoLevel) return this.state.pa + ENTRY_BYTES * sid;
    return this.blocks.get(sid >>> SPLIT)! + ENTRY_BYTES * (sid & (2 ** SPLIT - 1));
  }

  *fillWithAborts(pa: number, entries: number): Coroutine<void> {
    const [lo, hi] = abortStream();
    for (let i = 0; i < entries; i++) yield* this.smmu.device.dma.store64(pa + ENTRY_BYTES * i, lo!, hi!);
  }
}
