import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { Oracles } from '@iommukit/oracles';
import { describe, expect, it } from 'vitest';
import { Stack, type StackOptions } from '../../test/stack.js';
import { vtdParts } from '../parts.js';
import { EcsInvalidation } from './invalidate.js';
import { EcsPasidTables } from './pasid-tables.js';
import { EcsSva } from './sva.js';

function extended(options: StackOptions = {}): StackOptions {
  return {
    ...options,
    settings: { 'vtd.mode': 'ecs', ...options.settings },
    capabilities: { ecs: true, ...options.capabilities },
  };
}

/** Lines of the kernel's trace, with the buffers that begin at `bases` as A, B …; page numbers as `page A`. */
function lines(stack: Stack, bases: readonly bigint[]): string[] {
  return stack.told(/^(vtd_(bind|unbind|mm)_|dev_|prq_report|vtd_fault:)/).map((line) =>
    line.replace(/0x([0-9a-f]+)/g, (text, digits: string) => {
      const value = BigInt(`0x${digits}`);
      for (const [i, base] of bases.entries()) {
        const name = String.fromCharCode(65 + i);
        if (value >= base && value <= base + 0x2000n) return `${name}+0x${(value - base).toString(16)}`;
        const page = value - (base >> 12n);
        if (page >= 0n && page < 2n) return `page ${name}+${page}`;
      }
      return text;
    }),
  );
}

describe('golden runs in the extended-context mode', () => {
  it('prints golden A: two faults, two munmaps told twice each, unbind (G-V)', () => {
    const stack = new Stack(extended()).boot();
    const bases: bigint[] = [];
    stack.do(function* () {
      const { core, driver, endpoint } = stack;
      const mm = core.mms.create();
      for (let i = 0; i < 2; i++) bases.push(yield* core.mms.mmap(mm, 0x2000, 3));
      for (const at of [0n, 0x1000n]) yield* core.cpu.store(mm, bases[1]! + at, Uint8Array.of(1));
      const handle = yield* driver.bind(stack.device, mm);
      const { pasid } = handle;
      const page = Number(bases[0]! >> 12n);
      expect(yield* endpoint.access(pasid, page)).toBe('done');
      expect(yield* endpoint.access(pasid, page + 1)).toBe('done');
      for (const base of bases) yield* core.mms.munmap(mm, base, 0x2000);
      yield* driver.unbind(handle);
      yield* core.mms.put(mm);
    });
    const dev = 'IOMMU:0000:00:03.0';
    const fault = (at: string, group: number): string[] => [
      `prq_report: dmar0/0000:00:03.0 seq# ${group}: rid=0x18 addr=page ${at[0]}+${at.endsWith('1000') ? 1 : 0} -w--l pasid=0x1 index=0x${group}`,
      `dev_fault: ${dev} type=2 reason=0 addr=${at} pasid=1 group=${group} flags=3 prot=2`,
    ];
    // The second buffer ends where the first begins.
    const told = (start: string, end: string): string => `vtd_mm_invalidate: pasid=1 start=${start} end=${end}`;
    expect(lines(stack, bases)).toEqual([
      'vtd_bind_alloc: dev=0000:00:03.0 pasid=1',
      ...fault('A+0x0', 0),
      `dev_page_response: ${dev} code=0 pasid=1 group=0`,
      ...fault('A+0x1000', 1),
      `dev_page_response: ${dev} code=0 pasid=1 group=1`,
      told('A+0x0', 'A+0x2000'),
      told('A+0x0', 'A+0x2000'),
      told('B+0x0', 'A+0x0'),
      told('B+0x0', 'A+0x0'),
      'vtd_unbind_free: dev=0000:00:03.0 pasid=1',
    ]);
  });

  it('prints golden B without a quiet entry: what the device does after the release is refused and recorded', () => {
    const stack = new Stack(extended()).boot();
    let base = 0n;
    stack.do(function* () {
      const { core, driver, endpoint } = stack;
      const mm = core.mms.create();
      base = yield* core.mms.mmap(mm, 0x2000, 3);
      const handle = yield* driver.bind(stack.device, mm);
      const page = Number(base >> 12n);
      expect(yield* endpoint.access(1, page)).toBe('done');
      yield* core.mms.put(mm);
      // The entry is gone: the translation request is refused, and that is recorded (vtd.md 2.5: there is no FPD).
      expect(yield* endpoint.access(1, page)).toBe('denied');
      yield* driver.unbind(handle);
    });
    const dev = 'IOMMU:0000:00:03.0';
    const seen = lines(stack, [base]).filter((line) => !line.startsWith('prq_report'));
    expect(seen).toEqual([
      'vtd_bind_alloc: dev=0000:00:03.0 pasid=1',
      `dev_fault: ${dev} type=2 reason=0 addr=A+0x0 pasid=1 group=0 flags=3 prot=2`,
      `dev_page_response: ${dev} code=0 pasid=1 group=0`,
      'vtd_mm_release: pasid=1',
      expect.stringMatching(
        /^vtd_fault: DMAR: \[DMA Read PASID 0x1\] Request device \[00:03.0\] fault addr A\+0x0 \[fault reason 0x59\]/,
      ),
      `dev_fault: ${dev} type=2 reason=0 addr=A+0x0 pasid=1 group=1 flags=3 prot=2`,
      `dev_page_response: ${dev} code=1 pasid=1 group=1`,
      'vtd_unbind_free: dev=0000:00:03.0 pasid=1',
    ]);
  });
});

