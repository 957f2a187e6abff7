import { type DmaDomain, IoPageTables, type TableRoot } from '@iommukit/core';
import { type Coroutine, IommuError, type Slab } from '@iommukit/kernel';
import type { DeviceRecord } from './devices.js';
import type { ReferenceDriver } from './driver.js';

/** What devices reach without PASID. */
export interface Domain extends DmaDomain {
  readonly name: string;
  readonly root: TableRoot;
  readonly records: DeviceRecord[];
}

/** Requests without PASID. */
const NO_PASID = -1;
const PAGE = 4096;

/** Classic DMA domains: their devices' rows for requests without PASID lead to tables of their own. */
export class DmaDomains {
  readonly driver: ReferenceDriver;
  readonly tables: IoPageTables;
  readonly slab: Slab<Domain>;
  readonly byRoot: Map<TableRoot, Domain>;
  readonly state = { made: 0 };

  constructor(driver: ReferenceDriver) {
    const { kernel, core } = driver;
    this.driver = driver;
    this.tables = new IoPageTables(core, { flush: (root, first, end) => this.flushBroken(root, first, end) });
    this.slab = kernel.slab<Domain>('reference domain', { name: '', root: null as unknown as TableRoot, records: [] });
    this.byRoot = kernel.checkpoints.keepMap(new Map());
    kernel.checkpoints.keep(this.state);
  }

  alloc(): Domain {
    const name = `domain ${++this.state.made}`;
    const root = this.tables.create(`${name} page table`);
    try {
      const records = this.driver.kernel.checkpoints.keepList<DeviceRecord>([]);
      const domain = this.slab.alloc({ name, root, records });
      this.byRoot.set(root, domain);
      return domain;
    } catch (error) {
      this.tables.destroy(root);
      throw error;
    }
  }

  free(domain: Domain): void {
    const [first] = domain.records;
    if (first !== undefined)
      throw new IommuError('EBUSY', `${first.device.name} is attached to ${domain.name}`, { rule: 'SVA-17' });
    this.byRoot.delete(domain.root);
    this.tables.destroy(domain.root);
    this.slab.free(domain);
  }

  // ── devices ────────────────────────────────────────────────────────────────────────────────────────────────────

  *attach(record: DeviceRecord, domain: Domain): Coroutine<void> {
    yield* this.detach(record);
    record.domain = domain;
    domain.records.push(record);
    const row = { pgd: domain.root.pgd, format: this.tables.format, quiet: false };
    for (const stream of record.device.streams) yield* this.driver.model.table.set(stream, NO_PASID, row);
  }

  /** FEAT-6: a device that serves processes stays where it is. */
  *detach(record: DeviceRecord): Coroutine<void> {
    const { name } = record.device;
    if (record.sva) throw new IommuError('EBUSY', `SVA is enabled on ${name}`, { rule: 'FEAT-6' });
    yield* this.leave(record);
  }

  *leave(record: DeviceRecord): Coroutine<void> {
    const { domain, device } = record;
    if (domain === null) return;
    for (const stream of device.streams) yield* this.driver.model.table.clear(stream, NO_PASID);
    yield* this.driver.model.invalidations.all(device.streams, NO_PASID);
    domain.records.splice(domain.records.indexOf(record), 1);
    record.domain = null;
  }

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────

  *map({ root }: Domain, iova: bigint, pa: number, bytes: number, perm: number): Coroutine<void> {
    checkPages(iova, bytes);
    yield* this.tables.map(root, Number(iova >> 12n), pa / PAGE, bytes / PAGE, perm);
  }

  /** Clear, tell the devices, and only then free the tables that are not needed any more (SMMU-19). */
  *unmap(domain: Domain, iova: bigint, bytes: number): Coroutine<void> {
    checkPages(iova, bytes);
    const gather = yield* this.tables.unmap(domain.root, Number(iova >> 12n), bytes / PAGE);
    if (gather.end > 0) yield* this.flush(domain, gather.first, gather.end);
    this.tables.release(gather);
  }

  /** The physical address, or null. */
  physical({ root }: Domain, iova: bigint): number | null {
    const frame = this.tables.frameOf(root, Number(iova >> 12n));
    return frame < 0 ? null : frame * PAGE + Number(iova & 4095n);
  }

  *flush({ records }: Domain, first: number, end: number): Coroutine<void> {
    for (const { device } of [...records])
      yield* this.driver.model.invalidations.pages(device.streams, NO_PASID, first, end - 1);
  }

  *flushBroken(root: TableRoot, first: number, end: number): Coroutine<void> {
    yield* this.flush(this.byRoot.get(root)!, first, end);
  }
}

function checkPages(iova: bigint, bytes: number): void {
  if (iova >= 0n && iova % 4096n === 0n && bytes > 0 && bytes % PAGE === 0) return;
  throw new IommuError('EINVAL', `${bytes} bytes at IOVA 0x${iova.toString(16)} are no whole pages`);
}
