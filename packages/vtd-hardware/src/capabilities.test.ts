import { withEffects } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { capabilitiesOf, DEFAULT_CAPABILITIES } from './capabilities.js';
import { effects } from './switches.js';

describe('capabilitiesOf', () => {
  it('completes what a platform says by the defaults', () => {
    expect(capabilitiesOf({ pss: 7, cm: true })).toEqual({ ...DEFAULT_CAPABILITIES, pss: 7, cm: true });
  });

  it.each([
    [{ pasids: 1 }, "a VT-d unit cannot have a capability 'pasids'"],
    [{ pss: 20 }, 'a VT-d unit cannot have pss: 20'],
    [{ sagaw: 16 }, 'a VT-d unit cannot have sagaw: 16'],
    [{ cm: 1 }, 'a VT-d unit cannot have cm: 1'],
    [{ gait: 'fast' }, 'a VT-d unit cannot have gait: fast'],
    [{ iotlbEntries: 100 }, 'a VT-d unit cannot have iotlbEntries: 100'],
    [{ fro: 2 }, 'a VT-d unit cannot have fro: 0x2'],
    [{ fro: 0x40, iro: 0x40 }, 'a VT-d unit cannot have fro and iro in one place'],
  ])('refuses %j', (settings, message) => {
    expect(() => capabilitiesOf(settings)).toThrow(message);
  });

  it('lets the switches of a run change them where they are not at their default', () => {
    expect(withEffects({ pss: 7 }, { 'caching-mode': 'on', gait: 'stepwise', 'cache-ro': 'off' }, effects)).toEqual({
      pss: 7,
      cm: true,
      gait: 'stepwise',
    });
  });
});
