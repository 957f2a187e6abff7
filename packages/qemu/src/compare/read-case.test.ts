import { describe, expect, it } from 'vitest';
import { CaseError, isCaseError, readCase, readVector } from './read-case.js';

const CASE = {
  version: 1,
  machine: 'vtd-legacy',
  note: 'a test',
  identification: { VER: '0x10', CAP: '0x1', ECAP: '0x2' },
  memory: [{ address: '0x1000000', as: 'data', what: 'data', words: ['0x1'] }],
  steps: [
    { do: 'write', register: 'GCMD', value: '0x40000000' },
    { do: 'store', address: '0x1000008', as: 'data', what: 'data', words: ['0xFF'] },
    { do: 'queue', as: 'inv_wait', words: ['0x25', '0x1000'] },
    { do: 'dma', device: 'testdev', access: 'write', iova: '0xffc', bytes: 4 },
  ],
};
const seen = { steps: [{}, {}, {}, { ok: true, FSTS: '0x0' }], end: { GSTS: '0x0' }, memory: { '0x1000000': '0x2' } };
const VECTOR = { ...CASE, by: 'QEMU 11.1.3', deviations: [], answers: seen, further: [] };
const step = (change: object, n = 3) => ({ ...CASE, steps: [{ ...CASE.steps[n], ...change }] });

/** Where a file is refused. */
function placeOf(read: (data: unknown) => unknown, data: unknown): string {
  try {
    read(data);
    return 'nowhere';
  } catch (error) {
    if (isCaseError(error)) return error.place;
    throw error;
  }
}

describe('readCase', () => {
  it('reads what is right', () => {
    const { machine, steps, memory } = readCase(CASE);
    expect([machine, memory[0]!.words, steps[3]]).toEqual([
      'vtd-legacy',
      [1n],
      { do: 'dma', device: 'testdev', access: 'write', iova: 0xffcn, bytes: 4 },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['nothing', null, ''],
    ['a list', [], ''],
    ['no version', { ...CASE, version: undefined }, 'version'],
    ['a machine that no cases are for', { ...CASE, machine: 'riscv' }, 'machine'],
    ['a stranger', { ...CASE, extra: 1 }, 'extra'],
    ['identification without CAP', { ...CASE, identification: { VER: '0x10', ECAP: '0x0' } }, 'identification.CAP'],
    ['memory that is no list', { ...CASE, memory: {} }, 'memory'],
    ['memory before the arena', { ...CASE, memory: [{ ...CASE.memory[0], address: '0xfffff8' }] }, 'memory[0].address'],
    [
      'memory behind the arena',
      { ...CASE, memory: [{ ...CASE.memory[0], address: '0x1040000' }] },
      'memory[0].address',
    ],
    ['memory that reaches out', step({ address: '0x103fff8', words: ['0x0', '0x0'] }, 1), 'steps[0].address'],
    ['words that are none', step({ words: ['1'] }, 1), 'steps[0].words[0]'],
    ['a register of another machine', step({ register: 'CR0' }, 0), 'steps[0].register'],
    ['a queue entry without words', step({ words: [] }, 2), 'steps[0].words'],
    ['a queue entry of five words', step({ words: ['0x0', '0x0', '0x0', '0x0', '0x0'] }, 2), 'steps[0].words'],
    ['a reading testdev', step({ access: 'read' }), 'steps[0].access'],
    ['no bytes', step({ bytes: 0 }), 'steps[0].bytes'],
    ['half a byte', step({ bytes: 0.5 }), 'steps[0].bytes'],
    ['bytes of two pages', step({ bytes: 5 }), 'steps[0].bytes'],
    ['an address of 65 bits', step({ iova: '0x10000000000000000' }), 'steps[0].iova'],
    ['a stranger in a step', step({ when: 'now' }), 'steps[0].when'],
  ])('refuses %s, at its place', (_name, data, place) => {
    expect(placeOf(readCase, data)).toBe(place);
  });

  it('says what was expected', () => {
    expect(() => readCase(step({ bytes: 5 }))).toThrow('steps[0].bytes: expected a number of bytes, all in one page');
    expect(new CaseError('', 'an object').message).toBe('the case: expected an object');
  });
});

describe('readVector', () => {
  it('reads what is right', () => {
    const { by, answers } = readVector(VECTOR);
    expect([by, answers.steps[3], answers.memory]).toEqual([
      'QEMU 11.1.3',
      { ok: true, FSTS: 0n },
      new Map([[0x100_0000, 2n]]),
    ]);
  });

  it.each<[string, unknown, string]>([
    ['a case alone', CASE, 'answers'],
    ['answers to fewer steps', { ...VECTOR, answers: { ...seen, steps: [{}] } }, 'answers.steps'],
    ['an answer that is a number', { ...VECTOR, answers: { ...seen, end: { GSTS: 5 } } }, 'answers.end.GSTS'],
    ['memory by name', { ...VECTOR, answers: { ...seen, memory: { here: '0x1' } } }, 'answers.memory.here'],
    ['a step left out that is none', { ...VECTOR, further: [{ without: 4, ...seen }] }, 'further[0].without'],
    ['answers with the step that is out', { ...VECTOR, further: [{ without: 0, ...seen }] }, 'further[0].steps'],
    ['deviations that are numbers', { ...VECTOR, deviations: [3] }, 'deviations[0]'],
  ])('refuses %s, at its place', (_name, data, place) => {
    expect(placeOf(readVector, data)).toBe(place);
  });
});
