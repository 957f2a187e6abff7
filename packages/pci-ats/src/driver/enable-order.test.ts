import { type Coroutine, isIommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { CONFIG, FakeDevice, finish } from '../../test/bench-top.js';
import {
  assignBar,
  atsEnabled,
  atsPageAligned,
  atsQueueDepth,
  atsSupported,
  awaitPriStopped,
  barSize,
  CAPABILITY,
  disableAts,
  disablePasid,
  disablePri,
  enableAts,
  enablePasid,
  enablePri,
  findExtCapability,
  functionIds,
  maxPasids,
  PASID_FEATURE,
  pasidBits,
  pasidFeatures,
  prepareAts,
  prgResponsePasidRequired,
  priEnabled,
  priSupported,
  resetPri,
} from '../index.js';

/** The code and rule of the IommuError that `body` throws. */
function* refusal(body: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* body;
  } catch (error) {
    if (isIommuError(error)) return error.rule === null ? error.code : `${error.code} ${error.rule}`;
    throw error;
  }
  return 'none';
}

describe('what a driver finds', () => {
  it('reads the capabilities', () => {
    const device = new FakeDevice();
    const { config } = device;
    finish(device, function* () {
      expect(yield* functionIds(config)).toEqual({ vendorId: 0x1d55, deviceId: 0x0e57 });
      expect(yield* findExtCapability(config, CAPABILITY.PASID)).toBe(0x120);
      expect(yield* findExtCapability(config, 0x10)).toBe(0);
      expect(yield* atsSupported(config)).toBe(true);
      expect(yield* atsQueueDepth(config)).toBe(32);
      expect(yield* atsPageAligned(config)).toBe(true);
      expect(yield* pasidBits(config)).toBe(20);
      expect(yield* maxPasids(config)).toBe(2 ** 20);
      expect(yield* pasidFeatures(config)).toBe(PASID_FEATURE.EXEC | PASID_FEATURE.PRIV);
      expect(yield* priSupported(config)).toBe(true);
      expect(yield* prgResponsePasidRequired(config)).toBe(true);
      expect(yield* barSize(config, 0)).toBe(4096);
      expect(yield* barSize(config, 2)).toBe(0);
    });
  });

  it('says so where a capability is absent', () => {
    const device = new FakeDevice({ ats: null, pri: null, pasid: null });
    const { config } = device;
    finish(device, function* () {
      expect(yield* atsSupported(config)).toBe(false);
      expect(yield* priSupported(config)).toBe(false);
      expect(yield* pasidFeatures(config)).toBe(null);
      expect(yield* pasidBits(config)).toBe(0);
      expect(yield* refusal(enableAts(config, 12))).toBe('EINVAL');
      expect(yield* refusal(enablePri(config, 1))).toBe('EINVAL');
      expect(yield* refusal(enablePasid(config))).toBe('EINVAL');
      expect(yield* refusal(maxPasids(config))).toBe('EINVAL');
    });
  });
});

