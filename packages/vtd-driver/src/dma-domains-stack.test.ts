import { PERM } from '@iommukit/core';
import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { Oracles } from '@iommukit/oracles';
import { describe, expect, it } from 'vitest';
import { RID, Stack, type StackOptions } from '../test/stack.js';
import { DmaDomains } from './index.js';
import type { Domain } from './records.js';

const RW = PERM.READ | PERM.WRITE;
const [READ, WRITE] = [1, 2];
/** PGTT 2: 0x79 nothing mapped, 0x85 no right to write, 0x86 no right to read; legacy 0x05 and 0x06. */
const REASONS = { scalable: [0x79, 0x85, 0x86], legacy: [0x06, 0x05, 0x06], ecs: [0x06, 0x05, 0x06] } as const;

type Mode = keyof typeof REASONS;

function options(mode: Mode, capabilities: StackOptions['capabilities'] = {}): StackOptions {
  const ecs = mode === 'ecs' ? { ecs: true } : {};
  return { settings: { 'vtd.mode': mode }, capabilities: { ...ecs, ...capabilities } };
}

/** A device in a domain of the model. */
function inDomain(given: StackOptions, body: (stack: Stack, domain: Domain) => Coroutine<void>): Stack {
  const stack = new Stack(given);
  stack.do(function* () {
    yield* stack.driver.start();
    yield* stack.driver.probeDevice(stack.device);
    const domain = (yield* stack.driver.allocDomain(stack.device)) as Domain;
    yield* stack.driver.attach(stack.device, domain);
    yield* body(stack, domain);
  });
  return stack;
}

describe.each(['scalable', 'legacy', 'ecs'] as const)('a DMA domain on the model, in %s mode', (mode) => {
  const [absent, noWrite, noRead] = REASONS[mode];

  it('gives a device what is mapped, with its rights, and nothing else (VTD-16)', () => {
    const stack = inDomain(options(mode), function* (given, domain) {
      const { driver } = given;
      yield* driver.map(domain, 0x4000_0000n, 0x4100_0000, 0x20_0000, RW);
      yield* driver.map(domain, 0x5000_0000n, 0x4200_0000, 4096, PERM.READ);
      yield* driver.map(domain, 0x5000_1000n, 0x4200_1000, 4096, PERM.WRITE);
      expect(given.translate(-1, 0x4_0000, WRITE)).toBe(0x4_1000);
      expect(given.translate(-1, 0x4_01ff, WRITE)).toBe(0x4_11ff);
      expect(given.translate(-1, 0x4_0200, READ)).toBe(-absent);
      expect([given.translate(-1, 0x5_0000, READ), given.translate(-1, 0x5_0000, WRITE)]).toEqual([0x4_2000, -noWrite]);
      expect([given.translate(-1, 0x5_0001, WRITE), given.translate(-1, 0x5_0001, READ)]).toEqual([0x4_2001, -noRead]);
      yield* driver.unmap(domain, 0x4000_0000n, 0x1000);
      expect([given.translate(-1, 0x4_0000, READ), given.translate(-1, 0x4_0001, READ)]).toEqual([-absent, 0x4_1001]);
      yield* driver.detach(given.device);
      expect(given.translate(-1, 0x4_0001, READ)).toBeLessThan(0);
      yield* driver.freeDomain(domain);
    });
    expect(stack.hardware.registers.get(0x34) & 0x70).toBe(0);
  });

  it('keeps devices of different domains apart, and lets those of one share (VTD-5)', () => {
    inDomain(options(mode), function* (stack, domain) {
      const { driver } = stack;
      const [, other] = stack.connect('0000:00:04.0', 0x20);
      yield* driver.probeDevice(other);
      const second = yield* driver.allocDomain(other);
      yield* driver.attach(other, second);
      yield* driver.map(domain, 0x1000n, 0x4100_0000, 4096, RW);
      yield* driver.map(second, 0x1000n, 0x4200_0000, 4096, RW);
      expect([stack.translate(-1, 1, WRITE), stack.translate(-1, 1, WRITE, 0x20)]).toEqual([0x4_1000, 0x4_2000]);
      yield* driver.attach(other, domain);
      expect(stack.translate(-1, 1, WRITE, 0x20)).toBe(0x4_1000);
      yield* driver.unmap(domain, 0x1000n, 4096);
      expect([stack.translate(-1, 1, READ), stack.translate(-1, 1, READ, 0x20)]).toEqual([-absent, -absent]);
    });
  });

  it('shows what became present to a unit that keeps absences (VTD-12, VTD-15, VTD-16, MN-16)', () => {
    inDomain(options(mode, { cm: true }), function* (stack, domain) {
      expect(stack.translate(-1, 1, READ)).toBe(-absent);
      yield* stack.driver.map(domain, 0x1000n, 0x4100_0000, 4096, RW);
      expect(stack.translate(-1, 1, READ)).toBe(0x4_1000);
      yield* stack.driver.detach(stack.device);
      expect(stack.translate(-1, 1, READ)).toBeLessThan(0);
      yield* stack.driver.attach(stack.device, domain);
      expect(stack.translate(-1, 1, READ)).toBe(0x4_1000);
    });
  });

  it('works with 3 and 5 levels', () => {
    for (const [sagaw, mgaw] of [
      [2, 38],
      [8, 56],
    ] as const) {
      inDomain(options(mode, { sagaw, mgaw }), function* (stack, domain) {
        const top = 2n ** BigInt(mgaw + 1) - 4096n;
        yield* stack.driver.map(domain, top, 0x4100_0000, 4096, RW);
        expect(stack.translate(-1, Number(top >> 12n), WRITE)).toBe(0x4_1000);
      });
    }
  });
});

