import { describe, expect, it } from 'vitest';
import { caseToJson, jsonText } from './case-json.js';
import { generateCase } from './generate.js';
import { type CompareMachine, compareMachine } from './machine.js';
import { readCase } from './read-case.js';

const VTD = { VER: 0x10n, CAP: 0x81d2_008c_222f_0606n, ECAP: 0x8800_00f0_0f4an };
const SMMU = { IDR0: 0xd44_101bn, IDR1: 0x273_0010n, IDR3: 0x1414n, IDR5: 0x74n };
const KINDS = [
  ['vtd-legacy', VTD],
  ['vtd-scalable', VTD],
  ['vtd-scalable-ss', VTD],
  ['smmuv3', SMMU],
] as const;

describe.each(KINDS)('cases for %s', (kind, identification) => {
  const machine: CompareMachine = compareMachine(kind)!;
  const made = (seed: number, index: number) => generateCase(machine, identification, seed, index);

  it('depend on the seed and their number alone', () => {
    const again = [7, 3, 5, 3].map((index) => made(9, index));
    expect(again[1]).toEqual(again[3]);
    expect(again[2]).toEqual(made(9, 5));
    expect(again[0]).toEqual(made(9, 7));
  });

  it('differ by seed and by number', () => {
    const texts = [made(1, 0), made(1, 1), made(2, 0), made(2, 1)].map((what) => jsonText(caseToJson(what).steps));
    expect(new Set(texts).size).toBe(4);
  });

  it('are sound, can be kept in files, and have accesses in them', () => {
    let accesses = 0;
    for (let index = 0; index < 300; index++) {
      const what = made(4, index);
      expect(machine.sound(what)).toBe(true);
      expect(readCase(JSON.parse(jsonText(caseToJson(what))))).toEqual(what);
      accesses += what.steps.filter((step) => step.do === 'dma').length;
    }
    expect(accesses / 300).toBeGreaterThan(2);
  });
});
