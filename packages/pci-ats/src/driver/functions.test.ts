import { type Coroutine, isIommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { CONFIG, FakeDevice, finish, OPTIONS } from '../../test/bench-top.js';
import {
  atsPageAligned,
  atsQueueDepth,
  atsSupported,
  disableAts,
  disablePri,
  enableAts,
  enablePasid,
  enablePri,
  maxPasids,
  type PasidPath,
  type PciFunctionOptions,
  pasidFeatures,
  prepareAts,
  prgResponsePasidRequired,
  priSupported,
  resetPri,
  restoreAtsState,
  saveAtsState,
} from '../index.js';

function* codeOf(body: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* body;
  } catch (error) {
    if (isIommuError(error)) return error.code;
    throw error;
  }
  return 'none';
}

type Call = (device: FakeDevice) => Coroutine<unknown>;

const on: Call = (device) => enableAts(device.config, 12);
const pri: Call = (device) => enablePri(device.config, 4);
const both: Call = function* (device) {
  yield* enableAts(device.config, 12);
  yield* enablePri(device.config, 4);
};
const nothing: Call = function* () {};

/** Section 4 of pcie-ats.md: what refuses, what was done before, on which device, and the code. */
const REFUSALS: readonly (readonly [
  what: string,
  before: Call,
  call: Call,
  code: string,
  options?: Partial<PciFunctionOptions>,
])[] = [
  ['prepares ATS without it', nothing, (d) => prepareAts(d.config, 12), 'EINVAL', { ats: null }],
  ['prepares units below 4 KiB', nothing, (d) => prepareAts(d.config, 11), 'EINVAL'],
  ['prepares ATS while it is on', on, (d) => prepareAts(d.config, 12), 'EBUSY'],
  ['prepares units below 4 KiB while ATS is on', on, (d) => prepareAts(d.config, 11), 'EBUSY'],
  ['enables ATS without it', nothing, on, 'EINVAL', { ats: null }],
  ['enables ATS twice', on, on, 'EBUSY'],
  ['enables units below 4 KiB', nothing, (d) => enableAts(d.config, 11), 'EINVAL'],
  ['enables units below 4 KiB while ATS is on', on, (d) => enableAts(d.config, 11), 'EBUSY'],
  ['disables ATS that is off', nothing, (d) => disableAts(d.config), 'EINVAL'],
  ['asks for the depth of what is not there', nothing, (d) => atsQueueDepth(d.config), 'EINVAL', { ats: null }],
  ['asks for alignment of what is not there', nothing, (d) => atsPageAligned(d.config), 'EINVAL', { ats: null }],
  ['resets PRI without it', nothing, (d) => resetPri(d.config), 'EINVAL', { pri: null }],
  ['resets PRI while it is on', both, (d) => resetPri(d.config), 'EBUSY'],
  ['enables PRI without it', on, pri, 'EINVAL', { pri: null }],
  ['enables PRI twice', both, pri, 'EBUSY'],
  ['disables PRI that is off', on, (d) => disablePri(d.config), 'EINVAL'],
  ['asks for response PASIDs without PRI', nothing, (d) => prgResponsePasidRequired(d.config), 'EINVAL', { pri: null }],
  ['enables PASIDs without them', nothing, (d) => enablePasid(d.config), 'EINVAL', { pasid: null }],
  ['enables PASIDs twice', (d) => enablePasid(d.config), (d) => enablePasid(d.config), 'EBUSY'],
  ['counts PASIDs without them', nothing, (d) => maxPasids(d.config), 'EINVAL', { pasid: null }],
];

