import { type Coroutine, FairChooser, Kernel, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { type Downstream, type Link, PlatformLink, type TranslationAgent, type Upstream } from '../index.js';

const READ: Upstream = { kind: 'read', at: 0, tag: 7, pasid: 1, page: 1, offset: 0, bytes: 4, witness: 0 };
const DATA = new Uint8Array(4);
const WRITE: Upstream = { kind: 'write', at: 0, tag: 8, pasid: 1, page: 1, offset: 0, data: DATA, witness: 0 };

/** An agent that holds writes back until it is told, and answers reads at once. */
class Ends implements TranslationAgent {
  readonly kernel = new Kernel();
  readonly log: string[] = [];
  readonly link = new PlatformLink(this.kernel, { name: 'accelerator', stream: 0x100 });
  held: Upstream | null = null;

  constructor(agent = true) {
    this.link.join(
      { receive: (tlp) => this.kernel.done(void this.log.push(`${tlp.tag} ${tlp.status}`)) },
      agent ? this : null,
    );
  }

  connect(link: Link): void {
    expect([link.stream, link.stalls]).toEqual([0x100, true]);
  }

  *receive(link: Link, tlp: Upstream): Coroutine<void> {
    this.log.push(tlp.kind);
    if (tlp.kind === 'write') this.held = tlp;
    if (tlp.kind === 'read') yield* link.down({ kind: 'completion', tag: tlp.tag, status: 'ok', data: DATA });
  }

  translate(): boolean {
    return false;
  }

  run(body: () => Coroutine<void>, seed = 0): string {
    this.kernel.begin(seed === 0 ? new FairChooser() : new RandomChooser(seed));
    this.kernel.spawn('sender', body);
    return this.kernel.run().end;
  }
}

describe('PlatformLink', () => {
  it('carries reads and writes up in order, and their answers down, and says that its device may stall (FEAT-5)', () => {
    for (let seed = 0; seed < 50; seed++) {
      const ends = new Ends();
      ends.run(function* () {
        yield* ends.link.up(WRITE);
        yield* ends.link.up(READ);
        yield* ends.kernel.clock.sleep(1);
        // The write is held back; the read behind it was not.
        expect(ends.log).toEqual(['write', 'read', '7 ok']);
        yield* ends.link.down({ kind: 'completion', tag: 8, status: 'ca', data: new Uint8Array(0) });
      }, seed);
      expect(ends.log.at(-1)).toBe('8 ca');
    }
  });

  it.each<Upstream>([
    { kind: 'interrupt' },
    { kind: 'page-request', pasid: 1, prgi: 0, page: 0, perm: 1, last: true },
    { kind: 'invalidate-completion', itags: 1, count: 1 },
  ])('carries no $kind up', (tlp) => {
    const ends = new Ends();
    expect(() => ends.run(() => ends.link.up(tlp) as Coroutine<void>)).toThrow(
      /a platform bus carries reads and writes/,
    );
  });

  it.each<Downstream>([
    { kind: 'prg-response', pasid: 1, prgi: 0, code: 0 },
    { kind: 'invalidate-request', itag: 0, pasid: 1, lo: 0, hi: 0 },
  ])('carries no $kind down', (tlp) => {
    const ends = new Ends();
    expect(() => ends.run(() => ends.link.down(tlp) as Coroutine<void>)).toThrow(/carries completions/);
  });

  it('answers with Unsupported Request where nobody is, but for writes that want no answer', () => {
    const ends = new Ends(false);
    const { tag: _none, ...posted } = WRITE as Extract<Upstream, { kind: 'write' }>;
    ends.run(function* () {
      yield* ends.link.up(posted);
      yield* ends.link.up(WRITE);
      yield* ends.link.up(READ);
    });
    expect(ends.log).toEqual(['8 ur', '7 ur']);
  });

  it('loses what is under way, and everything after, when the device is removed', () => {
    const ends = new Ends();
    ends.run(function* () {
      yield* ends.link.up(READ);
      ends.link.remove();
      yield* ends.link.up(READ);
    });
    expect(ends.log).toEqual([]);
  });
});
