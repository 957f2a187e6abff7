import type { SupervisorHandle } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Bench, codeOf } from '../test/bench.js';
import { ECAP } from '../test/fake-unit.js';
import { Stack } from '../test/stack.js';
import { Supervisor } from './index.js';

const SRS = 1n << 31n;
const [READ, WRITE, PRIVILEGED] = [1, 2, 8];
/** Of the highest address bits, pages have none. */
const pageOf = (address: bigint): number => Number(address >> 12n);

describe('a supervisor PASID (VTD-42)', () => {
  it('has an entry of the kernel tables with SRE and WPE', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const handle = yield* bench.driver.bindSupervisor(bench.device);
      const { pasid } = handle;
      const { pgd } = bench.driver.vtd.kernelTables.state;
      // P, AW 2, PGTT 1; DID 1, PWSNP; SRE, WPE and the table.
      expect(bench.entry(pasid)).toEqual([0x49n, 0x0080_0001n, BigInt(pgd) | 0x11n]);
      yield* bench.driver.unbindSupervisor(handle);
      expect(bench.entry(pasid)).toEqual([]);
    });
  });

  it('is refused to a unit without supervisor requests, with a process, and before SVA is on', () => {
    const bench = new Bench({ ecap: ECAP & ~SRS }).boot();
    bench.do(function* () {
      expect(yield* codeOf(bench.driver.bindSupervisor(bench.device))).toBe('ENODEV');
    });
    const other = new Bench().boot();
    other.do(function* () {
      const { mm } = yield* other.makeMm();
      expect(yield* codeOf(other.driver.bindSupervisor(other.device, mm))).toBe('EINVAL');
      yield* other.core.mms.put(mm);
      yield* other.disableSva(other.device);
      expect(yield* codeOf(other.driver.bindSupervisor(other.device))).toBe('ENODEV');
    });
  });

  it('is one for the unit, one handle a device, and leaves nothing behind (SVA-18)', () => {
    const bench = new Bench().boot();
    const before = bench.inUse();
    bench.do(function* () {
      const { driver, device } = bench;
      const handle = yield* driver.bindSupervisor(device);
      expect(yield* driver.bindSupervisor(device)).toBe(handle);
      yield* driver.vtd.supervisor.map(driver.vtd.pasids.addressOf(driver.vtd.masters.of(device), 0), 64);
      expect(yield* codeOf(driver.disable(device, 'sva'))).toBe('EBUSY');
      yield* driver.unbindSupervisor(handle);
      expect(bench.core.ioasid.inUse()).toBe(1);
      yield* driver.unbindSupervisor(handle);
      expect(bench.core.ioasid.inUse()).toBe(0);
    });
    expect(bench.inUse()).toEqual(before);
  });

  it('is flushed for all devices that use it, after use (SVA-20)', () => {
    const bench = new Bench().boot();
    bench.do(function* () {
      const { supervisor } = bench.driver.vtd;
      const other = yield* bench.plug('0000:00:04.0', 0x20);
      const handles = [yield* bench.driver.bindSupervisor(bench.device), yield* bench.driver.bindSupervisor(other)];
      bench.unit.log.length = 0;
      yield* supervisor.flush(0xffff_8880_4000_3000n, 0x2000);
      expect(bench.unit.take()).toEqual([
        // 0x3000 and 0x4000 are covered by 8 pages.
        'q 100010036 ffff888040000003 0 0',
        'q 100180008 ffff888040003800 0 0',
        'q 100200008 ffff888040003800 0 0',
      ]);
      for (const handle of handles) yield* bench.driver.unbindSupervisor(handle);
    });
  });

  it("answers page requests INVALID: the kernel's pages are there (VTD-42)", () => {
    const stack = new Stack().boot();
    stack.do(function* () {
      const handle = yield* stack.driver.bindSupervisor(stack.device);
      expect(yield* stack.endpoint.access(handle.pasid, pageOf(0x1000n))).toBe('denied');
      yield* stack.driver.unbindSupervisor(handle);
    });
  });
});

