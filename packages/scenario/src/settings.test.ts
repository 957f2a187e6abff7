import type { Switches } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { parseSetting, resolveSettings } from './settings.js';

const switches: Switches = {
  'mn.duplicate': { values: ['on', 'off'], rule: 'MN-12', help: 'notify twice' },
  'alloc-fail': { values: { type: 'number', default: 0 }, rule: 'L32', help: 'which allocation fails' },
};

describe('settings', () => {
  it('gives every switch its default, or what was given', () => {
    expect(resolveSettings(switches, {})).toEqual({ 'mn.duplicate': 'on', 'alloc-fail': 0 });
    expect(resolveSettings(switches, { 'mn.duplicate': 'off', 'alloc-fail': '7' })).toEqual({
      'mn.duplicate': 'off',
      'alloc-fail': 7,
    });
    expect(resolveSettings(switches, { 'mn.duplicate': false })).toMatchObject({ 'mn.duplicate': 'off' });
  });

  it('lists what exists when a key or a value does not', () => {
    expect(() => resolveSettings(switches, { 'mn.duplicat': 'on' })).toThrow(
      /no switch.*mn\.duplicate: on or off, else on\n +notify twice \(MN-12\)/s,
    );
    expect(() => resolveSettings(switches, { 'mn.duplicate': 'maybe' })).toThrow(/the values are on, off/);
    expect(() => resolveSettings(switches, { 'alloc-fail': '-1' })).toThrow(/whole number/);
  });

  it('refuses --set without a value', () => {
    expect(parseSetting('a=b=c')).toEqual(['a', 'b=c']);
    expect(() => parseSetting('mn.duplicate')).toThrow(/key=value/);
  });
});
