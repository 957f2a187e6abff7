import { describe, expect, it } from 'vitest';
import {
  type InvalidationTarget,
  mergeTargets,
  purgeTargets,
  TARGET,
  type TargetKey,
  trashIn,
  unrefTargets,
} from './index.js';

const { S2_VMID, S2_VMID_S1_CLEAR, ATS } = TARGET;
const ats = (id: number, ssid = 0): TargetKey => ({ type: ATS, id, ssid });
const vmid = (type: 1 | 2, id: number): TargetKey => ({ type, id, ssid: 0 });

/** ids | users | ssids | trash, as the table writes them. */
function shape(list: readonly InvalidationTarget[]): string {
  const column = (key: 'id' | 'users' | 'ssid'): string => list.map((target) => target[key]).join(',');
  const ssids = list.some(({ ssid }) => ssid > 0) ? column('ssid') : '0';
  return `${column('id')} | ${column('users')} | ${ssids} | ${trashIn(list)}`;
}

describe('lists of invalidation targets', () => {
  const first = [vmid(S2_VMID, 1), vmid(S2_VMID_S1_CLEAR, 1), ats(3)];
  const second = [vmid(S2_VMID, 1), ats(4), ats(5)];
  const third = [vmid(S2_VMID, 1), ats(5), ats(6)];

  it('count users of stage-2 and ATS targets through merge, unref and purge (SMMU-26)', () => {
    let list = mergeTargets([], first);
    expect(shape(list)).toBe('1,1,3 | 1,1,1 | 0 | 0');
    list = mergeTargets(list, second);
    expect(shape(list)).toBe('1,1,3,4,5 | 2,1,1,1,1 | 0 | 0');
    unrefTargets(list, second);
    expect(shape(list)).toBe('1,1,3 | 1,1,1 | 0 | 0');
    list = mergeTargets(list, third);
    expect(shape(list)).toBe('1,1,3,5,6 | 2,1,1,1,1 | 0 | 0');
    unrefTargets(list, first);
    expect(shape(list)).toBe('1,1,3,5,6 | 1,0,0,1,1 | 0 | 2');
    list = purgeTargets(list);
    expect(shape(list)).toBe('1,5,6 | 1,1,1 | 0 | 0');
    unrefTargets(list, third);
    expect(list).toEqual([]);
  });

  it('tell ATS targets of one stream apart by PASID (SMMU-26)', () => {
    let list = mergeTargets([], [ats(10, 1), ats(10, 3), ats(12, 1)]);
    expect(shape(list)).toBe('10,10,12 | 1,1,1 | 1,3,1 | 0');
    const more = [ats(10, 2), ats(10, 3), ats(12, 2)];
    list = mergeTargets(list, more);
    expect(shape(list)).toBe('10,10,10,12,12 | 1,1,2,1,1 | 1,2,3,1,2 | 0');
    unrefTargets(list, more);
    expect(shape(list)).toBe('10,10,10,12 | 1,0,1,1 | 1,2,3,1 | 1');
    list = purgeTargets(list);
    expect(shape(list)).toBe('10,10,12 | 1,1,1 | 1,3,1 | 0');
  });

  it('leave a list that somebody reads as it is when they grow, and take trash along no further (SMMU-26)', () => {
    const old = mergeTargets([], [ats(3), ats(1), ats(2)]);
    unrefTargets(old, [ats(2)]);
    const grown = mergeTargets(old, [ats(4)]);
    expect(shape(old)).toBe('1,2,3 | 1,0,1 | 0 | 1');
    expect(shape(grown)).toBe('1,3,4 | 1,1,1 | 0 | 0');
  });

  it('do not care who leaves that never came', () => {
    const list = mergeTargets([], [ats(1)]);
    unrefTargets(list, [ats(2), ats(0)]);
    expect(shape(list)).toBe('1 | 1 | 0 | 0');
  });
});