describe('the extended-context mode on the model', () => {
  it('binds, unbinds and leaves nothing', () => {
    const stack = new Stack(extended({ capabilities: { dis: true } })).boot();
    const before = stack.inUse();
    stack.do(function* () {
      const { mm, page } = yield* stack.makeMm();
      const handle = yield* stack.driver.bind(stack.device, mm);
      expect(stack.translate(1, page)).toBeGreaterThan(0);
      yield* stack.driver.unbind(handle);
      expect(stack.translate(1, page)).toBe(-0x59);
      yield* stack.core.mms.put(mm);
    });
    expect(stack.inUse()).toEqual(before);
  });

  it('reads the last entry of a table of 0x20000, and no further (SVA-21, L29)', () => {
    const reach = (Part: typeof EcsPasidTables): number => {
      const parts = { ecs: { ...vtdParts.ecs, PasidTables: Part } };
      const stack = new Stack(extended({ parts })).boot();
      let reason = 0;
      stack.do(function* () {
        const last = 0x1ffff;
        const { driver, core } = stack;
        const { mm, page } = yield* stack.makeMm();
        const { pasids } = driver.vtd;
        const master = driver.vtd.masters.of(stack.device);
        yield* pasids.install(master, last, pasids.imageOf({ pgd: mm.pgd, levels: 4 }), 1);
        reason =
          stack.bus.frames.ownerOf(Math.floor(pasids.addressOf(master, last) / 4096)) === 'dmar0 ECS PASID table'
            ? 1
            : 0;
        expect(stack.translate(last, page)).toBeGreaterThan(0);
        expect(stack.translate(last + 1, page)).toBe(-0x46);
        yield* pasids.erase(master, last, false);
        yield* core.mms.put(mm);
      });
      return reason;
    };
    expect(reach(EcsPasidTables)).toBe(1);
    // One order too low: the hardware and the driver use memory of others.
    class Low extends EcsPasidTables {
      override tableBytes(): number {
        return super.tableBytes() / 2;
      }
    }
    expect(reach(Low)).toBe(0);
  });

  it('serves two devices with one entry, in domains of their own', () => {
    const stack = new Stack(extended());
    stack.do(function* () {
      const { driver } = stack;
      yield* stack.start();
      yield* driver.disable(stack.device, 'sva');
      yield* driver.attach(stack.device, yield* driver.allocDomain(stack.device));
      yield* driver.enable(stack.device, 'sva');
      const [, other] = stack.connect('0000:00:04.0', 0x20);
      yield* stack.add(other);
      const { mm, va, page } = yield* stack.makeMm();
      const handles = [yield* driver.bind(stack.device, mm), yield* driver.bind(other, mm)];
      expect(stack.translate(1, page)).toBe(stack.translate(1, page, 2, 0x20));
      // Both tags are invalidated.
      yield* stack.core.mms.munmap(mm, va, 4096);
      expect([stack.translate(1, page), stack.translate(1, page, 2, 0x20)]).toEqual([-0x71, -0x71]);
      yield* driver.unbind(handles[0]!);
      expect(stack.translate(1, page + 1)).toBe(-0x71);
      yield* driver.unbind(handles[1]!);
      expect(stack.translate(1, page + 1)).toBe(-0x59);
      yield* stack.core.mms.put(mm);
    });
  });

  /** The invariants that programs break, in 30 schedules: a device at work while pages go, and while the process dies. */
  function broken(parts: typeof vtdParts.ecs, dis: boolean): string[] {
    const found = new Set<string>();
    for (let seed = 1; seed <= 30; seed++) {
      const stack = new Stack(
        extended({
          capabilities: { dis, gait: seed % 2 === 0 ? 'stepwise' : 'atomic' },
          parts: { ecs: { ...vtdParts.ecs, ...parts } },
          observe: (kernel, memory) => new Oracles(kernel, memory),
        }),
      ).boot();
      const outcome = stack.run(() => program(stack, seed % 3 === 0), new RandomChooser(seed));
      if (outcome.end === 'violation') found.add(outcome.violation.invariant);
      else expect(outcome.end).toBe('finished');
    }
    return [...found];
  }

  function* program(stack: Stack, dies: boolean): Coroutine<void> {
    const { core, driver, endpoint, kernel } = stack;
    const { mm, va, page } = yield* stack.makeMm();
    const handle = yield* driver.bind(stack.device, mm);
    kernel.spawn('device', function* () {
      for (let i = 0; i < 4; i++) yield* endpoint.access(1, page + (i % 2), true, 2);
    });
    yield* core.mms.munmap(mm, va, 8192);
    if (dies) yield* kernel.clock.sleep(10);
    if (!dies) yield* core.cpu.store(mm, yield* core.mms.mmap(mm, 8192, 3), Uint8Array.of(1));
    yield* kernel.clock.sleep(10);
    yield* driver.unbind(handle);
    yield* core.mms.put(mm);
  }

  it('breaks nothing under random schedules', () => {
    expect(broken({}, false)).toEqual([]);
  });

  it('breaks something when flushes are left out', () => {
    class NoFlush extends EcsInvalidation {
      override addPasidPages(): void {}
      override addPasid(): void {}
    }
    class NoDevice extends EcsSva {
      override *addDevTlbRange(): Coroutine<void> {}
    }
    expect(broken({ Invalidation: NoFlush }, false).length).toBeGreaterThan(0);
    expect(broken({ Sva: NoDevice }, false).length).toBeGreaterThan(0);
  });
});
