import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Answers, CaseStep, CompareCase, Observation, Vector } from './case-format.js';
import { caseToJson, jsonText, vectorToJson } from './case-json.js';
import { readCase, readVector } from './read-case.js';

const BASE = 0x4200_0000;
const word = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const label = fc.string({ maxLength: 20 });
const words = fc.array(word, { minLength: 1, maxLength: 4 });
const piece = fc.record({ address: fc.nat({ max: 1000 }).map((n) => BASE + n * 8), as: label, what: label, words });

const step: fc.Arbitrary<CaseStep> = fc.oneof(
  fc.record({ do: fc.constant('write' as const), register: fc.constantFrom('CR0', 'GERRORN'), value: word }),
  piece.map((one) => ({ do: 'store' as const, ...one })),
  fc.record({ do: fc.constant('queue' as const), as: label, words }),
  fc.record({
    do: fc.constant('dma' as const),
    device: fc.constant('edu' as const),
    access: fc.constantFrom('read' as const, 'write' as const),
    iova: word.map((one) => one & ~0xfffn),
    bytes: fc.integer({ min: 1, max: 4096 }),
  }),
);

const anyCase: fc.Arbitrary<CompareCase> = fc.record({
  machine: fc.constant('smmuv3' as const),
  identification: fc.record({ IDR0: word, IDR1: word, IDR3: word, IDR5: word }),
  note: label,
  memory: fc.array(piece, { maxLength: 5 }),
  steps: fc.array(step, { maxLength: 8 }),
});

const observation: fc.Arbitrary<Observation> = fc.dictionary(
  fc.constantFrom('ok', 'CR0ACK', 'EVENT_0'),
  fc.oneof(word, fc.boolean()),
  { noNullPrototype: true },
);
const answersTo = (steps: number): fc.Arbitrary<Answers> =>
  fc.record({
    steps: fc.array(observation, { minLength: steps, maxLength: steps }),
    end: observation,
    memory: fc.array(fc.tuple(fc.nat(), word), { maxLength: 4 }).map((list) => new Map(list)),
  });

const anyVector: fc.Arbitrary<Vector> = anyCase.chain((what) => {
  const count = what.steps.length;
  const further = Array.from({ length: Math.min(count, 2) }, (_, i) =>
    fc.record({ without: fc.nat({ max: count - i - 1 }), answers: answersTo(count - i - 1) }),
  );
  return fc.record({
    case: fc.constant(what),
    by: label,
    deviations: fc.array(label, { maxLength: 3 }),
    answers: answersTo(count),
    further: fc.tuple(...further),
  });
});

describe('files of cases', () => {
  it('hold every case to the bit', () => {
    fc.assert(
      fc.property(anyCase, (what) => {
        expect(readCase(JSON.parse(jsonText(caseToJson(what))))).toEqual(what);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it('hold every vector to the bit', () => {
    fc.assert(
      fc.property(anyVector, (vector) => {
        expect(readVector(JSON.parse(jsonText(vectorToJson(vector))))).toEqual(vector);
      }),
      { seed: 2, numRuns: 300 },
    );
  });

  it('have a line a step', () => {
    fc.assert(
      fc.property(anyCase, (what) => {
        const lines = jsonText(caseToJson(what)).split('\n');
        expect(lines.filter((line) => line.startsWith('    { "do": ')).length).toBe(what.steps.length);
      }),
      { seed: 3, numRuns: 100 },
    );
  });

  it('are refused with the place of what is wrong, whatever is put in', () => {
    fc.assert(
      fc.property(anyVector, fc.nat(), fc.jsonValue(), (vector, n, junk) => {
        const data = JSON.parse(jsonText(vectorToJson(vector))) as Record<string, unknown>;
        const keys = Object.keys(data);
        data[keys[n % keys.length]!] = junk;
        try {
          readVector(data);
        } catch (error) {
          expect(error).toMatchObject({ name: 'CaseError', message: expect.stringContaining('expected') });
        }
      }),
      { seed: 4, numRuns: 500 },
    );
  });
});
