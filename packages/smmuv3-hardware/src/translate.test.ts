import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';

describe('Translator', () => {
  it('translates a page of a PASID through STE, CD and four levels', () => {
    const rig = new Rig().enable();
    const table = rig.cdTable(0x42, 6);
    const root = rig.cd(table, 5, Rig.cd0(1));
    rig.map(root, 0x7f1234567, 0x40123);
    expect(rig.translate(0x42, 5, 0x7f1234567, 3)).toBe(0x40123);
    expect(rig.translate(0x42, 5, 0x7f1234568)).toBe('event 0x10');
  });
});
