import { FairChooser, Rng } from '@iommukit/kernel';
import { besides, measure, spread, time } from './harness.mjs';
import { BATCH_ENTRIES, PASID, STREAM, units } from './units.mjs';

const ONE_K = 1024;
const ONE_M = 2 ** 20;
const ORDER = 65536;
const BATCH = 2 ** 20;
const FOREVER = { steps: Number.POSITIVE_INFINITY, ns: 1, idleSteps: Number.POSITIVE_INFINITY };

/** Page numbers in random order. */
function pagesIn(span) {
  const rng = new Rng(1);
  return Float64Array.from({ length: ORDER }, () => rng.below(span));
}

function translations(agent, pages) {
  const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  let failed = 0;
  return (n) => {
    for (let i = 0; i < n; i++) if (!agent.translate(STREAM, PASID, pages[i & (ORDER - 1)], 1, out)) failed++;
    if (failed > 0) throw new Error(`${failed} translations failed, reason 0x${out.reason.toString(16)}`);
  };
}

/** What the number of a page's set is XORed with. The IOTLB is empty. */
function saltOf(agent, tag) {
  translations(agent, new Float64Array(ORDER))(1);
  return tag.findIndex((value) => value !== -1) >>> 2;
}

/** Empties the set of the page, as the measured case does before each translation. */
function drops(agent, pages, then) {
  const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  const { tag } = agent.iotlb.lines;
  const mask = tag.length / 4 - 1;
  const salt = saltOf(agent, tag);
  return (n) => {
    for (let i = 0; i < n; i++) {
      const page = pages[i & (ORDER - 1)];
      const set = ((page ^ salt) & mask) * 4;
      tag[set] = tag[set + 1] = tag[set + 2] = tag[set + 3] = -1;
      if (then !== null) then.translate(STREAM, PASID, page, 1, out);
    }
  };
}

/** Invalidates one page after the other through the queue, as a driver does, and translates each again (SMMU-25, VTD-18). */
function invalidations({ kernel, agent, postInvalidation, complete }) {
  const again = translations(
    agent,
    Float64Array.from({ length: ORDER }, (_, i) => i % ONE_K),
  );
  again(ORDER);
  return (n) => {
    kernel.spawn('driver', function* () {
      for (let i = 0; i < n; i += BATCH_ENTRIES) {
        for (let page = i; page < i + BATCH_ENTRIES; page++) postInvalidation(page % ONE_K);
        yield* complete();
        again(BATCH_ENTRIES);
      }
    });
    kernel.begin(new FairChooser(), FOREVER);
    const { end } = kernel.run();
    if (end !== 'finished') throw new Error(`the invalidations ended in a ${end}`);
  };
}

/** A translation of one of `span` pages, of which `mapped` are mapped. */
const lookups = (unit, mapped, span) => measure(translations(unit(mapped).agent, pagesIn(span)), { batch: BATCH });

/** A miss with tables that are all cached: the set is emptied each time, and what that costs subtracted. */
function misses(unit) {
  const pages = pagesIn(ONE_K);
  const [walked, idle] = [unit(ONE_K).agent, unit(ONE_K).agent];
  const both = drops(walked, pages, walked);
  const dropOnly = drops(idle, pages, null);
  for (let i = 0; i < 5; i++) {
    both(BATCH);
    dropOnly(BATCH);
  }
  return spread(Array.from({ length: 15 }, () => time(both, BATCH) - time(dropOnly, BATCH)));
}

/** What translations cost: those of the README's table, and one page's invalidation with the walk that fills it again. */
const each = {
  'translate-hit-1k': (unit) => lookups(unit, ONE_K, ONE_K),
  'translate-hit-1m': (unit) => lookups(unit, ONE_M, ONE_K),
  'translate-miss-1m': (unit) => lookups(unit, ONE_M, ONE_M),
  'translate-miss-1k': misses,
  'invalidate-refill': (unit) => measure(invalidations(unit(ONE_K)), { batch: 2 ** 16 }),
};

/** {@link each} on either architecture. */
export const cases = besides(each, units);