it('does not see what became present when nobody says so (pte-present-no-flush, L50)', () => {
  class Silent extends DmaDomains {
    override *flushAfterPresent(): Coroutine<void> {}
  }
  const given = { ...options('scalable', { cm: true }), parts: { DmaDomains: Silent } };
  inDomain(given, function* (stack, domain) {
    expect(stack.translate(-1, 1, READ)).toBe(-0x79);
    yield* stack.driver.map(domain, 0x1000n, 0x4100_0000, 4096, RW);
    expect(stack.translate(-1, 1, READ)).toBe(-0x79);
  });
});

describe('unmaps under random schedules (VTD-23, MN-18)', () => {
  /** A device writes to a buffer that is unmapped and freed meanwhile. The invariants that are broken, of 40 schedules. */
  function broken(Part: typeof DmaDomains): string[] {
    const found = new Set<string>();
    for (let seed = 1; seed <= 40; seed++) {
      const stack = new Stack({
        capabilities: { gait: seed % 2 === 0 ? 'stepwise' : 'atomic' },
        parts: { DmaDomains: Part },
        observe: (kernel, memory) => new Oracles(kernel, memory),
      });
      let domain: Domain | null = null;
      stack.do(function* () {
        yield* stack.start();
        yield* stack.driver.disable(stack.device, 'sva');
        domain = (yield* stack.driver.allocDomain(stack.device)) as Domain;
        yield* stack.driver.attach(stack.device, domain);
      });
      stack.kernel.spawn('device', function* () {
        for (let i = 0; i < 6; i++) {
          yield* stack.endpoint.access(-1, 0x100, true, 1);
          yield* stack.kernel.clock.sleep(1);
        }
      });
      const outcome = stack.run(function* () {
        for (let i = 0; i < 2; i++) {
          const frame = stack.bus.frames.alloc('dma buffer');
          yield* stack.driver.map(domain!, 0x10_0000n, frame * 4096, 4096, RW);
          yield* stack.kernel.clock.sleep(1);
          yield* stack.driver.unmap(domain!, 0x10_0000n, 4096);
          stack.bus.frames.free(frame);
          yield* stack.kernel.clock.sleep(2);
        }
      }, new RandomChooser(seed));
      if (outcome.end === 'violation') found.add(outcome.violation.invariant);
      else expect(outcome.end).toBe('finished');
    }
    return [...found];
  }

  it('leave nothing that reaches freed memory', () => {
    expect(broken(DmaDomains)).toEqual([]);
  });

  it('do so without the IOTLB, the device TLB, or the right order', () => {
    class NoIotlb extends DmaDomains {
      override *flushIotlb(): Coroutine<void> {}
    }
    class NoDevice extends DmaDomains {
      override *flushDevTlbs(): Coroutine<void> {}
    }
    for (const Part of [NoIotlb, NoDevice]) expect(broken(Part).length).toBeGreaterThan(0);
  });
});

it('answers a page request without PASID, and drains those at detach (VTD-28, L59)', () => {
  const stack = new Stack();
  stack.do(function* () {
    yield* stack.start();
    yield* stack.driver.disable(stack.device, 'sva');
    const domain = (yield* stack.driver.allocDomain(stack.device)) as Domain;
    yield* stack.driver.attach(stack.device, domain);
    const group = (yield* stack.endpoint.pri.request(-1, [0x100], 2))!;
    yield* stack.driver.detach(stack.device);
    expect(yield* stack.endpoint.pri.answerOf(group)).toBe(1);
    yield* stack.driver.freeDomain(domain);
  });
  expect(stack.driver.vtd.masters.find(RID)!.domain).toBe(null);
});
