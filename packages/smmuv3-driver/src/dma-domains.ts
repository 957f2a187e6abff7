import { type IoGather, IoPageTables, type PageSpan, type TableRoot } from '@iommukit/core';
import { type Coroutine, IommuError, Mutex } from '@iommukit/kernel';
import { domainRefusals } from './probe.js';
import type { Domain, Master, PrivateContext } from './records.js';
import type { Smmu } from './smmu.js';

const PAGE_BYTES = 4096n;

/** Classic DMA domains: what devices reach without PASID is mapped and unmapped for them (SMMU-9, SMMU-19). */
export class DmaDomains {
  readonly smmu: Smmu;
  /** Held while a device moves from one domain to another. */
  readonly lock: Mutex;
  readonly tables: IoPageTables;
  readonly byRoot: Map<TableRoot, PrivateContext>;

  constructor(smmu: Smmu) {
    this.smmu = smmu;
    this.byRoot = smmu.kernel.checkpoints.keepMap(new Map());
    this.tables = new IoPageTables(smmu.core, {
      get bbml() {
        return smmu.features.blockChanges;
      },
      flush: (root, first, end) => this.flushBroken(root, first, end),
    });
    this.lock = new Mutex(smmu.kernel, 'smmuv3 domains');
  }

  // ── life ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A domain for devices of `master`'s kind. @throws IommuError ENODEV with the reason, ENOSPC, ENOMEM */
  *alloc(master: Master): Coroutine<Domain> {
    this.checkSupport();
    const { domains, privateContexts } = this.smmu;
    const domain = yield* domains.create(master);
    try {
      const root = this.tables.create(`${this.smmu.name} ${domain.name} page table`);
      try {
        this.byRoot.set(root, yield* privateContexts.create(domain, root));
      } catch (error) {
        this.tables.destroy(root);
        throw error;
      }
      return domain;
    } catch (error) {
      yield* domains.destroy(domain);
      throw error;
    }
  }

