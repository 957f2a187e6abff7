// Rules of the cache: ATC-1, ATC-2, ATC-3, ATC-4, ATC-5, ATC-6, ATC-7, ATC-8, ATC-9, ATC-10, ATC-15.
import type { Coroutine } from '@iommukit/kernel';
import { cached, invalidate } from '../../test/atc-steps.js';
import { FakeDevice, finish } from '../../test/bench-top.js';
import { device, REGISTER, sent, testRules } from '../../test/rules.js';
import { Atc, type Downstream, encodeTranslation, type Upstream } from '../index.js';

type Request = Extract<Upstream, { kind: 'translation-request' }>;

/** A translation completion with these entries. */
function completion(
  tag: number,
  entries: readonly (readonly [frame: number, order: number, perm: number])[],
): Downstream {
  const words = new Uint32Array(entries.length * 2);
  entries.forEach(([frame, order, perm], i) => {
    encodeTranslation(words, i * 2, frame, order, perm);
  });
  return { kind: 'translation-completion', tag, status: 'ok', entries: words, born: 0 };
}

/** Asks for translations, and answers them with these entries. */
function asked(
  dev: FakeDevice,
  page: number,
  want: number,
  count: number,
  entries: readonly (readonly [frame: number, order: number, perm: number])[],
): string {
  let outcome = '';
  dev.agent.answers = false;
  finish(dev, function* () {
    dev.kernel.spawn('asker', function* () {
      outcome = yield* dev.atc.translate(5, page, want, false, count);
    });
    yield* dev.kernel.clock.sleep(1);
    const request = dev.agent.seen.findLast((tlp) => tlp.kind === 'translation-request') as Request;
    yield* dev.link.down(completion(request.tag, entries));
  });
  return outcome;
}

