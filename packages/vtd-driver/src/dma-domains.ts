import { type IoGather, IoPageTables, type PageSpan, PERM, type TableRoot } from '@iommukit/core';
import { type Coroutine, IdAllocator, IommuError, Mutex, type Slab } from '@iommukit/kernel';
import type { Domain, Master } from './records.js';
import {
  chooseWidth,
  domainRefusals,
  legacyContext,
  type SecondStage,
  secondStageEntry,
} from './second-stage-entries.js';
import { SecondStageFormat } from './second-stage-format.js';
import type { Vtd } from './vtd.js';

const PAGE_BYTES = 4096n;
/** 0 is for entries that are not present (CM), 1 for address spaces of processes (VTD-5). */
const FIRST_DID = 2;
const LAST_DID = 0xffff;
/** PASID of requests without one (VTD-40). */
const RID_PASID = 0;

/** Classic DMA domains: what devices reach without PASID is mapped and unmapped for them, in second-stage tables. */
export class DmaDomains {
  readonly vtd: Vtd;
  /** Held while a device moves from one domain to another. */
  readonly lock: Mutex;
  readonly slab: Slab<Domain>;
  readonly dids: IdAllocator;
  readonly byRoot: Map<TableRoot, Domain>;
  /** Made when the unit's widths are known. */
  made: IoPageTables | null = null;

  constructor(vtd: Vtd) {
    const { kernel } = vtd;
    this.vtd = vtd;
    this.lock = new Mutex(kernel, 'vtd domains');
    this.dids = new IdAllocator(kernel, 'domain id', FIRST_DID, LAST_DID);
    this.byRoot = kernel.checkpoints.keepMap(new Map());
    this.slab = kernel.slab<Domain>('vtd domain', {
      name: '',
      did: 0,
      masters: [],
      tables: null as unknown as TableRoot,
    });
  }

  get tables(): IoPageTables {
    this.made ??= new IoPageTables(this.vtd.core, {
      format: this.format(),
      flush: (root, first, end) => this.flushBroken(root, first, end),
    });
    return this.made;
  }

  format(): SecondStageFormat {
    const { features } = this.vtd;
    return new SecondStageFormat({
      aw: chooseWidth(features)!,
      inputBits: features.guestBits,
      sllps: features.sllps,
    });
  }

  // ── life ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** A domain without devices. @throws IommuError ENODEV with the reason, ENOSPC, ENOMEM */
  *alloc(_master: Master): Coroutine<Domain> {
    this.checkSupport();
    const did = this.allocDid();
    try {
      const tables = this.tables.create(`${this.vtd.name} domain ${did} page table`);
      try {
        const masters = this.vtd.kernel.checkpoints.keepList<Master>([]);
        const domain = this.slab.alloc({ name: `domain ${did}`, did, masters, tables });
        this.byRoot.set(tables, domain);
        return domain;
      } catch (error) {
        this.tables.destroy(tables);
        throw error;
      }
    } catch (error) {
      this.dids.free(did);
      throw error;
    }
  }

  /** VTD-5: as many as CAP.ND says, the lowest free one first. */
  allocDid(): number {
    const { features, name } = this.vtd;
    const did = this.dids.alloc(FIRST_DID, 2 ** features.domainBits - 1);
    if (did !== null) return did;
    throw new IommuError('ENOSPC', `${name} has no domain id left`, { rule: 'VTD-5', remedy: 'free another domain' });
  }

