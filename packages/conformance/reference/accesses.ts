import type { Coroutine, HardwarePlace } from '@iommukit/kernel';
import { AT, type CompletionStatus, type Link, type Translation, type Upstream } from '@iommukit/pci-ats';
import type { Table } from './table.js';
import { REASON, type Walk } from './walk.js';

type Write = Extract<Upstream, { kind: 'write' }>;
type Read = Extract<Upstream, { kind: 'read' }>;

const PAGE = 4096;
const READ = 1;
const WRITE = 2;
const NOTHING = new Uint8Array(0);
const NAMES = ['', 'no row', 'no page', 'no right', ''];

/** Reads and writes of devices: translated and done in one step, so that none is under way when tables change. */
export class Accesses {
  readonly place: HardwarePlace;
  readonly table: Table;
  readonly walk: Walk;
  readonly translation: Translation = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };

  constructor(place: HardwarePlace, table: Table, walk: Walk) {
    this.place = place;
    this.table = table;
    this.walk = walk;
  }

  /** A write: answered if it has a tag. */
  *write(link: Link, tlp: Write): Coroutine<void> {
    yield* this.place.kernel.point(this.table.footprint, false);
    const data = tlp.data.subarray(0, Math.max(PAGE - tlp.offset, 0));
    const pa = this.reach(link, tlp, WRITE, data.length);
    if (pa >= 0) this.place.bus.memory.write(pa, data);
    const { tag } = tlp;
    if (tag !== undefined) yield* link.down({ kind: 'completion', tag, status: statusOf(pa), data: NOTHING });
  }

  /** A read: always answered. */
  *read(link: Link, tlp: Read): Coroutine<void> {
    yield* this.place.kernel.point(this.table.footprint, false);
    const bytes = Math.min(Math.max(Math.floor(tlp.bytes), 0), Math.max(PAGE - tlp.offset, 0));
    const pa = this.reach(link, tlp, READ, bytes);
    const data = pa >= 0 ? new Uint8Array(bytes) : NOTHING;
    if (pa >= 0) this.place.bus.memory.read(pa, data);
    yield* link.down({ kind: 'completion', tag: tlp.tag, status: statusOf(pa), data });
  }

  /** The physical address of an access, which is done in this step; negative: it is refused. */
  reach(link: Link, tlp: Write | Read, want: number, bytes: number): number {
    const { kernel, bus } = this.place;
    const { pasid, offset } = tlp;
    if (!Number.isInteger(offset) || offset < 0 || offset >= PAGE) return -1;
    const frame = this.frameOf(link, tlp, want);
    if (bus.memory.indexOf(frame) < 0) return -1;
    const witness = tlp.at === AT.TRANSLATED ? tlp.witness : bus.memory.generationOf(frame);
    kernel.observer.dma(`stream ${link.stream}`, link.stream, pasid, frame, witness, want === WRITE);
    const pa = frame * PAGE + offset;
    const write = want === WRITE;
    for (let word = Math.floor(pa / 8); word <= Math.floor((pa + bytes - 1) / 8); word++) kernel.touch(word, write);
    return pa;
  }

  /** The frame of an access, or -1. */
  frameOf({ stream }: Link, { at, pasid, page }: Write | Read, want: number): number {
    if (at === AT.TRANSLATED) return this.table.mayTranslate(stream) ? page : -1;
    if (at === AT.UNTRANSLATED && this.walk.translate(stream, pasid, page, want, this.translation))
      return this.translation.frame;
    if (at === AT.UNTRANSLATED) this.record(stream, pasid, this.translation.reason);
    return -1;
  }

  /** Somebody should know; but not of a process that has died (SVA-11, INV-5). */
  record(stream: number, pasid: number, reason: number): void {
    const { kernel, name } = this.place;
    if (reason !== REASON.QUIET) kernel.observer.event(name, stream, pasid, NAMES[reason] ?? '', false);
  }
}

function statusOf(pa: number): CompletionStatus {
  return pa >= 0 ? 'ok' : 'ca';
}