describe('the kernel addresses that a device may use (SVA-20)', () => {
  /** A unit with a device that has the kernel's PASID, and memory of its driver's. */
  function use(body: (stack: Stack, handle: SupervisorHandle, pa: number) => Coroutine<void>, Part = Supervisor): void {
    const stack = new Stack({ parts: { Supervisor: Part }, capabilities: { srs: true } }).boot();
    stack.do(function* () {
      const pa = stack.bus.frames.alloc('driver buffer') * 4096;
      const handle = yield* stack.driver.bindSupervisor(stack.device);
      yield* body(stack, handle, pa);
      yield* stack.driver.unbindSupervisor(handle);
      stack.bus.frames.free(pa / 4096);
    });
  }

  it('are those of the 1:1 map: privileged requests reach memory, others do not', () => {
    use(function* (stack, handle, pa) {
      const { supervisor } = stack.driver.vtd;
      const address = yield* supervisor.map(pa, 4096);
      expect(address).toBe(0xffff_8880_0000_0000n + BigInt(pa));
      yield* supervisor.use(address + 16n, 64);
      const page = pageOf(address);
      expect(stack.translate(handle.pasid, page, WRITE | PRIVILEGED)).toBe(pa / 4096);
      // 0x81: a user request to a supervisor page.
      expect(stack.translate(handle.pasid, page, READ)).toBe(-0x81);
      yield* supervisor.flush(address, 4096);
    });
  });

  it('are refused outside of it, and where there is no memory', () => {
    use(function* (stack, _handle, pa) {
      const { kernelTables, supervisor } = stack.driver.vtd;
      const piece = yield* kernelTables.allocPieces(1);
      expect(yield* codeOf(supervisor.use(piece, 64))).toBe('EFAULT');
      expect(yield* codeOf(supervisor.use(0x7f00_0000_0000n, 64))).toBe('EFAULT');
      expect(yield* codeOf(supervisor.use(0xffff_8880_0000_0000n - 1n, 2))).toBe('EFAULT');
      expect(yield* codeOf(supervisor.use(kernelTables.directOf(pa), 0))).toBe('EFAULT');
      expect(yield* codeOf(supervisor.map(0x10_0000, 64))).toBe('EFAULT');
      yield* kernelTables.freePieces(piece, 1);
    });
  });

  it('are never flushed where they are mapped piece by piece: what is refused would be stale (supervisor-vmalloc)', () => {
    class Anywhere extends Supervisor {
      override checkDirect(): void {}
    }
    use(function* (stack, handle) {
      const { kernelTables, supervisor } = stack.driver.vtd;
      const piece = yield* kernelTables.allocPieces(1);
      yield* supervisor.use(piece, 64);
      const frame = stack.translate(handle.pasid, pageOf(piece), WRITE | PRIVILEGED);
      expect(stack.bus.frames.ownerOf(frame)).toBe('kernel pieces');
      yield* kernelTables.freePieces(piece, 1);
      expect(stack.bus.frames.ownerOf(frame)).toBe(null);
      expect(stack.translate(handle.pasid, pageOf(piece), WRITE | PRIVILEGED)).toBe(frame);
      // The explicit flush would have helped.
      yield* supervisor.flush(piece, 4096);
      expect(stack.translate(handle.pasid, pageOf(piece), WRITE | PRIVILEGED)).toBe(-0x71);
    }, Anywhere);
  });

  it('lie elsewhere with 5-level tables', () => {
    const bench = new Bench({ cap: 0x11d2_018c_222f_0606n, levels: 5 }).boot();
    bench.do(function* () {
      const handle = yield* bench.driver.bindSupervisor(bench.device);
      const { kernelTables, supervisor } = bench.driver.vtd;
      expect([kernelTables.levels, kernelTables.directBase]).toEqual([5, 0xff11_0000_0000_0000n]);
      expect(yield* supervisor.map(kernelTables.pgd(), 4096)).toBe(0xff11_0000_0000_0000n + BigInt(kernelTables.pgd()));
      yield* bench.driver.unbindSupervisor(handle);
    });
  });
});