  /** Frees a domain and its tables. @throws IommuError EBUSY while devices are attached */
  *free(domain: Domain): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      const { tables } = this.contextOf(domain);
      this.checkEmpty(domain);
      yield* this.smmu.privateContexts.destroy(domain.own!);
      this.byRoot.delete(tables);
      this.tables.destroy(tables);
      yield* this.smmu.domains.destroy(domain);
    } finally {
      lock.release();
    }
  }

  checkSupport(): void {
    const { features, cpu, core } = this.smmu;
    const [refusal] = domainRefusals(features, cpu, core.format);
    if (refusal === undefined) return;
    throw new IommuError('ENODEV', `${this.smmu.name}: ${refusal.reason}`, { rule: refusal.rule });
  }

  checkEmpty({ name, masters }: Domain): void {
    const [first] = masters;
    if (first === undefined) return;
    throw new IommuError('EBUSY', `${first.device.name} is attached to ${name}`, {
      rule: 'SVA-17',
      remedy: 'detach its devices first',
    });
  }

  /** @throws IommuError EBUSY (FEAT-6), EINVAL (FEAT-7) */
  *attach(master: Master, domain: Domain): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      this.checkUnbound(master);
      yield* this.smmu.domains.attach(master, domain);
    } finally {
      lock.release();
    }
  }

  /** @throws IommuError EBUSY (FEAT-6) */
  *detach(master: Master): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      this.checkUnbound(master);
      yield* this.smmu.domains.goHome(master);
    } finally {
      lock.release();
    }
  }

  /** Descriptor 0 is in use while an address space is bound for requests without PASID. */
  checkUnbound({ device, untagged }: Master): void {
    if (untagged === null) return;
    throw new IommuError('EBUSY', `requests of ${device.name} without PASID go to ${untagged.mm.space}`, {
      rule: 'SMMU-28',
      remedy: 'unbind it first',
    });
  }

  // ── mappings ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** From absent to present: nothing caches that (smmuv3.md 3.4). @throws IommuError EINVAL, EEXIST, ENOMEM */
  *map(domain: Domain, iova: bigint, pa: number, bytes: number, perm: number): Coroutine<void> {
    const { tables } = this.contextOf(domain);
    this.checkPages(iova, bytes);
    this.checkPhysical(pa, bytes);
    yield* this.tables.map(tables, Number(iova / PAGE_BYTES), pa / 4096, bytes / 4096, perm);
  }

  /** SMMU-19: clear, TLBI, ATC_INV, each complete before the next; the tables that are not needed any more go last. */
  *unmap(domain: Domain, iova: bigint, bytes: number): Coroutine<void> {
    const context = this.contextOf(domain);
    this.checkPages(iova, bytes);
    const gather = yield* this.clear(context, Number(iova / PAGE_BYTES), bytes / 4096);
    if (gather.end === 0) return;
    const range = { first: gather.first, last: gather.end - 1 };
    yield* this.flushIotlb(context, range, this.leafShiftOf(gather));
    yield* this.flushDevTlbs(domain, range);
    this.freeTables(gather);
  }

  clear({ tables }: PrivateContext, page: number, pages: number): Coroutine<IoGather> {
    return this.tables.unmap(tables, page, pages);
  }

  flushIotlb(context: PrivateContext, range: PageSpan, leafShift: number): Coroutine<void> {
    return this.smmu.privateContexts.flushRange(context, range, leafShift);
  }

  /** After the IOTLB's flush is complete (SMMU-19). PASIDs' entries go too: nothing hits untagged ones alone (TLB-10). */
  flushDevTlbs(domain: Domain, range: PageSpan): Coroutine<void> {
    return this.smmu.invalidation.atcUntagged(domain, range);
  }

  freeTables(gather: IoGather): void {
    this.tables.release(gather);
  }

  /** log2 of the bytes of the leaves that went; 0 if tables went too, or leaves of several sizes. */
  leafShiftOf({ tables, leaf, largest }: IoGather): number {
    return tables.length === 0 && leaf === largest ? 12 + Math.log2(leaf) : 0;
  }

  /** In the middle of a break-before-make, under the tables' spinlock: nobody may use the block any more. */
  *flushBroken(root: TableRoot, first: number, end: number): Coroutine<void> {
    const context = this.byRoot.get(root)!;
    const range = { first, last: end - 1 };
    yield* this.flushIotlb(context, range, 0);
    yield* this.flushDevTlbs(context.domain, range);
  }

  /** The physical address that an IOVA stands for, or null. */
  iovaToPhys(domain: Domain, iova: bigint): number | null {
    const { tables } = this.contextOf(domain);
    const frame = this.tables.frameOf(tables, Number(iova / PAGE_BYTES));
    return frame < 0 ? null : frame * 4096 + Number(iova % PAGE_BYTES);
  }

  // ── arguments ──────────────────────────────────────────────────────────────────────────────────────────────────

  contextOf({ name, own }: Domain): PrivateContext {
    if (own !== null) return own;
    throw new IommuError('EINVAL', `${name} has no addresses of its own`, { remedy: 'use one made by allocDomain' });
  }

  checkPages(iova: bigint, bytes: number): void {
    if (iova >= 0n && iova % PAGE_BYTES === 0n && bytes > 0 && bytes % 4096 === 0) return;
    throw new IommuError('EINVAL', `${bytes} bytes at IOVA 0x${iova.toString(16)} are no whole pages`);
  }

  checkPhysical(pa: number, bytes: number): void {
    const { outputBits } = this.smmu.features;
    if (pa >= 0 && pa % 4096 === 0 && pa + bytes <= 2 ** outputBits) return;
    throw new IommuError('EINVAL', `${bytes} bytes at 0x${pa.toString(16)} are no whole pages of ${outputBits} bits`);
  }
}
