import { describe, expect, it } from 'vitest';
import type { Answers, CompareCase, Performer } from './case-format.js';
import { complaintOf, FrozenPerformer, RecordingPerformer, vectorOf } from './frozen.js';
import { withoutStep } from './without-step.js';

const what: CompareCase = {
  machine: 'smmuv3',
  identification: {},
  note: 'a test',
  memory: [],
  steps: [
    { do: 'queue', as: 'CMD_SYNC', words: [0x46n, 0n] },
    // CS=3: QEMU takes it, the models do not.
    { do: 'queue', as: 'CMD_SYNC', words: [0x3046n, 0n] },
  ],
};

/** Takes the second command, or not. */
const performer = (name: string, takes: boolean): Performer => ({
  name,
  perform: ({ steps }: CompareCase): Answers => ({
    steps: steps.map((step) => {
      const refused = !takes && step.do === 'queue' && step.words[0] === 0x3046n;
      return { CMDQ_CONS: refused ? 0n : 1n };
    }),
    end: {},
    memory: new Map(),
  }),
});
const [ours, theirs] = [performer('ours', false), performer('theirs', true)];

describe('a frozen vector', () => {
  const vector = vectorOf(what, ours, theirs);

  it('holds the answers of every round, and what explained them', () => {
    expect(vector).toEqual({
      case: what,
      by: 'theirs',
      deviations: ['smmu-sync-signal'],
      answers: theirs.perform(what),
      further: [{ without: 1, answers: theirs.perform(withoutStep(what, 1)) }],
    });
  });

  it('is judged without the one that answered', () => {
    expect(complaintOf(vector, ours)).toBeNull();
  });

  it('is complained about where the models differ, agree where they did not, or another step is the cause', () => {
    expect(complaintOf(vector, theirs)).toBe('explained by nothing, and was by smmu-sync-signal');
    const [first, second] = vector.answers.steps;
    const changed = { ...vector, answers: { ...vector.answers, steps: [{ ...first, CMDQ_CONS: 7n }, second!] } };
    expect(complaintOf(changed, ours)).toBe('differs in CMDQ_CONS after step 0, CMDQ_CONS after step 1');
    expect(complaintOf({ ...vector, further: [] }, ours)).toBe('theirs was not asked about these 1 steps');
  });

  it('answers nothing else', () => {
    const frozen = new FrozenPerformer(vector);
    expect(frozen.perform(what)).toBe(vector.answers);
    expect(frozen.perform(withoutStep(what, 1))).toBe(vector.further[0]!.answers);
    expect(() => frozen.perform(withoutStep(what, 0))).toThrow('was not asked');
  });

  it('is recorded without a change', () => {
    const recorder = new RecordingPerformer(theirs);
    const answers = recorder.perform(what);
    expect([recorder.name, recorder.rounds]).toEqual(['theirs', [{ case: what, answers }]]);
  });
});
