import { describe, expect, it } from 'vitest';
import type { Deviation } from '../deviations.js';
import type { Answers, CaseStep, CompareCase, Observation, Performer } from './case-format.js';
import { compareCase, judge } from './explain.js';

const touch = (device: 'edu' | 'testdev', page: bigint): CaseStep => ({
  do: 'dma',
  device,
  access: 'write',
  iova: page << 12n,
  bytes: 4,
});

const caseOf = (...steps: CaseStep[]): CompareCase => ({
  machine: 'smmuv3',
  identification: {},
  note: 'a test',
  memory: [{ address: 0x4200_3000, as: 'data', what: 'data', words: [7n] }],
  steps,
});

/** Answers every step with what `seen` says of it, and memory with what `left` says of all of them. */
class Puppet implements Performer {
  readonly name: string;
  readonly seen: (step: CaseStep, index: number) => Observation;
  readonly left: (steps: readonly CaseStep[]) => ReadonlyMap<number, bigint>;
  readonly asked: CompareCase[] = [];

  constructor(
    name: string,
    seen: (step: CaseStep, index: number) => Observation,
    left: (steps: readonly CaseStep[]) => ReadonlyMap<number, bigint> = () => new Map(),
  ) {
    this.name = name;
    this.seen = seen;
    this.left = left;
  }

  perform(what: CompareCase): Answers {
    this.asked.push(what);
    return { steps: what.steps.map(this.seen), end: { X: 1n }, memory: this.left(what.steps) };
  }
}

const isTo = (page: bigint) => (step: CaseStep) => step.do === 'dma' && step.iova === page << 12n;
const text = { title: 'a title', specification: 'a place', reason: 'a reason' } as const;

const always = new Puppet('always', () => ({ ok: true, X: 1n }));
/** Refuses page 2, and has another X there. */
const picky = new Puppet('picky', (step) => (isTo(2n)(step) ? { ok: false, X: 5n } : { ok: true, X: 1n }));
const what = caseOf(touch('testdev', 1n), touch('testdev', 2n), touch('testdev', 3n));

/** Takes accesses to a page out of the comparison. */
const skipping = (id: string, page: bigint): Deviation => ({
  id,
  ...text,
  skips: (index, _found, { case: of }) => isTo(page)(of.steps[index]!),
});

describe('compareCase', () => {
  it('says that equal answers agree', () => {
    expect(compareCase(what, always, always, [])).toEqual({ verdict: 'agreed', deviations: [], case: what, left: [] });
  });

  it('leaves what no deviation explains, with both values and the step', () => {
    const { verdict, left } = compareCase(what, always, picky, []);
    expect([verdict, left]).toEqual([
      'unexplained',
      [
        { step: 1, field: 'ok', ours: true, theirs: false },
        { step: 1, field: 'X', ours: 1n, theirs: 5n },
      ],
    ]);
  });

  it('is content when deviations explain every single difference, and names each once', () => {
    const ok: Deviation = { id: 'ok', ...text, explains: ({ field }) => field === 'ok' };
    const x: Deviation = { id: 'x', ...text, explains: ({ field, theirs }) => field === 'X' && theirs === 5n };
    expect(compareCase(what, always, picky, [ok, x])).toMatchObject({ verdict: 'explained', deviations: ['ok', 'x'] });
    expect(compareCase(what, always, picky, [ok])).toMatchObject({ verdict: 'unexplained', deviations: ['ok'] });
  });

  it('compares again without the step that a deviation is the cause of', () => {
    const { verdict, deviations, case: rest } = compareCase(what, always, picky, [skipping('two', 2n)]);
    expect([verdict, deviations]).toEqual(['explained', ['two']]);
    expect(rest.steps).toEqual([what.steps[0], what.steps[2]]);
  });

  it('does not excuse what differs elsewhere', () => {
    const worse = new Puppet('worse', (step) => ({ ok: !isTo(2n)(step) && !isTo(3n)(step), X: 1n }));
    const { verdict, left } = compareCase(what, always, worse, [skipping('two', 2n)]);
    expect([verdict, left.map(({ step }) => step)]).toEqual(['unexplained', [1]]);
  });

  it('does not ask about a later step while an earlier one has no cause', () => {
    expect(compareCase(what, always, picky, [skipping('three', 3n)]).verdict).toBe('unexplained');
  });

  it.each(['edu', 'testdev'] as const)('asks accesses of %s for a cause where the end alone differs', (device) => {
    const silent = caseOf({ do: 'write', register: 'CR0', value: 1n }, touch(device, 1n), touch(device, 2n));
    const astray = new Puppet(
      'astray',
      () => ({}),
      (steps) => new Map(steps.some(isTo(2n)) ? [[0x4200_3000, 9n]] : []),
    );
    const quiet = new Puppet('quiet', () => ({}));
    const { verdict, deviations, case: rest } = compareCase(silent, quiet, astray, [skipping('two', 2n)]);
    expect([verdict, deviations, rest.steps.length]).toEqual(['explained', ['two'], 2]);
    expect(compareCase(silent, quiet, astray, []).left).toEqual([
      { step: -1, field: 'memory 0x42003000', ours: false, theirs: 9n, stored: 7n },
    ]);
  });

  it('ends although a deviation takes out one step after another', () => {
    const long = caseOf(...Array.from({ length: 200 }, () => touch('testdev', 2n)));
    expect(compareCase(long, always, picky, [skipping('two', 2n)]).verdict).toBe('unexplained');
    expect(compareCase(caseOf(...long.steps.slice(0, 60)), always, picky, [skipping('two', 2n)]).case.steps).toEqual(
      [],
    );
  });

  it('never changes the case that it was given', () => {
    const before = structuredClone(what);
    compareCase(what, always, picky, [skipping('two', 2n)]);
    expect(what).toEqual(before);
  });
});

describe('judge', () => {
  it('tells the first step and its deviation, and prefers what explains single differences', () => {
    const x: Deviation = { id: 'x', ...text, explains: ({ field }) => field === 'X' };
    const judgement = judge(what, always.perform(what), picky.perform(what), always, [x, skipping('two', 2n)]);
    expect(judgement.seen).toEqual(['x']);
    expect(judgement.left.map(({ field }) => field)).toEqual(['ok']);
    expect(judgement.cause).toEqual({ step: 1, deviation: 'two' });
  });

  it('lets a deviation ask the models about a step alone, in another case', () => {
    const models = new Puppet('models', (_step, i) => ({ X: BigInt(i) }));
    const answers: Observation[] = [];
    const asking: Deviation = {
      id: 'asking',
      ...text,
      skips: (index, _found, context) => {
        answers.push(context.alone(index));
        answers.push(context.alone(index, (of) => ({ ...of, note: 'changed' })));
        return false;
      },
    };
    judge(what, always.perform(what), picky.perform(what), models, [asking]);
    // smmuv3 has nothing to acknowledge before it.
    expect(answers).toEqual([{ X: 1n }, { X: 1n }]);
    expect(models.asked.map(({ note, steps }) => [note, steps.length])).toEqual([
      ['a test', 2],
      ['changed', 2],
    ]);
  });
});
