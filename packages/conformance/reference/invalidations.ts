import type { Coroutine, Footprint, HardwarePlace } from '@iommukit/kernel';
import { encodeInvalidate, type Link } from '@iommukit/pci-ats';
import type { Table } from './table.js';

/** An invalidation that its device has not completed. */
interface Outstanding {
  readonly stream: number;
  readonly itag: number;
  /** Completions so far. */
  seen: number;
}

/** A device that says nothing for so long is gone. */
const PATIENCE_NS = 1e9;
const ITAGS = 32;
/** Everything: 2^52 pages. */
const ALL = 52;

/** Tells devices what to forget, and waits until they have: the only caches of this IOMMU are theirs. */
export class Invalidations {
  readonly place: HardwarePlace;
  readonly table: Table;
  readonly links: ReadonlyMap<number, Link>;
  readonly outstanding: Outstanding[];
  readonly footprint: Footprint;

  constructor(place: HardwarePlace, table: Table, links: ReadonlyMap<number, Link>) {
    this.place = place;
    this.table = table;
    this.links = links;
    this.outstanding = place.kernel.checkpoints.keepList<Outstanding>([]);
    this.footprint = place.kernel.footprint();
  }

  /** Everything of a PASID (-1: of requests without one). Returns when no device uses any of it (MN-18). */
  all(streams: readonly number[], pasid: number): Coroutine<void> {
    return this.send(streams, pasid, 0, ALL);
  }

  /** Pages [first, last]: the least naturally aligned range around them is one request (pcie-ats.md 2.4). */
  pages(streams: readonly number[], pasid: number, first: number, last: number): Coroutine<void> {
    let order = 0;
    while (Math.floor(first / 2 ** order) !== Math.floor(last / 2 ** order)) order++;
    return this.send(streams, pasid, first, order);
  }

  *send(streams: readonly number[], pasid: number, page: number, order: number): Coroutine<void> {
    const [lo, hi] = encodeInvalidate(page, order);
    const sent: Outstanding[] = [];
    for (const stream of streams) {
      const link = this.links.get(stream);
      if (link === undefined || !this.table.mayTranslate(stream)) continue;
      const one = yield* this.begin(stream);
      sent.push(one);
      yield* link.down({ kind: 'invalidate-request', itag: one.itag, pasid, lo, hi });
    }
    for (const one of sent) yield* this.wait(() => !this.outstanding.includes(one), 'an invalidation');
    for (const one of sent) this.forget(one);
  }

  /** Takes the lowest ITag that is free, once there is one. */
  *begin(stream: number): Coroutine<Outstanding> {
    yield* this.wait(() => this.freeTag(stream) < ITAGS, 'an ITag');
    const one = { stream, itag: this.freeTag(stream) % ITAGS, seen: 0 };
    this.outstanding.push(one);
    return one;
  }

  freeTag(stream: number): number {
    let itag = 0;
    while (this.outstanding.some((one) => one.stream === stream && one.itag === itag)) itag++;
    return itag;
  }

  /** Gives a device up that never answers: it was pulled out. */
  wait(test: () => boolean, why: string): ReturnType<HardwarePlace['kernel']['until']> {
    return this.place.kernel.until(this.footprint, test, why, PATIENCE_NS);
  }

  /** A device has completed what `itags` has bits for; it says so `count` times (0: 8). Others' tags are ignored. */
  complete(stream: number, itags: number, count: number): void {
    for (const one of [...this.outstanding]) {
      if (one.stream !== stream || (itags & (1 << one.itag)) === 0) continue;
      one.seen++;
      if (one.seen >= (count === 0 ? 8 : count)) this.forget(one);
    }
    this.place.kernel.touch(this.footprint, true);
  }

  forget(one: Outstanding): void {
    const at = this.outstanding.indexOf(one);
    if (at >= 0) this.outstanding.splice(at, 1);
  }
}
