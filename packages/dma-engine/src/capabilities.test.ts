import { describe, expect, it } from 'vitest';
import { EngineBench } from '../test/engine-bench.js';
import { capabilitiesOf } from './capabilities.js';

describe('capabilities', () => {
  it('are the default ones but for what is given', () => {
    const given = capabilitiesOf({ pri: false, pasidBits: 8 });
    expect(given).toEqual({
      ats: true,
      pri: false,
      pasidBits: 8,
      prgCapacity: 32,
      prgPasidRequired: true,
      privileged: false,
      queueDepth: 32,
      atcEntries: 16,
      globalInvalidate: false,
      trafficClasses: 1,
      pushesBack: false,
      urFallback: false,
      readOnlyHit: 'request',
      afterAbort: 'page-request',
      eager: false,
      eagerTries: 32,
      pauseNs: 1000,
    });
  });

  it.each([
    ['an unknown name', { psaid: 1 }],
    ['a name that every object has', { toString: true }],
    ['a value of another kind', { pasidBits: 'many' }],
    ['a PASID that is too wide', { pasidBits: 21 }],
    ['half a bit', { pasidBits: 1.5 }],
    ['no page requests at all', { prgCapacity: 0 }],
    ['a queue that is too deep', { queueDepth: 33 }],
    ['a cache that is too small', { atcEntries: 3 }],
    ['a behaviour that there is not', { readOnlyHit: 'panic' }],
  ])('are refused with %s, naming the device and what there is', (_what, given) => {
    expect(() => new EngineBench({ capabilities: given })).toThrow(
      /^0000:00:03\.0 has no capability .+EINVAL.+pasidBits \(0 to 20\), .+readOnlyHit \(request, deny, page-request\)/,
    );
  });

  it('decide what configuration space offers', () => {
    const without = new EngineBench({ capabilities: { ats: false, pri: false, pasidBits: 0 } });
    expect(without.engine.fn.offsets).toEqual({ ats: 0, pri: 0, pasid: 0 });
    const { ats, pri, pasid } = new EngineBench().engine.fn.offsets;
    expect([ats, pri, pasid]).toEqual([0x100, 0x110, 0x120]);
  });
});
