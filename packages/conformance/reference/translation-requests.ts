import type { Coroutine, HardwarePlace } from '@iommukit/kernel';
import { encodeTranslation, type Link, type Translation, type Upstream } from '@iommukit/pci-ats';
import type { Table } from './table.js';
import type { Walk } from './walk.js';

type TranslationRequest = Extract<Upstream, { kind: 'translation-request' }>;

const READ = 1;
const EXEC = 4;
const PRIVILEGED = 8;
/** The most that a request can ask for. */
const MOST = 512;

/** Answers to devices that translate by themselves (ATS): one page each, straight from the tables. */
export class TranslationRequests {
  readonly place: HardwarePlace;
  readonly table: Table;
  readonly walk: Walk;
  readonly translation: Translation = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };

  constructor(place: HardwarePlace, table: Table, walk: Walk) {
    this.place = place;
    this.table = table;
    this.walk = walk;
  }

  *receive(link: Link, request: TranslationRequest): Coroutine<void> {
    const { kernel } = this.place;
    yield* kernel.point(this.table.footprint, false);
    const allowed = this.table.mayTranslate(link.stream);
    const born = kernel.steps;
    const entries = allowed ? this.entriesOf(link.stream, request) : new Uint32Array(0);
    const status = allowed ? 'ok' : 'ur';
    yield* link.down({ kind: 'translation-completion', tag: request.tag, status, entries, born });
  }

  /** Pairs [lo, hi]. A page that is not there is denied, which is no error. */
  entriesOf(stream: number, request: TranslationRequest): Uint32Array {
    const count = Math.min(Math.max(Math.floor(request.count), 1), MOST);
    const entries = new Uint32Array(count * 2);
    for (let i = 0; i < count; i++) {
      const perm = this.rightsTo(stream, request, request.page + i);
      const echo = request.priv ? PRIVILEGED : 0;
      encodeTranslation(entries, i * 2, perm === 0 ? 0 : this.translation.frame, 0, perm | echo);
    }
    return entries;
  }

  /** What the tables give; execution only if it was asked for. */
  rightsTo(stream: number, { pasid, exec }: TranslationRequest, page: number): number {
    if (!this.walk.translate(stream, pasid, page, READ, this.translation)) return 0;
    return exec ? this.translation.perm : this.translation.perm & ~EXEC;
  }
}
