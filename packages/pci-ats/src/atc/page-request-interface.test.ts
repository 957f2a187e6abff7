import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { CONFIG, FakeDevice, finish } from '../../test/bench-top.js';
import { disableAts, disablePri, enableAts, enablePri, resetPri } from '../index.js';

/** Status in the high half, Control in the low half. */
const control = (device: FakeDevice): number => device.bus.load32(CONFIG + 0x114);
const RF = 0x10000;
const UPRGI = 0x20000;
const STOPPED = 0x1000000;

function* respond(device: FakeDevice, prgi: number, code: number, pasid = 5): Coroutine<void> {
  yield* device.link.down({ kind: 'prg-response', pasid, prgi, code });
  yield* device.kernel.clock.sleep(1);
}

function enabled(credits = 4, options = {}): FakeDevice {
  const device = new FakeDevice(options);
  finish(device, () => device.enable(credits));
  return device;
}

describe('PageRequestInterface', () => {
  it('sends one request that is its whole group, and wakes whoever waits for the answer', () => {
    const device = enabled();
    finish(device, function* () {
      device.kernel.spawn('engine', function* () {
        const group = yield* device.pri.request(5, [0x123], 2);
        expect(yield* device.pri.answerOf(group!)).toBe(1);
      });
      yield* device.kernel.clock.sleep(1);
      expect(device.agent.seen).toEqual([
        { kind: 'page-request', pasid: 5, prgi: 0, page: 0x123, perm: 2, last: true },
      ]);
      yield* respond(device, 0, 1);
    });
    expect(device.pri.available()).toBe(4);
  });

  it('closes a group of three with its last request, and gets three credits back at once (ATC-11)', () => {
    const device = enabled();
    finish(device, function* () {
      yield* device.pri.request(5, [1, 2, 3], 1);
      yield* device.kernel.clock.sleep(1);
      expect(device.agent.seen).toMatchObject([
        { page: 1, prgi: 0, last: false },
        { page: 2, prgi: 0, last: false },
        { page: 3, prgi: 0, last: true },
      ]);
      expect(device.pri.available()).toBe(1);
      yield* respond(device, 0, 0);
      expect(device.pri.available()).toBe(4);
    });
  });

  it('waits for credit, and goes on when an answer returns some (ATC-11)', () => {
    const device = enabled(2);
    finish(device, function* () {
      yield* device.pri.request(5, [1, 2], 1);
      device.kernel.spawn('second', function* () {
        yield* device.pri.request(5, [3], 1);
      });
      yield* device.kernel.clock.sleep(1);
      expect(device.agent.seen).toHaveLength(2);
      yield* respond(device, 0, 0);
      expect(device.agent.seen).toHaveLength(3);
    });
  });

  it('refuses a group that is larger than the allocation, instead of waiting for ever', () => {
    const device = enabled(2);
    finish(device, function* () {
      expect(yield* device.pri.request(5, [1, 2, 3], 1)).toBe(null);
    });
    expect(device.agent.seen).toEqual([]);
  });

  it('takes group indexes round robin modulo 512, and none that is outstanding', () => {
    const device = enabled();
    const used: number[] = [];
    finish(device, function* () {
      const first = yield* device.pri.request(5, [1], 1);
      for (let i = 0; i < 513; i++) {
        const group = yield* device.pri.request(5, [2], 1);
        used.push(group!.prgi);
        yield* respond(device, group!.prgi, 0);
      }
      expect(first!.code).toBe(-1);
    });
    expect([used[0], used[510], used[511], used[512]]).toEqual([1, 511, 1, 2]);
  });

  it('reports a response for a group that is not outstanding, and otherwise ignores it (ATC-12)', () => {
    const device = enabled();
    finish(device, function* () {
      const group = yield* device.pri.request(5, [1], 1);
      yield* respond(device, 7, 0);
      expect(control(device) & (RF | UPRGI)).toBe(UPRGI);
      expect(group!.code).toBe(-1);
      yield* respond(device, 0, 0);
      expect(group!.code).toBe(0);
    });
  });

  it('wants the PASID of its request in the response when it says so, and takes none otherwise', () => {
    const strict = enabled();
    finish(strict, function* () {
      const group = yield* strict.pri.request(5, [1], 1);
      yield* respond(strict, 0, 0, -1);
      yield* respond(strict, 0, 0, 6);
      expect([group!.code, control(strict) & UPRGI]).toEqual([-1, UPRGI]);
    });
    const lax = enabled(4, { pri: { capacity: 16, prgResponsePasidRequired: false } });
    finish(lax, function* () {
      const group = yield* lax.pri.request(5, [1], 1);
      yield* respond(lax, 0, 0, -1);
      expect([group!.code, control(lax) & UPRGI]).toEqual([0, 0]);
    });
  });

  it.each([2, 14, 15])('stops sending on response code %i, until reset and enabled again (ATC-12)', (code) => {
    const device = enabled();
    const { config } = device;
    finish(device, function* () {
      const group = yield* device.pri.request(5, [1], 1);
      yield* respond(device, 0, code);
      expect([group!.code, control(device) & RF]).toEqual([15, RF]);
      expect(yield* device.pri.request(5, [1], 1)).toBe(null);
      // Later responses are ignored.
      yield* respond(device, 9, 0);
      expect(control(device) & UPRGI).toBe(0);
      yield* disablePri(config);
      yield* resetPri(config);
      yield* enablePri(config, 4);
      expect((yield* device.pri.request(5, [1], 1))!.prgi).toBe(0);
    });
  });

  it('is stopped after it was disabled and every group is answered (ATC-14)', () => {
    const device = enabled();
    finish(device, function* () {
      expect(control(device) & STOPPED).toBe(0);
      yield* device.pri.request(5, [1], 1);
      yield* disablePri(device.config);
      expect(control(device) & STOPPED).toBe(0);
      expect(yield* device.pri.request(5, [1], 1)).toBe(null);
      yield* respond(device, 0, 0);
      expect(control(device) & STOPPED).toBe(STOPPED);
    });
  });

  it('clears the counters on reset: what was outstanding is over (ATC-14)', () => {
    const device = enabled();
    const { config } = device;
    finish(device, function* () {
      const group = yield* device.pri.request(5, [1, 2], 1);
      yield* disablePri(config);
      yield* resetPri(config);
      expect([group!.code, control(device) & STOPPED]).toEqual([15, STOPPED]);
      yield* enablePri(config, 4);
      expect(device.pri.available()).toBe(4);
    });
  });

  it('sends a stop marker that costs no credit and waits for nothing', () => {
    const device = enabled();
    finish(device, function* () {
      yield* device.pri.stopMarker(5);
    });
    expect(device.agent.seen).toEqual([{ kind: 'page-request', pasid: 5, prgi: 0, page: 0, perm: 0, last: true }]);
    expect(device.pri.available()).toBe(4);
  });

  it('lets a waiter stop waiting: the group stays outstanding until it is answered (IOPF-14)', () => {
    const device = enabled();
    finish(device, function* () {
      const group = yield* device.pri.request(5, [1], 1);
      expect(yield* device.pri.answerOf(group!, () => true)).toBe(-1);
      expect(device.pri.available()).toBe(3);
      yield* respond(device, 0, 0);
      expect(device.pri.available()).toBe(4);
      expect(control(device) & UPRGI).toBe(0);
    });
  });

  it('sends nothing with a PASID or wish that is not enabled (ATC-15)', () => {
    const device = new FakeDevice({ pasid: { width: 4, exec: false, priv: false } });
    const { config } = device;
    finish(device, function* () {
      device.bus.write16(CONFIG + 4, 4);
      device.bus.write16(CONFIG + 0x126, 1);
      yield* enableAts(config, 12);
      yield* enablePri(config, 4);
      expect(yield* device.pri.request(16, [1], 1)).toBe(null);
      expect(yield* device.pri.request(1, [1], 5)).toBe(null);
      expect(yield* device.pri.request(1, [1], 1)).not.toBe(null);
      yield* disablePri(config);
      yield* disableAts(config);
    });
  });
});
