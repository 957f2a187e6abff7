import { describe, expect, it } from 'vitest';
import type { Answers } from './case-format.js';
import { differences } from './differences.js';

const answers = (change: Partial<Answers> = {}): Answers => ({
  steps: [{ ok: true }, { X: 3n }],
  end: { Y: 0n },
  memory: new Map([[0x1000, 5n]]),
  ...change,
});
const stored = new Map([[0x2000, 8n]]);

describe('differences', () => {
  it('are none between equal answers', () => {
    expect(differences(answers(), answers(), stored)).toEqual([]);
  });

  it('are of steps, then of the end, then of memory by address', () => {
    const memory = new Map([
      [0x3000, 1n],
      [0x2000, 2n],
    ]);
    const theirs = answers({ steps: [{ ok: false }, { X: 3n }], end: { Y: 1n }, memory });
    expect(differences(answers(), theirs, stored)).toEqual([
      { step: 0, field: 'ok', ours: true, theirs: false },
      { step: -1, field: 'Y', ours: 0n, theirs: 1n },
      { step: -1, field: 'memory 0x1000', ours: 5n, theirs: false, stored: 0n },
      { step: -1, field: 'memory 0x2000', ours: false, theirs: 2n, stored: 8n },
      { step: -1, field: 'memory 0x3000', ours: false, theirs: 1n, stored: 0n },
    ]);
  });

  it('show a field, or a whole step, that one side has alone', () => {
    expect(differences(answers(), answers({ steps: [{ ok: true, Z: 4n }] }), stored)).toEqual([
      { step: 0, field: 'Z', ours: false, theirs: 4n },
      { step: 1, field: 'X', ours: 3n, theirs: false },
    ]);
  });

  it('tell a word that is 0 from one that is as software left it', () => {
    const zero = answers({ memory: new Map([[0x1000, 0n]]) });
    expect(differences(zero, answers({ memory: new Map() }), stored)).toEqual([
      { step: -1, field: 'memory 0x1000', ours: 0n, theirs: false, stored: 0n },
    ]);
  });
});