  /** Frees a domain and its tables. @throws IommuError EBUSY while devices are attached */
  *free(domain: Domain): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      this.checkOurs(domain);
      this.checkEmpty(domain);
      this.byRoot.delete(domain.tables);
      this.tables.destroy(domain.tables);
      this.dids.free(domain.did);
      this.slab.free(domain);
    } finally {
      lock.release();
    }
  }

  // ── devices ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** @throws IommuError EBUSY (FEAT-6), EINVAL for a domain of another unit */
  *attach(master: Master, domain: Domain): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      this.checkOurs(domain);
      this.checkFree(master);
      if (master.domain === domain) return;
      yield* this.takeOut(master);
      yield* this.putIn(master, domain);
    } finally {
      lock.release();
    }
  }

  /** @throws IommuError EBUSY (FEAT-6) */
  *detach(master: Master): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    try {
      this.checkFree(master);
      yield* this.takeOut(master);
    } finally {
      lock.release();
    }
  }

  /** The device goes. */
  *leave(master: Master): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    yield* this.takeOut(master);
    lock.release();
  }

  /** Unmaps reach the device before its entry points to the domain. */
  *putIn(master: Master, domain: Domain): Coroutine<void> {
    domain.masters.push(master);
    master.domain = domain;
    try {
      yield* this.install(master, domain);
    } catch (error) {
      yield* this.takeOut(master);
      throw error;
    }
  }

  /** And until it no longer does. */
  *takeOut(master: Master): Coroutine<void> {
    const { domain } = master;
    if (domain === null) return;
    yield* this.remove(master, domain);
    domain.masters.splice(domain.masters.indexOf(master), 1);
    master.domain = null;
  }

  *install(master: Master, domain: Domain): Coroutine<void> {
    if (this.vtd.mode === 'legacy') yield* this.writeContexts(master, domain);
    else yield* this.writeEntry(master, domain);
  }

  *remove(master: Master, domain: Domain): Coroutine<void> {
    if (this.vtd.mode === 'legacy') yield* this.clearContexts(master, domain);
    else yield* this.clearEntry(master, domain);
  }

  /** VTD-15. */
  *writeContexts(master: Master, domain: Domain): Coroutine<void> {
    const image = legacyContext(this.secondStage(domain));
    for (const sid of master.device.streams) yield* this.vtd.contexts.write(sid, image, domain.did);
  }

  /** VTD-51. */
  *clearContexts(master: Master, { did }: Domain): Coroutine<void> {
    for (const sid of master.device.streams) yield* this.vtd.contexts.clear(master, sid, did);
  }

  writeEntry(master: Master, domain: Domain): Coroutine<void> {
    const { features, pasids } = this.vtd;
    const image = secondStageEntry(this.secondStage(domain), features.smpwcs);
    return pasids.install(master, RID_PASID, image, domain.did);
  }

  /** VTD-17, of a second-stage entry: each step is waited for. */
  *clearEntry(master: Master, { did }: Domain): Coroutine<void> {
    const { invalidation, pasids } = this.vtd;
    yield* pasids.block(master, RID_PASID, false);
    yield* invalidation.pasid(did, RID_PASID);
    yield* this.flushDomain(did);
    yield* this.flushDevice(master);
    yield* pasids.erase(master, RID_PASID, false);
    yield* this.drainRequests(master);
  }

  /** Of the whole domain, other devices' too: the tag has no narrower flush (VTD-17). */
  flushDomain(did: number): Coroutine<void> {
    return this.vtd.invalidation.domain(did);
  }

  flushDevice(master: Master): Coroutine<void> {
    return this.vtd.invalidation.device(master);
  }

  /** Page requests without PASID were about the domain (VTD-28). */
  drainRequests(master: Master): Coroutine<void> {
    return this.vtd.drain.run(master, RID_PASID);
  }

  secondStage({ did, tables }: Domain): SecondStage {
    return { pgd: tables.pgd, aw: (this.tables.format as SecondStageFormat).aw, did };
  }

  // ── mappings ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** @throws IommuError EINVAL for what is not whole pages, too high, or without rights; EEXIST, ENOMEM */
  *map(domain: Domain, iova: bigint, pa: number, bytes: number, perm: number): Coroutine<void> {
    this.checkPages(iova, bytes);
    this.checkPhysical(pa, bytes);
    this.checkRights(perm);
    const range = rangeOf(iova, bytes);
    yield* this.tables.map(domain.tables, range.first, pa / 4096, bytes / 4096, perm);
    yield* this.flushAfterPresent(domain, range);
  }

  /** VTD-16, MN-16: with caching mode the absence may be cached; without, write buffers may hold the stores back. */
  *flushAfterPresent(domain: Domain, range: PageSpan): Coroutine<void> {
    const { features, reset } = this.vtd;
    if (features.cm) yield* this.flushIotlb(domain, range, false);
    else yield* reset.flushWriteBuffers();
  }

  /** Clear, IOTLB, device TLBs, each complete before the next; tables that are not needed any more go last (VTD-23). */
  *unmap(domain: Domain, iova: bigint, bytes: number): Coroutine<void> {
    this.checkPages(iova, bytes);
    const gather = yield* this.clear(domain, Number(iova / PAGE_BYTES), bytes / 4096);
    if (gather.end === 0) return;
    const range = { first: gather.first, last: gather.end - 1 };
    yield* this.flushIotlb(domain, range, gather.tables.length === 0);
    yield* this.flushDevTlbs(domain, range);
    this.freeTables(gather);
  }

  clear({ tables }: Domain, page: number, pages: number): Coroutine<IoGather> {
    return this.tables.unmap(tables, page, pages);
  }

  /** @param leaf no table changed, only what maps pages (IH: VTD-27) */
  flushIotlb({ did }: Domain, range: PageSpan, leaf: boolean): Coroutine<void> {
    return this.vtd.invalidation.domainPages(did, range, leaf);
  }

  /** After the IOTLB's flush is complete, each device that is attached (VTD-23). */
  *flushDevTlbs({ masters }: Domain, range: PageSpan): Coroutine<void> {
    const { invalidation, queue } = this.vtd;
    const batch = queue.batch();
    for (const master of [...masters]) yield* invalidation.addDevicePages(batch, master, RID_PASID, range);
    if (batch.count === 0) queue.giveBack(batch);
    else yield* queue.submitAndSync(batch);
  }

  freeTables(gather: IoGather): void {
    this.tables.release(gather);
  }

  /** In the middle of a break-before-make, under the tables' spinlock: nobody may use the block any more. */
  *flushBroken(root: TableRoot, first: number, end: number): Coroutine<void> {
    const domain = this.byRoot.get(root)!;
    const range = { first, last: end - 1 };
    yield* this.flushIotlb(domain, range, false);
    yield* this.flushDevTlbs(domain, range);
  }

  /** The physical address that an IOVA stands for, or null. */
  iovaToPhys({ tables }: Domain, iova: bigint): number | null {
    const frame = this.tables.frameOf(tables, Number(iova / PAGE_BYTES));
    return frame < 0 ? null : frame * 4096 + Number(iova % PAGE_BYTES);
  }

  // ── arguments ──────────────────────────────────────────────────────────────────────────────────────────────────

  checkSupport(): void {
    const [refusal] = domainRefusals(this.vtd.features, this.vtd.mode);
    if (refusal === undefined) return;
    throw new IommuError('ENODEV', `${this.vtd.name}: ${refusal.reason}`, { rule: refusal.rule });
  }

  /** A domain's tables are written for one unit, and its id is known there alone. */
  checkOurs(domain: Domain): void {
    if (this.byRoot.get(domain.tables) === domain) return;
    throw new IommuError('EINVAL', `${domain.name} is no domain of ${this.vtd.name}`, {
      remedy: 'allocate it for a device of this unit',
    });
  }

  /** FEAT-6; and the entry of requests without PASID is in use while an address space is bound for them (VTD-40). */
  checkFree({ device, sva, untagged }: Master): void {
    if (untagged !== null) {
      throw new IommuError('EBUSY', `requests of ${device.name} without PASID go to ${untagged.mm.space}`, {
        rule: 'VTD-40',
        remedy: 'unbind it first',
      });
    }
    if (!sva) return;
    throw new IommuError('EBUSY', `SVA is enabled on ${device.name}: it stays where it is`, {
      rule: 'FEAT-6',
      remedy: 'disable SVA first',
    });
  }

  checkEmpty({ name, masters }: Domain): void {
    const [first] = masters;
    if (first === undefined) return;
    throw new IommuError('EBUSY', `${first.device.name} is attached to ${name}`, {
      rule: 'SVA-17',
      remedy: 'detach its devices first',
    });
  }

  checkPages(iova: bigint, bytes: number): void {
    if (iova >= 0n && iova % PAGE_BYTES === 0n && bytes > 0 && bytes % 4096 === 0) return;
    throw new IommuError('EINVAL', `${bytes} bytes at IOVA 0x${iova.toString(16)} are no whole pages`);
  }

  checkPhysical(pa: number, bytes: number): void {
    const { outputBits } = this.tables.format;
    if (pa >= 0 && pa % 4096 === 0 && pa + bytes <= 2 ** outputBits) return;
    throw new IommuError('EINVAL', `${bytes} bytes at 0x${pa.toString(16)} are no whole pages of ${outputBits} bits`);
  }

  /** An entry that grants nothing is none. */
  checkRights(perm: number): void {
    if ((perm & (PERM.READ | PERM.WRITE)) !== 0) return;
    throw new IommuError('EINVAL', 'a mapping that may neither be read nor written is none', {
      remedy: 'give READ, WRITE or both',
    });
  }
}

function rangeOf(iova: bigint, bytes: number): PageSpan {
  const first = Number(iova / PAGE_BYTES);
  return { first, last: first + bytes / 4096 - 1 };
}
