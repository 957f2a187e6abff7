import { type Coroutine, powerOfTwo } from '@iommukit/kernel';
import { CD_LEAF_BITS, ENTRY_BYTES, L1_BYTES, L1CD, S1FMT } from '@iommukit/smmuv3-spec';
import { noContext } from './context-descriptors.js';
import { CONTEXT_DESCRIPTOR } from './entry-kinds.js';
import type { TableEntry } from './entry-writer.js';
import type { ContextTable, Domain } from './records.js';
import { smallContextLeaves } from './settings.js';
import type { Smmu } from './smmu.js';

/** log2 of the descriptors that a linear table may have: 64 KiB in one piece. */
const LINEAR_BITS = CD_LEAF_BITS[S1FMT.TWO_LEVEL_64K]!;

/** Tables of context descriptors: PASID → address space, one per domain. Callers hold the SVA lock. */
export class ContextTables {
  readonly smmu: Smmu;
  readonly owner: string;
  /** log2 of the descriptors in a leaf of a 2-level table: 6 or 10. A table of at most one leaf is linear. */
  readonly leafBits: number;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.owner = `${smmu.name} CD table`;
    this.leafBits = CD_LEAF_BITS[smallContextLeaves(smmu.core.settings) ? S1FMT.TWO_LEVEL_4K : S1FMT.TWO_LEVEL_64K]!;
  }

  get leafBytes(): number {
    return powerOfTwo(this.leafBits) * ENTRY_BYTES;
  }

  /** Bits of PASIDs that a table can have when devices offer `bits` (smmuv3.md 2.3). */
  usableBits(bits: number): number {
    return this.smmu.features.twoLevelContexts ? bits : Math.min(bits, LINEAR_BITS);
  }

  /** Makes an empty table of 2^`bits` descriptors. */
  *create(bits: number): Coroutine<ContextTable> {
    const twoLevel = this.smmu.features.twoLevelContexts && bits > this.leafBits;
    const pa = yield* this.smmu.device.dma.alloc(this.bytesOf(bits, twoLevel), this.owner);
    const { checkpoints } = this.smmu.kernel;
    const table: ContextTable = {
      pa,
      bits,
      twoLevel,
      leafBits: this.leafBits,
      leaves: checkpoints.keepMap(new Map()),
      users: checkpoints.keepMap(new Map()),
    };
    try {
      yield* this.takeLeaf(null, table, 0);
    } catch (error) {
      yield* this.smmu.device.dma.free(pa, this.bytesOf(bits, twoLevel));
      throw error;
    }
    return table;
  }

  /** Frees a table that no STE points to. */
  *destroy(table: ContextTable): Coroutine<void> {
    const { dma } = this.smmu.device;
    for (const pa of table.leaves.values()) yield* dma.free(pa, this.leafBytes);
    table.leaves.clear();
    yield* dma.free(table.pa, this.bytesOf(table.bits, table.twoLevel));
  }

  /** Makes room for the descriptor of `ssid`. Nothing is valid yet. @throws IommuError ENOMEM */
  reserve(domain: Domain, ssid: number): Coroutine<void> {
    return this.takeLeaf(domain, domain.contexts, ssid);
  }

  /** Gives the room back; the descriptor is clear. */
  release(domain: Domain, ssid: number): Coroutine<void> {
    return this.putLeaf(domain, domain.contexts, ssid);
  }

  /** Changes the descriptor of `ssid`, and returns when no hardware uses the old one. */
  write(domain: Domain, ssid: number, image: Uint32Array): Coroutine<void> {
    return this.smmu.entries.write(this.entry(domain, ssid), image);
  }

  /** Clears the descriptor of `ssid`. */
  clear(domain: Domain, ssid: number): Coroutine<void> {
    return this.write(domain, ssid, noContext());
  }

  entry(domain: Domain, ssid: number): TableEntry {
    return {
      kind: CONTEXT_DESCRIPTOR,
      pa: this.addressOf(domain.contexts, ssid),
      sync: () => this.smmu.invalidation.contextDescriptor(domain, ssid),
    };
  }

  addressOf(table: ContextTable, ssid: number): number {
    if (!table.twoLevel) return table.pa + ENTRY_BYTES * ssid;
    return table.leaves.get(ssid >> this.leafBits)! + ENTRY_BYTES * (ssid & (powerOfTwo(this.leafBits) - 1));
  }

  *takeLeaf(domain: Domain | null, table: ContextTable, ssid: number): Coroutine<void> {
    if (!table.twoLevel) return;
    const index = ssid >> this.leafBits;
    if (!table.leaves.has(index)) {
      table.leaves.set(index, yield* this.smmu.device.dma.alloc(this.leafBytes, this.owner));
      yield* this.publishLeaf(domain, table, index);
    }
    table.users.set(index, (table.users.get(index) ?? 0) + 1);
  }

  *putLeaf(domain: Domain, table: ContextTable, ssid: number): Coroutine<void> {
    if (!table.twoLevel) return;
    const index = ssid >> this.leafBits;
    const users = table.users.get(index)! - 1;
    table.users.set(index, users);
    if (users > 0) return;
    yield* this.unpublishLeaf(domain, table, index);
    yield* this.smmu.device.dma.free(table.leaves.get(index)!, this.leafBytes);
    table.leaves.delete(index);
  }

  /** One 64-bit store, then CFGI_CD with Leaf=0: the absence may be cached (smmuv3.md 2.3). */
  *publishLeaf(domain: Domain | null, table: ContextTable, index: number): Coroutine<void> {
    const [lo, hi] = L1CD.make({ v: 1, l2Ptr: table.leaves.get(index)! });
    yield* this.smmu.device.dma.store64(table.pa + L1_BYTES * index, lo!, hi!);
    if (domain !== null) yield* this.smmu.invalidation.contextLeaf(domain, index << this.leafBits);
  }

  *unpublishLeaf(domain: Domain, table: ContextTable, index: number): Coroutine<void> {
    yield* this.smmu.device.dma.store64(table.pa + L1_BYTES * index, 0, 0);
    yield* this.smmu.invalidation.contextLeaf(domain, index << this.leafBits);
  }

  bytesOf(bits: number, twoLevel: boolean): number {
    return twoLevel ? 2 ** (bits - this.leafBits) * L1_BYTES : 2 ** bits * ENTRY_BYTES;
  }
}
