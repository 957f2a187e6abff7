import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { CONFIG, FakeDevice, finish, OPTIONS } from '../../test/bench-top.js';
import {
  awaitPriStopped,
  disableAts,
  disablePasid,
  disablePri,
  enableAts,
  enablePasid,
  enablePri,
  encodeInvalidate,
  type Upstream,
} from '../index.js';

type Request = Extract<Upstream, { kind: 'translation-request' }>;

/** A host with page tables, a translation cache before them, and a page request queue of `entries`. */
class Host {
  readonly device: FakeDevice;
  /** What the page tables say; page 1 is frame 7. */
  readonly tables = new Map<number, number>([[1, 7]]);
  /** The IOMMU's own cache. */
  readonly iotlb = new Map<number, number>();
  /** The IOMMU's entry for the device accepts ATS. */
  accepts = true;
  readonly entries: number;
  queued = 0;
  overflows = 0;

  constructor(device: FakeDevice, entries = 4) {
    this.device = device;
    this.entries = entries;
    const { agent } = device;
    agent.receive = (_link, tlp) => this.receive(tlp);
  }

  *receive(tlp: Upstream): Coroutine<void> {
    const { agent } = this.device;
    agent.seen.push(tlp);
    if (tlp.kind === 'translation-request') yield* this.translate(tlp);
    if (tlp.kind !== 'page-request') return;
    if (this.queued === this.entries) this.overflows++;
    else this.queued++;
  }

  *translate(tlp: Request): Coroutine<void> {
    const { agent } = this.device;
    if (!this.accepts) return yield* agent.answer(tlp, 'ur');
    const frame = this.iotlb.get(tlp.page) ?? this.tables.get(tlp.page);
    if (frame !== undefined) this.iotlb.set(tlp.page, frame);
    agent.pages.clear();
    if (frame !== undefined) agent.pages.set(tlp.page, { perm: 3, order: 0 });
    yield* agent.answer(tlp);
  }

  /** Sends an Invalidate Request and waits for its completion. */
  *invalidate(pasid: number, page: number, order = 0): Coroutine<void> {
    const { agent, link, kernel } = this.device;
    const [lo, hi] = encodeInvalidate(page, order);
    const before = agent.seen.length;
    yield* link.down({ kind: 'invalidate-request', itag: 0, pasid, lo, hi });
    while (!agent.seen.slice(before).some((tlp) => tlp.kind === 'invalidate-completion')) yield* kernel.clock.sleep(1);
  }
}

const steps = (device: FakeDevice): string[] => device.agent.seen.map((tlp) => tlp.kind);

