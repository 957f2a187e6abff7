import { describe, expect, it } from 'vitest';
import { FirmwareError, isFirmwareError } from './firmware-error.js';

describe('FirmwareError', () => {
  it('says place, problem, remedy and code in one line', () => {
    const error = new FirmwareError(
      'EOVERLAP',
      '/memory:reg',
      0x54,
      'it belongs to /iommu too',
      'make the ranges disjoint',
    );
    expect(error.message).toBe(
      '/memory:reg (offset 0x54): it belongs to /iommu too; make the ranges disjoint [EOVERLAP]',
    );
    expect(new FirmwareError('EOVERLAP', '/m', null, 'p', 'r').message).toBe('/m: p; r [EOVERLAP]');
  });

  it('is told by its name and code, whichever copy of the package made it', () => {
    const error = new FirmwareError('ERANGE', '/m', null, 'p', 'r');
    const foreign = Object.assign(new Error('x'), { name: 'FirmwareError', code: 'ERANGE' });
    expect([isFirmwareError(error), isFirmwareError(error, 'ERANGE'), isFirmwareError(foreign, 'ERANGE')]).toEqual([
      true,
      true,
      true,
    ]);
    expect([isFirmwareError(error, 'EDEPTH'), isFirmwareError(new Error('x')), isFirmwareError('ERANGE')]).toEqual([
      false,
      false,
      false,
    ]);
  });
});
