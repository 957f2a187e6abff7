import { BusMmio, type Coroutine, isIommuError } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { CONFIG, ECAM, FakeDevice, finish, OPTIONS } from '../../test/bench-top.js';
import {
  atsQueueDepth,
  disablePasid,
  disablePri,
  enableAts,
  enablePasid,
  enablePri,
  maxPasids,
  PageRequestInterface,
  PciFunction,
  pasidBits,
  pasidFeatures,
  prepareAts,
  prgResponsePasidRequired,
  priSupported,
  resetPri,
  setBusMaster,
} from '../index.js';

const VF = 0x19;

/** A physical function with one virtual function beside it. */
class Pair extends FakeDevice {
  readonly vf: PciFunction;
  readonly vfPri: PageRequestInterface;
  readonly vfConfig = new BusMmio(this.kernel, this.bus, ECAM + VF * 4096, 4096, 'vf config');

  constructor() {
    super();
    const options = { ...OPTIONS, pri: null, pasid: null };
    this.vf = new PciFunction(this.kernel, this.bus, options, [], this.fn);
    this.vfPri = new PageRequestInterface({ kernel: this.kernel, link: this.link, fn: this.vf, pf: this.pri });
    this.vf.listener = { atsDisabled() {}, priEnabled() {}, priDisabled() {}, priReset: () => this.vfPri.reset() };
    this.ecam.add(VF, this.vf.config);
  }
}

function* codeOf(body: () => Coroutine<unknown>): Coroutine<string> {
  try {
    yield* body();
  } catch (error) {
    if (isIommuError(error)) return error.code;
    throw error;
  }
  return 'none';
}