testRules([
  {
    rule: 'ATC-1',
    says: 'drops every entry when ATS is switched off, and on reset',
    holds: (atc, pri) => {
      const off = device(atc, pri);
      cached(off, [[5, 1, 0]]);
      off.bus.write16(REGISTER.ATS, 0);
      const gone = device(atc, pri);
      cached(gone, [[5, 1, 0]]);
      gone.fn.reset();
      return off.atc.lookup(5, 1) < 0 && gone.atc.lookup(5, 1) < 0;
    },
    broken: {
      atc: class extends Atc {
        override dropAll(): void {}
      },
    },
  },
  {
    rule: 'ATC-1',
    says: 'asks for no translation while ATS is off',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      dev.bus.write16(REGISTER.COMMAND, 4);
      finish(dev, function* () {
        yield* dev.atc.translate(-1, 1, 1);
      });
      return dev.agent.seen.length === 0;
    },
    broken: {
      atc: class extends Atc {
        override mayAsk(): boolean {
          return true;
        }
      },
    },
  },
  {
    rule: 'ATC-2',
    says: 'finds Global entries for every PASID, but for none without one',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      finish(dev, () => dev.enable());
      dev.agent.pages.set(1, { perm: 1, order: 0, attributes: 0x20 });
      finish(dev, function* () {
        yield* dev.atc.translate(5, 1, 1);
      });
      return dev.atc.lookup(6, 1) >= 0 && dev.atc.lookup(-1, 1) < 0 && dev.atc.lookup(6, 1, true) < 0;
    },
    broken: {
      atc: class extends Atc {
        override lookupGlobal(): number {
          return -1;
        }
      },
    },
  },
  {
    rule: 'ATC-3',
    says: 'never caches that there is no access',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      finish(dev, () => dev.enable());
      return asked(dev, 1, 1, 1, [[0, 0, 0]]) === 'denied' && dev.atc.lookup(5, 1) < 0;
    },
    broken: {
      atc: class extends Atc {
        override isCacheable(): boolean {
          return true;
        }
      },
    },
  },
  {
    rule: 'ATC-3',
    says: 'asks with NW=0 for a write that finds a right to read, which may stay meanwhile',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      finish(dev, () => dev.enable());
      asked(dev, 1, 1, 1, [[1, 0, 1]]);
      const kept = dev.atc.rights(dev.atc.lookup(5, 1));
      const outcome = asked(dev, 1, 2, 1, [[1, 0, 3]]);
      const requests = dev.agent.seen.flatMap((tlp) => (tlp.kind === 'translation-request' ? [tlp.noWrite] : []));
      return kept === 1 && outcome === 'cached' && requests.join() === 'true,false';
    },
    broken: {
      atc: class extends Atc {
        override saysNoWrite(): boolean {
          return true;
        }
      },
    },
  },
  {
    rule: 'ATC-4',
    says: 'says of which pages U=1 allows no translated access',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      finish(dev, () => dev.enable());
      dev.agent.pages.set(1, { perm: 3, order: 0, attributes: 4 });
      finish(dev, function* () {
        yield* dev.atc.translate(5, 1, 1);
      });
      return dev.atc.untranslatedOnly(dev.atc.lookup(5, 1));
    },
    broken: {
      atc: class extends Atc {
        override untranslatedOnly(): boolean {
          return false;
        }
      },
    },
  },
  {
    rule: 'ATC-5',
    says: 'takes the entries of one completion for consecutive translation units',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      finish(dev, function* () {
        dev.bus.write16(REGISTER.ATS, 2);
        yield* dev.enable();
      });
      dev.bus.write16(REGISTER.ATS, 0);
      dev.bus.write16(REGISTER.ATS, 2);
      dev.bus.write16(REGISTER.ATS, 0x8002);
      // Four pages a unit; the middle one is denied, the last one is not answered.
      const outcome = asked(dev, 0x10, 1, 4, [
        [0x40, 2, 1],
        [0, 2, 0],
        [0x80, 2, 3],
      ]);
      const at = (page: number): number => {
        const line = dev.atc.lookup(5, page);
        return line < 0 ? -1 : dev.atc.frameOf(line, page);
      };
      return outcome === 'cached' && [at(0x13), at(0x14), at(0x18), at(0x1b), at(0x1c)].join() === '67,-1,128,131,-1';
    },
    broken: {
      atc: class extends Atc {
        override pageOf(request: Parameters<Atc['pageOf']>[0], n: number): number {
          return request.first + n;
        }
      },
    },
  },
  {
    rule: 'ATC-5',
    says: 'takes no entry that is smaller than a translation unit',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      finish(dev, () => dev.enable());
      dev.bus.write16(REGISTER.ATS, 0);
      dev.bus.write16(REGISTER.ATS, 4);
      dev.bus.write16(REGISTER.ATS, 0x8004);
      return asked(dev, 0x10, 1, 1, [[0x40, 0, 1]]) === 'ca' && dev.atc.lookup(5, 0x10) < 0;
    },
    broken: {
      atc: class extends Atc {
        override isWholeUnit(): boolean {
          return true;
        }
      },
    },
  },
  {
    rule: 'ATC-6',
    says: 'removes every entry that overlaps the range',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      cached(dev, [
        [5, 0x17, 0],
        [5, 0x200, 9],
      ]);
      finish(dev, () => invalidate(dev, 5, 0x10, 4));
      finish(dev, () => invalidate(dev, 5, 0x3ff, 0));
      return dev.atc.lookup(5, 0x17) < 0 && dev.atc.lookup(5, 0x200) < 0;
    },
    broken: {
      atc: class extends Atc {
        override dropRange(pasid: number, first: number, last: number): number[] {
          return super.dropRange(pasid, first, Math.min(last, first + 3));
        }
      },
    },
  },
  {
    rule: 'ATC-7',
    says: 'keeps no answer that an invalidation crossed',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      dev.agent.answers = false;
      let outcome = '';
      finish(dev, function* () {
        yield* dev.enable();
        dev.kernel.spawn('asker', function* () {
          outcome = yield* dev.atc.translate(5, 1, 1);
        });
        yield* dev.kernel.clock.sleep(1);
        yield* invalidate(dev, 5, 1, 0);
        yield* dev.kernel.clock.sleep(1);
        yield* dev.link.down(completion((dev.agent.seen[0] as Request).tag, [[1, 0, 3]]));
      });
      return outcome === 'again' && dev.atc.lookup(5, 1) < 0;
    },
    broken: {
      atc: class extends Atc {
        override keepsInvalidated(): boolean {
          return true;
        }
      },
    },
  },
  {
    rule: 'ATC-8',
    says: 'completes an invalidation only when no access uses what it removed',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      cached(dev, [[5, 1, 0]]);
      dev.atc.pin(dev.atc.lookup(5, 1));
      finish(dev, () => invalidate(dev, 5, 1, 0));
      return dev.agent.seen.length === 0;
    },
    broken: {
      atc: class extends Atc {
        override mayComplete(): boolean {
          return true;
        }
      },
    },
  },
  {
    rule: 'ATC-9',
    says: 'answers an invalidation while a page request waits for its response',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      const seen = sent(dev, 1, function* () {
        yield* dev.pri.request(5, [1], 1);
        yield* dev.kernel.clock.sleep(1);
        dev.kernel.spawn('host', () => invalidate(dev, 5, 1, 0));
      });
      return seen.some((tlp) => tlp.kind === 'invalidate-completion');
    },
    broken: {
      atc: class extends Atc {
        override isFull(): boolean {
          return true;
        }
      },
    },
  },
  {
    rule: 'ATC-10',
    says: 'translates while it has no credit for page requests',
    holds: (atc, pri) => {
      const dev = device(atc, pri);
      dev.agent.pages.set(2, { perm: 1, order: 0 });
      const seen = sent(dev, 1, function* () {
        yield* dev.pri.request(5, [1], 1);
        dev.kernel.spawn('other', function* () {
          yield* dev.atc.translate(5, 2, 1);
        });
      });
      return seen.some((tlp) => tlp.kind === 'translation-request');
    },
    broken: {
      atc: class extends Atc {
        override mayAsk(): boolean {
          return false;
        }
      },
    },
  },
  {
    rule: 'ATC-15',
    says: 'issues no request with a PASID that is too large, or with a wish that is not enabled',
    holds: (atc, pri) => {
      const dev = new FakeDevice({ pasid: { width: 4, exec: false, priv: false } }, 8, atc, pri);
      finish(dev, function* () {
        dev.bus.write16(REGISTER.PASID, 1);
        dev.bus.write16(REGISTER.ATS, 0x8000);
        dev.bus.write16(REGISTER.COMMAND, 4);
        dev.agent.answers = false;
        const body = function* (pasid: number, want: number, priv: boolean): Coroutine<void> {
          yield* dev.atc.translate(pasid, 1, want, priv);
        };
        for (const [pasid, want, priv] of [
          [16, 1, false],
          [15, 4, false],
          [15, 1, true],
        ] as const)
          dev.kernel.kick(dev.kernel.daemon(`asker ${pasid}`, () => body(pasid, want, priv)));
        yield* dev.kernel.clock.sleep(1);
      });
      return dev.agent.seen.length === 0;
    },
    broken: {
      atc: class extends Atc {
        override mayAsk(): boolean {
          return true;
        }
      },
    },
  },
]);
