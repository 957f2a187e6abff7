import type { Coroutine } from '@iommukit/kernel';
import { type Core, ENTRY, type Mm, type MmuNotifierOps, type Subscription } from '../src/index.js';

interface Line {
  readonly frame: number;
  readonly perm: number;
}

/** A secondary TLB that keeps every translation that it was asked for, until it is told to forget it. */
export class SecondaryTlb implements MmuNotifierOps {
  readonly core: Core;
  readonly mm: Mm;
  readonly lines = new Map<number, Line>();
  /** What it was told, in pages: `first-end`. */
  readonly log: string[] = [];
  /** Called at each notification, before anything is forgotten. */
  watch: (first: number, end: number) => void = () => {};
  subscription: Subscription | null = null;

  constructor(core: Core, mm: Mm) {
    this.core = core;
    this.mm = mm;
  }

  /** Registers it. */
  *listen(): Coroutine<this> {
    this.subscription = yield* this.core.notifiers.get(this, this.mm, function* () {});
    return this;
  }

  *release(): Coroutine<void> {
    this.log.push('release');
    this.lines.clear();
  }

  *invalidateRange(_subscription: Subscription, start: bigint, end: bigint): Coroutine<void> {
    const first = Number(start >> 12n);
    const last = Number((end - 1n) >> 12n);
    this.log.push(`${first.toString(16)}-${(last + 1).toString(16)}`);
    this.watch(first, last + 1);
    for (const page of [...this.lines.keys()]) if (page >= first && page <= last) this.lines.delete(page);
  }

  /** Caches what the tables say of a page, if anything; the frame, or -1. */
  translate(page: number): number {
    const found = this.look(page);
    if (found !== null) this.lines.set(page, found);
    return found?.frame ?? -1;
  }

  /** Pages of which something is cached that the tables do not say any more. */
  stale(): number[] {
    return [...this.lines].flatMap(([page, line]) => {
      const now = this.look(page);
      return now !== null && now.frame === line.frame && now.perm === line.perm ? [] : [page];
    });
  }

  look(page: number): Line | null {
    const { format, pageTables } = this.core;
    const look = pageTables.find(this.mm, page);
    return look.kind === ENTRY.LEAF ? { frame: pageTables.frameAt(look, page), perm: format.permOf(look.entry) } : null;
  }
}