describe('the driver functions of section 4', () => {
  it.each(REFUSALS.map(([what, before, call, code, options = {}]) => ({ what, before, call, code, options })))(
    'refuse who $what',
    ({ before, call, code, options }) => {
      const device = new FakeDevice(options);
      finish(device, function* () {
        yield* before(device);
        expect(yield* codeOf(call(device))).toBe(code);
      });
    },
  );

  it('write what they say: STU, then Enable; the allocation, then Enable', () => {
    const device = new FakeDevice();
    const { config, bus } = device;
    finish(device, function* () {
      yield* prepareAts(config, 16);
      expect(bus.read16(CONFIG + 0x106)).toBe(0x0004);
      yield* enableAts(config, 14);
      expect(bus.read16(CONFIG + 0x106)).toBe(0x8002);
      expect(yield* enablePri(config, 99)).toBe(16);
      expect([bus.load32(CONFIG + 0x11c), bus.read16(CONFIG + 0x114)]).toEqual([16, 1]);
      yield* disablePri(config);
      yield* disableAts(config);
      expect([bus.read16(CONFIG + 0x114), bus.read16(CONFIG + 0x106)]).toEqual([0, 0x0002]);
      yield* enablePasid(config, 4);
      expect(bus.read16(CONFIG + 0x126)).toBe(5);
    });
  });

  it.each([
    [32, 32],
    [1, 1],
    [31, 31],
  ])('read a queue depth of %i as it is, 32 from a field of 0', (depth, read) => {
    const ats = { ...OPTIONS.ats!, queueDepth: depth };
    const device = new FakeDevice({ ats });
    expect(device.bus.read16(CONFIG + 0x104) & 31).toBe(depth % 32);
    finish(device, function* () {
      expect(yield* atsQueueDepth(device.config)).toBe(read);
    });
  });

  it('say what the device can do', () => {
    const device = new FakeDevice({
      ats: { queueDepth: 8, pageAligned: false, globalInvalidate: false },
      pri: { capacity: 4, prgResponsePasidRequired: false },
      pasid: { width: 7, exec: false, priv: true },
    });
    const none = new FakeDevice({ ats: null, pri: null, pasid: null });
    finish(device, function* () {
      const { config } = device;
      expect([yield* atsPageAligned(config), yield* prgResponsePasidRequired(config)]).toEqual([false, false]);
      expect([yield* priSupported(config), yield* maxPasids(config), yield* pasidFeatures(config)]).toEqual([
        true,
        128,
        4,
      ]);
    });
    finish(none, function* () {
      const { config } = none;
      expect([yield* atsSupported(config), yield* priSupported(config), yield* pasidFeatures(config)]).toEqual([
        false,
        false,
        null,
      ]);
    });
  });

  it('support no ATS of a device that is not trusted, or that the administrator forbids', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      expect(yield* atsSupported(device.config)).toBe(true);
      expect(yield* atsSupported(device.config, { untrusted: true })).toBe(false);
      expect(yield* atsSupported(device.config, { forbidden: true })).toBe(false);
      expect(yield* atsSupported(device.config, { untrusted: false, forbidden: false })).toBe(true);
    });
  });

  it.each<[string, PasidPath, string]>([
    ['a port passes no prefixes on', { prefixes: false }, 'EINVAL'],
    ['no prefixes are passed on, but none are needed', { prefixes: false, prefixesWaived: true }, 'none'],
    ['a port does not redirect requests', { requestRedirect: false }, 'EINVAL'],
    ['a port does not forward upstream', { upstreamForwarding: false }, 'EINVAL'],
    ['prefixes are waived, and a port does not redirect', { prefixesWaived: true, requestRedirect: false }, 'EINVAL'],
    ['all is well', { prefixes: true, requestRedirect: true, upstreamForwarding: true, pf: null }, 'none'],
  ])('judge the way of PASIDs to the root port where %s', (_what, path, code) => {
    const device = new FakeDevice();
    finish(device, function* () {
      expect(yield* codeOf(enablePasid(device.config, 0, path))).toBe(code);
    });
    expect(device.fn.state.pasid).toBe(code === 'none');
  });
});

describe('what a reset takes away (PCI-10)', () => {
  it('comes back in the order PASID, PRI, ATS, with an empty cache', () => {
    const device = new FakeDevice();
    const { bus, config } = device;
    device.agent.pages.set(1, { perm: 3, order: 0 });
    finish(device, function* () {
      yield* device.enable(4);
      yield* device.atc.translate(5, 1, 1);
      const saved = yield* saveAtsState(config);
      expect(saved).toEqual({ pasid: 7, pri: true, allocation: 4, ats: 0x8000 });
      device.fn.reset();
      expect([0x106, 0x114, 0x11c, 0x126].map((at) => bus.read16(CONFIG + at))).toEqual([0, 0, 0, 0]);
      const written: number[] = [];
      const write = device.fn.config.write.bind(device.fn.config);
      device.fn.config.write = (offset, bytes, lo, hi) => {
        written.push(offset);
        write(offset, bytes, lo, hi);
      };
      yield* restoreAtsState(config, saved);
      expect(written).toEqual([0x126, 0x11c, 0x114, 0x106, 0x106]);
      expect([0x106, 0x114, 0x11c, 0x126].map((at) => bus.read16(CONFIG + at))).toEqual([0x8000, 1, 4, 7]);
      expect(device.atc.lookup(5, 1)).toBe(-1);
    });
  });

  it('is left alone where there is nothing to restore', () => {
    const device = new FakeDevice({ ats: null, pri: null, pasid: null });
    finish(device, function* () {
      const saved = yield* saveAtsState(device.config);
      expect(saved).toEqual({ pasid: 0, pri: false, allocation: 0, ats: 0 });
      yield* restoreAtsState(device.config, saved);
    });
    const off = new FakeDevice();
    finish(off, function* () {
      off.bus.write16(CONFIG + 0x106, 5);
      const saved = yield* saveAtsState(off.config);
      off.fn.reset();
      yield* restoreAtsState(off.config, saved);
      expect([0x106, 0x114, 0x126].map((at) => off.bus.read16(CONFIG + at))).toEqual([5, 0, 0]);
    });
  });
});
