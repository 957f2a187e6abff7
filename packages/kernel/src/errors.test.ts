import { describe, expect, it } from 'vitest';
import { assert, IommuError, isIommuError } from './index.js';

describe('IommuError', () => {
  it('carries the code, the rule and what to do about it', () => {
    const error = new IommuError('EBUSY', 'SVA has bonds', { rule: 'FEAT-4', remedy: 'unbind first' });
    expect([error.code, error.rule, error.remedy, error.message]).toEqual([
      'EBUSY',
      'FEAT-4',
      'unbind first',
      'SVA has bonds (EBUSY): unbind first',
    ]);
    expect(new IommuError('ENODEV', 'gone').rule).toBeNull();
  });

  it('is known by its brand and code, not by its class', () => {
    const copy = Object.assign(new Error('x'), { code: 'ENOSPC', [Symbol.for('iommukit.error')]: true });
    expect([isIommuError(copy), isIommuError(copy, 'ENOSPC'), isIommuError(copy, 'EBUSY')]).toEqual([
      true,
      true,
      false,
    ]);
    expect([isIommuError(new Error('x')), isIommuError({ code: 'EBUSY' }), isIommuError(null)]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe('assert', () => {
  it('throws what cannot happen', () => {
    expect(() => assert(false, 'the sky is down')).toThrow('assertion failed: the sky is down');
    expect(() => assert(true, 'fine')).not.toThrow();
  });
});