describe('a virtual function (pcie-ats.md 1.4)', () => {
  it('has an ATS capability with depth 0 and STU 0, and an Enable of its own', () => {
    const { bus } = new Pair();
    const at = ECAM + VF * 4096;
    expect(bus.load32(at + 0x100)).toBe(0x0001000f);
    expect(bus.read16(at + 0x104)).toBe(0x0060);
    bus.write16(at + 0x106, 0x801f);
    expect(bus.read16(at + 0x106)).toBe(0x8000);
    expect(bus.read16(CONFIG + 0x106)).toBe(0);
    bus.write16(at + 0x106, 0x0004);
    expect(bus.read16(at + 0x106)).toBe(0);
  });

  it('uses the translation unit and the queue of its physical function', () => {
    const { bus, vf } = new Pair();
    bus.write16(CONFIG + 0x106, 0x0004);
    expect([vf.stu, vf.queueDepth, vf.state.stu]).toEqual([4, 32, 0]);
  });

  it('may have no PRI, no PASID, and no virtual functions', () => {
    const { kernel, bus, fn, vf } = new Pair();
    const options = { ...OPTIONS, pri: null, pasid: null };
    for (const [wrong, pf] of [
      [{ ...options, pri: OPTIONS.pri }, fn],
      [{ ...options, pasid: OPTIONS.pasid }, fn],
      [options, vf],
    ] as const)
      expect(() => new PciFunction(kernel, bus, wrong, [], pf)).toThrow(/EINVAL/);
  });

  it('sends the PASIDs that its physical function may send, once it masters the bus itself (ATC-15)', () => {
    const pair = new Pair();
    const { vf, bus } = pair;
    bus.write16(CONFIG + 0x126, 0x0003);
    expect(vf.mayUse(5, false, false)).toBe(false);
    bus.write16(ECAM + VF * 4096 + 4, 4);
    expect([vf.mayUse(5, true, false), vf.mayUse(5, false, true), vf.mayUse(2 ** 20, false, false)]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('counts its page requests against the allocation of its physical function (ATC-11)', () => {
    const pair = new Pair();
    finish(pair, function* () {
      yield* pair.enable(4);
      yield* setBusMaster(pair.vfConfig, true);
      expect(pair.vfPri.available()).toBe(4);
      yield* pair.vfPri.request(1, [1, 2, 3], 1);
      expect([pair.pri.available(), pair.vfPri.available()]).toEqual([1, 1]);
      yield* pair.pri.request(2, [9], 1);
      expect(pair.vfPri.available()).toBe(0);
      // The answer of one lets the other go on, and each knows its own groups.
      let sent = false;
      pair.kernel.spawn('vf', function* () {
        yield* pair.vfPri.request(1, [4], 1);
        sent = true;
      });
      yield* pair.kernel.clock.sleep(1);
      expect(sent).toBe(false);
      pair.pri.respond({ kind: 'prg-response', pasid: 2, prgi: 1, code: 0 });
      yield* pair.kernel.clock.sleep(1);
      expect(sent).toBe(true);
      expect([pair.pri.groups.size, pair.vfPri.groups.size]).toEqual([0, 2]);
    });
  });

  it('has its physical function stop only when its own requests are answered too (ATC-14)', () => {
    const pair = new Pair();
    finish(pair, function* () {
      yield* pair.enable(4);
      yield* setBusMaster(pair.vfConfig, true);
      yield* pair.vfPri.request(1, [1], 1);
      yield* disablePri(pair.config);
      expect(pair.bus.read16(CONFIG + 0x116) & 0x100).toBe(0);
      pair.vfPri.respond({ kind: 'prg-response', pasid: 1, prgi: 0, code: 0 });
      expect(pair.bus.read16(CONFIG + 0x116) & 0x100).toBe(0x100);
    });
  });

  it('stops with all others when a Response Failure comes, which its physical function shows (ATC-12)', () => {
    const pair = new Pair();
    finish(pair, function* () {
      yield* pair.enable(4);
      yield* setBusMaster(pair.vfConfig, true);
      const group = yield* pair.pri.request(2, [9], 1);
      yield* pair.vfPri.request(1, [1], 1);
      pair.vfPri.respond({ kind: 'prg-response', pasid: 1, prgi: 1, code: 15 });
      expect(group!.code).toBe(15);
      expect([pair.pri.usable(), pair.vfPri.usable()]).toEqual([false, false]);
      expect(pair.bus.read16(CONFIG + 0x116) & 3).toBe(1);
    });
  });

  it('gives up only its own groups in a function-level reset; that of its physical function resets both (PCI-10)', () => {
    const pair = new Pair();
    finish(pair, function* () {
      yield* pair.enable(4);
      yield* setBusMaster(pair.vfConfig, true);
      yield* enableAts(pair.vfConfig, 12, pair.config);
      yield* pair.pri.request(2, [9], 1);
      yield* pair.vfPri.request(1, [1], 1);
      pair.vf.reset();
      expect([pair.pri.state.outstanding, pair.pri.groups.size, pair.vfPri.groups.size]).toEqual([1, 1, 0]);
      expect([pair.vf.state.ats, pair.fn.state.ats]).toEqual([false, true]);
      yield* enableAts(pair.vfConfig, 12, pair.config);
      pair.fn.reset();
      expect([pair.pri.state.outstanding, pair.vf.state.ats]).toEqual([0, false]);
    });
  });
});

describe('the driver functions for a virtual function (pcie-ats.md 4)', () => {
  it('write nothing but ATS Enable', () => {
    const pair = new Pair();
    const { config, vfConfig } = pair;
    finish(pair, function* () {
      yield* prepareAts(config, 16);
      yield* prepareAts(vfConfig, 16, config);
      expect(pair.bus.read16(ECAM + VF * 4096 + 0x106)).toBe(0);
      expect(yield* codeOf(() => enableAts(vfConfig, 12, config))).toBe('EINVAL');
      yield* enableAts(vfConfig, 16, config);
      expect(pair.bus.read16(ECAM + VF * 4096 + 0x106)).toBe(0x8000);
      expect(pair.bus.read16(CONFIG + 0x106)).toBe(0x0004);
      expect(yield* codeOf(() => enableAts(vfConfig, 16, config))).toBe('EBUSY');
      expect(yield* codeOf(() => prepareAts(vfConfig, 16, config))).toBe('EBUSY');
      yield* resetPri(vfConfig, config);
      yield* disablePri(vfConfig, config);
      yield* disablePasid(vfConfig, config);
    });
  });

  it('answer for PRI and PASID as its physical function does, with a queue depth of 0', () => {
    const pair = new Pair();
    const { config, vfConfig } = pair;
    finish(pair, function* () {
      expect([yield* atsQueueDepth(config), yield* atsQueueDepth(vfConfig, config)]).toEqual([32, 0]);
      expect([yield* priSupported(vfConfig), yield* priSupported(vfConfig, config)]).toEqual([false, true]);
      expect(yield* prgResponsePasidRequired(vfConfig, config)).toBe(true);
      expect([yield* pasidBits(vfConfig), yield* pasidBits(vfConfig, config)]).toEqual([0, 20]);
      expect([yield* maxPasids(vfConfig, config), yield* pasidFeatures(vfConfig, config)]).toEqual([2 ** 20, 6]);
    });
  });

  it('succeed for PRI and PASID once its physical function has them on, and refuse before', () => {
    const pair = new Pair();
    const { config, vfConfig } = pair;
    finish(pair, function* () {
      expect(yield* codeOf(() => enablePasid(vfConfig, 0, { pf: config }))).toBe('EINVAL');
      expect(yield* codeOf(() => enablePri(vfConfig, 4, config))).toBe('EINVAL');
      yield* enablePasid(config);
      yield* enableAts(config, 12);
      yield* enablePri(config, 4);
      yield* enablePasid(vfConfig, 0, { pf: config });
      expect(yield* enablePri(vfConfig, 4, config)).toBe(0);
      expect(pair.bus.load32(CONFIG + 0x11c)).toBe(4);
    });
  });
});