describe('the enable and disable order (pcie-ats.md 3)', () => {
  it('PCI-1: PASID is on before ATS, and its control stays as it is until ATS is off', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      yield* device.enable();
      device.bus.write16(CONFIG + 0x126, 0);
      expect(device.fn.state.pasid).toBe(true);
      yield* disablePri(device.config);
      yield* disableAts(device.config);
      yield* disablePasid(device.config);
      expect(device.fn.state.pasid).toBe(false);
    });
  });

  it('PCI-2: STU is written first and stays while ATS is on: translations have the unit that was set', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      yield* enableAts(device.config, 14);
      device.bus.write16(CONFIG + 0x106, 0x8000);
      expect(device.fn.stu).toBe(2);
    });
  });

  it('PCI-3: page requests are enabled after Stopped is 1, with their allocation, under ATS', () => {
    const device = new FakeDevice();
    finish(device, function* () {
      yield* enableAts(device.config, 12);
      expect(device.bus.read16(CONFIG + 0x116) & 0x100).toBe(0x100);
      yield* enablePri(device.config, 3);
      expect([device.fn.state.allocation, device.fn.state.pri]).toEqual([3, true]);
    });
  });

  it.each([
    [true, 'cached'],
    [false, 'ur'],
  ])('PCI-4: an IOMMU whose entry accepts ATS: %s gives a device that is enabled: %s', (accepts, outcome) => {
    const device = new FakeDevice();
    const host = new Host(device);
    host.accepts = accepts;
    finish(device, function* () {
      yield* device.enable();
      expect(yield* device.atc.translate(5, 1, 1)).toBe(outcome);
    });
  });

  it('PCI-5: requests stop and are answered, then ATS goes off with its entries, then the PASIDs', () => {
    const device = new FakeDevice();
    new Host(device);
    finish(device, function* () {
      yield* device.enable();
      yield* device.atc.translate(5, 1, 1);
      yield* device.pri.request(5, [2], 1);
      yield* disablePri(device.config);
      expect(yield* device.pri.request(5, [3], 1)).toBeNull();
      device.kernel.spawn('host', function* () {
        yield* device.kernel.clock.sleep(1);
        yield* device.link.down({ kind: 'prg-response', pasid: 5, prgi: 0, code: 0 });
      });
      yield* awaitPriStopped(device.config);
      yield* disableAts(device.config);
      expect(device.atc.lookup(5, 1)).toBe(-1);
      yield* disablePasid(device.config);
    });
    expect(steps(device)).toEqual(['translation-request', 'page-request']);
  });

  it('PCI-6: one PASID goes with its marker, an invalidation, and leaves the others alone', () => {
    const device = new FakeDevice();
    const host = new Host(device);
    finish(device, function* () {
      yield* device.enable();
      for (const pasid of [5, 6]) yield* device.atc.translate(pasid, 1, 1);
      yield* device.pri.request(5, [2], 1);
      yield* device.pri.stopMarker(5);
      yield* host.invalidate(5, 0, 52);
      expect([device.atc.lookup(5, 1), device.atc.lookup(6, 1) >= 0]).toEqual([-1, true]);
    });
    // The marker is behind the last page request of the PASID, and takes no credit.
    expect(steps(device).slice(2)).toEqual(['page-request', 'page-request', 'invalidate-completion']);
    expect(device.agent.seen[3]).toMatchObject({ pasid: 5, last: true, perm: 0, prgi: 0 });
    expect(device.pri.state.outstanding).toBe(1);
  });

  it.each([
    ['the tables, the IOMMU, then the device', ['tables', 'iotlb', 'device'], false],
    ['the device before the IOMMU', ['tables', 'device', 'iotlb'], true],
    ['the device before the tables', ['iotlb', 'device', 'tables'], true],
  ])('PCI-7: a change reaches %s; a stale translation can stay: %s', (_what, order, stale) => {
    let found = false;
    for (let seed = 1; seed <= 60; seed++) {
      const device = new FakeDevice();
      const host = new Host(device);
      finish(device, () => device.enable());
      finish(
        device,
        function* () {
          yield* device.atc.translate(5, 1, 1);
          device.kernel.spawn('asker', function* () {
            for (let i = 0; i < 4; i++) yield* device.atc.translate(5, 1, 1);
          });
          for (const step of order as string[]) {
            yield* device.kernel.point(0, true);
            if (step === 'tables') host.tables.delete(1);
            if (step === 'iotlb') host.iotlb.delete(1);
            if (step === 'device') yield* host.invalidate(5, 1);
          }
        },
        new RandomChooser(seed),
      );
      found ||= device.atc.lookup(5, 1) >= 0;
    }
    expect(found).toBe(stale);
  });

  it.each([
    [true, 5, 0],
    [true, -1, 1],
    [false, 5, 0],
    [false, -1, 0],
  ])('PCI-8: a response PASID required: %s, given: %i, is unexpected: %i', (required, pasid, unexpected) => {
    const device = new FakeDevice({ pri: { ...OPTIONS.pri!, prgResponsePasidRequired: required } });
    finish(device, function* () {
      yield* device.enable();
      yield* device.pri.request(5, [1], 1);
      yield* device.link.down({ kind: 'prg-response', pasid, prgi: 0, code: 0 });
    });
    expect((device.bus.read16(CONFIG + 0x116) >>> 1) & 1).toBe(unexpected);
    expect(device.pri.state.outstanding).toBe(unexpected);
  });

  it.each([
    [4, 0],
    [5, 1],
  ])('PCI-9: an allocation of %i for a queue of 4 entries overflows it %i times', (allocation, overflows) => {
    const device = new FakeDevice();
    const host = new Host(device);
    finish(device, function* () {
      yield* device.enable(allocation);
      for (let page = 0; page < 5; page++) {
        const waits = device.pri.available() === 0;
        device.kernel.spawn(`request ${page}`, function* () {
          yield* device.pri.request(5, [page], 1);
        });
        yield* device.kernel.clock.sleep(1);
        if (!waits) continue;
        // The entry is consumed before the response that frees its credit.
        host.queued--;
        yield* device.link.down({ kind: 'prg-response', pasid: 5, prgi: 0, code: 0 });
      }
    });
    expect(host.overflows).toBe(overflows);
    expect(steps(device).length).toBe(5);
  });

  it('PCI-9: a response before its entry is consumed can overflow the queue', () => {
    const device = new FakeDevice();
    const host = new Host(device);
    finish(device, function* () {
      yield* device.enable(4);
      for (let page = 0; page < 4; page++) yield* device.pri.request(5, [page], 1);
      yield* device.link.down({ kind: 'prg-response', pasid: 5, prgi: 0, code: 0 });
      yield* device.pri.request(5, [4], 1);
    });
    expect(host.overflows).toBe(1);
  });

  it('PCI-10: a reset switches everything off and empties the cache; answers under way are not used', () => {
    const device = new FakeDevice();
    device.agent.answers = false;
    device.agent.pages.set(1, { perm: 3, order: 0 });
    let outcome = '';
    finish(device, function* () {
      yield* device.enable();
      device.kernel.spawn('asker', function* () {
        outcome = yield* device.atc.translate(5, 1, 1);
      });
      yield* device.kernel.clock.sleep(1);
      device.fn.reset();
      yield* enablePasid(device.config);
      yield* enableAts(device.config, 12);
      yield* device.agent.answer(device.agent.seen[0] as Request);
    });
    expect([outcome, device.atc.lookup(5, 1)]).toEqual(['again', -1]);
    expect(device.fn.state).toMatchObject({ pri: false, allocation: 0 });
  });
});
