import { type Coroutine, FairChooser, Kernel, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import type { AtsEndpoint, Downstream, Link, TranslationAgent, Upstream } from '../index.js';
import { PcieLink } from './pcie-link.js';

const WRITE: Upstream = { kind: 'write', at: 2, pasid: 1, page: 1, offset: 0, data: new Uint8Array(4), witness: 0 };
const READ: Upstream = { kind: 'read', at: 2, tag: 7, pasid: 1, page: 1, offset: 0, bytes: 4, witness: 0 };
const COMPLETED: Upstream = { kind: 'invalidate-completion', itags: 1, count: 1 };
const INVALIDATE: Downstream = { kind: 'invalidate-request', itag: 0, pasid: 1, lo: 0, hi: 0 };
const COMPLETION: Downstream = { kind: 'completion', tag: 7, status: 'ok', data: new Uint8Array(4) };

class Ends implements TranslationAgent, AtsEndpoint {
  readonly kernel = new Kernel();
  readonly log: string[] = [];
  readonly link = new PcieLink(this.kernel, {
    name: 'dev',
    stream: 1,
    irq: { name: 'intx', set() {}, pulse: () => void this.log.push('irq'), handle() {} },
  });
  readonly word = this.kernel.footprint();

  constructor() {
    this.link.join({ receive: (tlp) => this.down(tlp) }, this);
  }

  connect(): void {}

  /** Every delivery takes a few steps, so that others can go on in the middle. */
  *receive(_link: Link | Downstream, tlp?: Upstream): Coroutine<void> {
    yield* this.kernel.point(this.word, true);
    yield* this.kernel.point(this.word, true);
    this.log.push(tlp!.kind);
  }

  *down(tlp: Downstream): Coroutine<void> {
    yield* this.kernel.point(this.word, true);
    yield* this.kernel.point(this.word, true);
    this.log.push(tlp.kind);
  }

  translate(): boolean {
    return false;
  }

  run(body: () => Coroutine<void>, seed: number): void {
    this.kernel.begin(seed === 0 ? new FairChooser() : new RandomChooser(seed));
    this.kernel.spawn('sender', body);
    expect(this.kernel.run().end).toBe('finished');
  }
}

function orders(seeds: number, send: (ends: Ends) => Coroutine<void>): Set<string> {
  const seen = new Set<string>();
  for (let seed = 0; seed < seeds; seed++) {
    const ends = new Ends();
    ends.run(() => send(ends), seed);
    seen.add(ends.log.join(' '));
  }
  return seen;
}

describe('PcieLink', () => {
  it('lets a posted invalidation overtake a completion, and delivers both in either order', () => {
    const seen = orders(300, function* ({ link }) {
      yield* link.down(COMPLETION);
      yield* link.down(INVALIDATE);
    });
    expect(seen).toEqual(new Set(['completion invalidate-request', 'invalidate-request completion']));
  });

  it('never lets a completion overtake an invalidation that was sent before it', () => {
    const seen = orders(300, function* ({ link }) {
      yield* link.down(INVALIDATE);
      yield* link.down(COMPLETION);
    });
    expect(seen).toEqual(new Set(['invalidate-request completion']));
  });

  it('never lets an invalidate completion or an interrupt overtake a posted write (ATC-8)', () => {
    const seen = orders(300, function* ({ link }) {
      yield* link.up(WRITE);
      yield* link.up(COMPLETED);
      yield* link.up({ kind: 'interrupt' });
    });
    expect(seen).toEqual(new Set(['write invalidate-completion irq']));
  });

  it('never lets a read overtake a posted write, but lets a write overtake a read', () => {
    const after = orders(300, function* ({ link }) {
      yield* link.up(WRITE);
      yield* link.up(READ);
    });
    expect(after).toEqual(new Set(['write read']));
    const before = orders(300, function* ({ link }) {
      yield* link.up(READ);
      yield* link.up(WRITE);
    });
    expect(before).toEqual(new Set(['write read', 'read write']));
  });

  it('keeps the order of each lane', () => {
    const seen = orders(100, function* ({ link }) {
      yield* link.up(READ);
      yield* link.up({ ...READ, kind: 'translation-request', count: 1, noWrite: true, exec: false, priv: false });
    });
    expect(seen).toEqual(new Set(['read translation-request']));
  });

  it('loses what is under way, and everything after, on surprise removal', () => {
    const ends = new Ends();
    ends.run(function* () {
      yield* ends.link.up(WRITE);
      ends.link.remove();
      yield* ends.link.up(WRITE);
      yield* ends.link.down(INVALIDATE);
    }, 0);
    expect(ends.log).toEqual([]);
  });

  it('answers reads and translation requests with Unsupported Request when nobody is at the other end', () => {
    const kernel = new Kernel();
    const link = new PcieLink(kernel, { name: 'dev', stream: 1 });
    const seen: Downstream[] = [];
    link.join(
      {
        *receive(tlp) {
          seen.push(tlp);
        },
      },
      null,
    );
    kernel.begin(new FairChooser());
    kernel.spawn('sender', function* () {
      yield* link.up(READ);
      yield* link.up({ ...READ, kind: 'translation-request', count: 1, noWrite: true, exec: false, priv: false });
      yield* link.up(WRITE);
    });
    expect(kernel.run().end).toBe('finished');
    expect(seen).toMatchObject([
      { kind: 'completion', tag: 7, status: 'ur' },
      { kind: 'translation-completion', tag: 7, status: 'ur' },
    ]);
  });
});
