import { expect, it } from 'vitest';
import { completeCapabilities, withEffects } from './index.js';

const DEFAULTS = { wide: false, entries: 16, bits: 4, gait: 'slow' };
const RULES = {
  owner: 'the unit',
  ranges: { bits: [1, 8] },
  choices: { gait: ['slow', 'fast'] },
  powers: ['entries'],
} as const;

it('completes what a platform says with the defaults', () => {
  expect(completeCapabilities({ bits: 8, gait: 'fast' }, DEFAULTS, RULES)).toEqual({
    wide: false,
    entries: 16,
    bits: 8,
    gait: 'fast',
  });
});

it.each([
  [{ depth: 1 }, "the unit cannot have a capability 'depth'"],
  [{ toString: 1 }, "the unit cannot have a capability 'toString'"],
  [{ wide: 1 }, 'the unit cannot have wide: 1'],
  [{ bits: 9 }, 'the unit cannot have bits: 9'],
  [{ bits: 1.5 }, 'the unit cannot have bits: 1.5'],
  [{ gait: 'other' }, 'the unit cannot have gait: other'],
  [{ entries: 2 }, 'the unit cannot have entries: 2'],
  [{ entries: 12 }, 'the unit cannot have entries: 12'],
])('refuses %o', (given, message) => {
  expect(() => completeCapabilities(given as never, DEFAULTS, RULES)).toThrow(message);
});

it('lets a switch change a capability where it has the value of an effect', () => {
  const effects = [
    ['speed', 'high', 'gait', 'fast'],
    ['size', 'big', 'bits', 8],
  ] as const;
  expect(withEffects({ wide: true }, { speed: 'high', size: 'small' }, effects)).toEqual({ wide: true, gait: 'fast' });
});
