import {
  type Answers,
  type CompareCase,
  type Comparison,
  compareCase,
  complaintOf,
  DEVIATIONS,
  type Observation,
  type Vector,
} from '@iommukit/qemu';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { embeddedPerformer } from '../src/commands/compare.js';
import { type NamedVector, vectorsOf } from './vectors.js';

const BACKENDS = ['vtd', 'smmuv3'] as const;
const VECTORS = { vtd: vectorsOf('vtd'), smmuv3: vectorsOf('smmuv3') };
const ALL: readonly NamedVector[] = [...VECTORS.vtd, ...VECTORS.smmuv3];
const PREFIX = 'deviation-';

/** Deviations that no vector can show alone, and why. */
const WITHOUT_VECTOR: Readonly<Record<string, string>> = {};

const ours = embeddedPerformer();

describe.each(BACKENDS)("QEMU's frozen answers about %s", (backend) => {
  it('come from a QEMU of 11 or newer, and are of this backend', () => {
    expect(VECTORS[backend].length).toBeGreaterThan(80);
    for (const { name, vector } of VECTORS[backend]) {
      expect([name, vector.by]).toEqual([name, expect.stringMatching(/^QEMU 1[1-9]\./)]);
      expect([name, vector.case.machine]).toEqual([name, expect.stringMatching(`^${backend}`)]);
    }
  });

  it.each(VECTORS[backend])('$name: the models agree, or differ by what is named', ({ vector }) => {
    expect(complaintOf(vector, ours)).toBeNull();
  });
});

describe('deviations', () => {
  it.each(DEVIATIONS.map(({ id }) => id))('%s has a vector that it alone explains', (id) => {
    const found = ALL.find(({ name }) => name === `${PREFIX}${id}`);
    if (id in WITHOUT_VECTOR) expect(found).toBeUndefined();
    else expect(found?.vector.deviations).toEqual([id]);
  });

  it('that vectors name are in the list', () => {
    const known = DEVIATIONS.map(({ id }) => id);
    const named = ALL.flatMap(({ vector }) => vector.deviations);
    expect(named.filter((id) => !known.includes(id))).toEqual([]);
    const kept = ALL.filter(({ name }) => name.startsWith(PREFIX)).map(({ name }) => name.slice(PREFIX.length));
    expect(kept.filter((id) => !known.includes(id))).toEqual([]);
  });

  it('that vectors of features name are few: most agree to the bit', () => {
    const features = ALL.filter(({ name }) => !name.startsWith(PREFIX));
    const agreed = features.filter(({ vector }) => vector.deviations.length === 0);
    expect(agreed.length / features.length).toBeGreaterThan(0.75);
  });

  it.each(ALL.filter(({ vector }) => vector.deviations.length > 0))(
    'are what explains $name: nothing else does',
    ({ vector }) => {
      const others = DEVIATIONS.filter(({ id }) => !vector.deviations.includes(id));
      let rounds = 0;
      const theirs = {
        name: vector.by,
        perform: () => [vector.answers, ...vector.further.map(({ answers }) => answers)][rounds++]!,
      };
      let comparison: Comparison | null = null;
      try {
        comparison = compareCase(vector.case, ours, theirs, others);
      } catch {
        // Another deviation asks for answers that nobody has.
      }
      expect(comparison?.verdict ?? 'unexplained').toBe('unexplained');
    },
  );
});

// ── a changed answer is noticed ──────────────────────────────────────────────────────────────────────────────────

/** Where an answer is: the index of a step, or the end, or memory. */
type Place = { readonly step: number; readonly field: string } | { readonly address: number };

function placesOf({ steps, end, memory }: Answers): readonly Place[] {
  const fields = (step: number, seen: Observation): Place[] => Object.keys(seen).map((field) => ({ step, field }));
  return [
    ...steps.flatMap((seen, step) => fields(step, seen)),
    ...fields(-1, end),
    ...[...memory.keys()].map((address) => ({ address })),
  ];
}

/** What the answers say at a place. */
const valueAt = (answers: Answers, place: Place): bigint | boolean | undefined => {
  if ('address' in place) return answers.memory.get(place.address);
  return place.step < 0 ? answers.end[place.field] : answers.steps[place.step]?.[place.field];
};

/** The answers with one bit of one answer changed. */
function flipped(answers: Answers, place: Place, bit: number): Answers {
  const value = valueAt(answers, place)!;
  const other = typeof value === 'boolean' ? !value : value ^ (1n << BigInt(bit));
  if ('address' in place) {
    return { ...answers, memory: new Map(answers.memory).set(place.address, other as bigint) };
  }
  const changed = (seen: Observation): Observation => ({ ...seen, [place.field]: other });
  if (place.step < 0) return { ...answers, end: changed(answers.end) };
  return { ...answers, steps: answers.steps.map((seen, i) => (i === place.step ? changed(seen) : seen)) };
}

/** The vector with other answers to the case that is judged in the end: what deviations take out of it is gone. */
function judged({ case: what, answers, further }: Vector): { readonly case: CompareCase; readonly answers: Answers } {
  const left = further.reduce((steps, { without }) => steps.filter((_step, i) => i !== without), what.steps);
  return { case: { ...what, steps: left }, answers: further.at(-1)?.answers ?? answers };
}

function withJudged(vector: Vector, answers: Answers): Vector {
  const last = vector.further.at(-1);
  return last === undefined
    ? { ...vector, answers }
    : { ...vector, further: vector.further.with(-1, { ...last, answers }) };
}

describe('one changed bit in an answer', () => {
  const agreed = ALL.filter(({ vector }) => vector.deviations.length === 0);
  const explained = ALL.filter(({ vector }) => vector.deviations.length > 0);
  const property = (vectors: readonly NamedVector[]) =>
    fc.property(fc.constantFrom(...vectors), fc.nat(), fc.nat({ max: 63 }), ({ name, vector }, n, bit) => {
      const { case: what, answers } = judged(vector);
      const mine = ours.perform(what);
      const places = placesOf(answers).filter((place) => valueAt(mine, place) === valueAt(answers, place));
      const place = places[n % places.length]!;
      const complaint = complaintOf(withJudged(vector, flipped(answers, place, bit)), ours);
      if (complaint === null) throw new Error(`${name}: nobody noticed bit ${bit} of ${JSON.stringify(place)}`);
    });

  it('is noticed in every vector whose answers are the models’', () => {
    fc.assert(property(agreed), { seed: 1, numRuns: 1500 });
  });

  it('is noticed in every vector that a deviation explains, where the answers agree', () => {
    fc.assert(property(explained), { seed: 2, numRuns: 1500 });
  });
});