describe('the order of enabling and disabling', () => {
  it('enables PASID, ATS and PRI in this order, and disables them in the reverse', () => {
    const device = new FakeDevice();
    const { bus, config } = device;
    finish(device, function* () {
      yield* assignBar(config, 0, 0x1_0000_0000);
      expect(bus.read16(CONFIG + 4)).toBe(2);
      yield* enablePasid(config, PASID_FEATURE.EXEC | PASID_FEATURE.PRIV);
      expect(bus.read16(CONFIG + 0x126)).toBe(0x0007);
      yield* prepareAts(config, 16);
      expect(bus.read16(CONFIG + 0x106)).toBe(0x0004);
      yield* enableAts(config, 16);
      expect(bus.read16(CONFIG + 0x106)).toBe(0x8004);
      yield* resetPri(config);
      expect(yield* enablePri(config, 99)).toBe(16);
      expect(bus.load32(CONFIG + 0x11c)).toBe(16);
      expect(bus.read16(CONFIG + 0x114)).toBe(0x0001);
      yield* disablePri(config);
      yield* awaitPriStopped(config);
      yield* disableAts(config);
      expect(bus.read16(CONFIG + 0x106)).toBe(0x0004);
      yield* disablePasid(config);
      expect(bus.read16(CONFIG + 0x126)).toBe(0);
      expect([yield* atsEnabled(config), yield* priEnabled(config)]).toEqual([false, false]);
    });
  });

  it('refuses to touch PASID control while ATS is on (PCI-1)', () => {
    const device = new FakeDevice();
    const { config } = device;
    finish(device, function* () {
      yield* enableAts(config, 12);
      expect(yield* refusal(enablePasid(config))).toBe('EBUSY PCI-1');
      yield* disableAts(config);
      yield* enablePasid(config);
      yield* enableAts(config, 12);
      expect(yield* refusal(disablePasid(config))).toBe('EBUSY PCI-1');
    });
  });

  it('refuses to enable ATS twice, to change STU meanwhile, and units below 4 KiB (PCI-2)', () => {
    const device = new FakeDevice();
    const { config } = device;
    finish(device, function* () {
      expect(yield* refusal(enableAts(config, 11))).toBe('EINVAL PCI-2');
      expect(yield* refusal(prepareAts(config, 44))).toBe('EINVAL PCI-2');
      yield* enableAts(config, 12);
      expect(yield* refusal(enableAts(config, 12))).toBe('EBUSY PCI-2');
      expect(yield* refusal(prepareAts(config, 16))).toBe('EBUSY PCI-2');
    });
  });

  it('refuses page requests without ATS, twice, for nothing, or reset while enabled (PCI-3)', () => {
    const device = new FakeDevice();
    const { config } = device;
    finish(device, function* () {
      expect(yield* refusal(enablePri(config, 4))).toBe('EINVAL PCI-3');
      yield* enableAts(config, 12);
      expect(yield* refusal(enablePri(config, 0))).toBe('EINVAL');
      yield* enablePri(config, 4);
      expect(yield* refusal(enablePri(config, 4))).toBe('EBUSY PCI-3');
      expect(yield* refusal(resetPri(config))).toBe('EBUSY PCI-3');
    });
  });

  it('refuses to enable page requests that have not stopped (PCI-3)', () => {
    const device = new FakeDevice();
    const { config } = device;
    finish(device, function* () {
      yield* device.enable();
      yield* device.pri.request(1, [5], 1);
      yield* disablePri(config);
      expect(yield* refusal(enablePri(config, 4))).toBe('EBUSY PCI-3');
      yield* device.agent.link!.down({ kind: 'prg-response', pasid: 1, prgi: 0, code: 0 });
      yield* awaitPriStopped(config);
      yield* enablePri(config, 4);
    });
  });

  it('refuses to disable ATS under page requests, and what is not enabled (PCI-5)', () => {
    const device = new FakeDevice();
    const { config } = device;
    finish(device, function* () {
      expect(yield* refusal(disableAts(config))).toBe('EINVAL PCI-5');
      expect(yield* refusal(disablePri(config))).toBe('EINVAL');
      expect(yield* refusal(disablePasid(config))).toBe('EINVAL');
      yield* device.enable();
      expect(yield* refusal(disableAts(config))).toBe('EBUSY PCI-5');
    });
  });

  it('refuses PASID features that the function lacks, and enabling twice', () => {
    const device = new FakeDevice({ pasid: { width: 16, exec: true, priv: false } });
    const { config } = device;
    finish(device, function* () {
      expect(yield* refusal(enablePasid(config, PASID_FEATURE.PRIV))).toBe('EINVAL');
      yield* enablePasid(config, PASID_FEATURE.EXEC);
      expect(yield* refusal(enablePasid(config))).toBe('EBUSY');
    });
  });
});
