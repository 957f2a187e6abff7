import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { codeOf, PAGE, RW } from '../../test/address-space.js';
import { Listener } from '../../test/listener.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { type Mm, type OpenFile, Processes } from '../index.js';

describe('exec', () => {
  it('replaces the address space inside the switch, before any descriptor is closed (MM-11)', () => {
    const small = smallKernel();
    const { core } = small;
    const log = small.log;
    const listener = new Listener(log);
    core.processes.spawn('p', function* (process) {
      const old = core.processes.mmOf(process);
      const subscription = yield* core.notifiers.get(listener, old, listener.make);
      const file = core.files.open(process, 'dev', {
        *release(): Coroutine<void> {
          core.notifiers.put(subscription);
        },
      });
      core.files.setCloseOnExec(process, file);
      yield* core.processes.exec(process);
      expect(core.processes.mmOf(process)).not.toBe(old);
      expect(process.files).toEqual([]);
      log.push('the new program');
    });
    expect(small.run().end).toBe('finished');
    expect(log).toEqual([
      'process_exec: comm=p mm=mm:2',
      'mm_exit_mmap: mm=mm:1',
      'release mm:1',
      'file_release: file=dev',
      'the new program',
      'process_exit: comm=p',
      'mm_exit_mmap: mm=mm:2',
      'mm_free: mm=mm:2',
      // The grace period of the notifier that held it.
      'mm_free: mm=mm:1',
    ]);
    expect(census(core)).toEqual(small.baseline);
  });

  it('keeps other descriptors open, and the bond of the old address space with them (MM-11)', () => {
    const small = smallKernel();
    const { core } = small;
    const listener = new Listener();
    let old: Mm | null = null;
    core.processes.spawn('p', function* (process) {
      old = core.processes.mmOf(process);
      const subscription = yield* core.notifiers.get(listener, old, listener.make);
      core.sva.allocPasid(old, 1, 100);
      core.files.open(process, 'dev', {
        *release(): Coroutine<void> {
          core.sva.freePasid(old!);
          core.notifiers.put(subscription);
        },
      });
      yield* core.processes.exec(process, function* (again) {
        // Released, and still there: its number is not free.
        expect([listener.log, old!.users, old!.count, old!.pasid]).toEqual([['release mm:1'], 0, 1, 1]);
        const mm = core.processes.mmOf(again);
        expect(core.sva.hasPasid(mm)).toBe(false);
        expect(core.sva.allocPasid(mm, 1, 100)).toBe(2);
        expect(yield* core.sva.find(1)).toBe(null);
        core.sva.freePasid(mm);
        expect(again.files.map((file: OpenFile) => file.name)).toEqual(['dev']);
      });
    });
    expect(small.run().end).toBe('finished');
    expect(census(core)).toEqual(small.baseline);
  });

  it('gives the new program a number whose entry is still there, when the new mm takes the old one over (L13)', () => {
    class ReusesPasid extends Processes {
      override newImage(old: Mm): Mm {
        const mm = super.newImage(old);
        mm.pasid = old.pasid;
        return mm;
      }
    }
    const small = smallKernel({ parts: { Processes: ReusesPasid } });
    const { core } = small;
    let pasids: number[] = [];
    core.processes.spawn('p', function* (process) {
      const old = core.processes.mmOf(process);
      core.mms.grab(old);
      core.sva.allocPasid(old, 1, 100);
      yield* core.processes.exec(process);
      pasids = [old.pasid, core.processes.mmOf(process).pasid];
      core.sva.freePasid(old);
      core.mms.drop(old);
    });
    small.run();
    expect(pasids).toEqual([1, 1]);
  });

  it('does not go on with the old program', () => {
    const small = smallKernel();
    const { core } = small;
    const log: string[] = [];
    core.processes.spawn('p', function* (process) {
      log.push('old');
      yield* core.processes.exec(process, function* () {
        log.push('new');
      });
      log.push('never');
    });
    expect(small.run().end).toBe('finished');
    expect(log).toEqual(['old', 'new']);
    expect(census(core)).toEqual(small.baseline);
  });

  it('goes on with the old program when there is no memory for the new one', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const process = core.processes.spawn('p', function* (its) {
      const mm = core.processes.mmOf(its);
      kernel.injection.failAt = kernel.injection.state.count + 1;
      expect(yield* codeOf(core.processes.exec(its, function* () {}))).toBe('ENOMEM');
      expect(core.processes.mmOf(its)).toBe(mm);
    });
    expect(small.run().end).toBe('finished');
    expect(process.failure).toBe(null);
    expect(census(core)).toEqual(small.baseline);
  });

  it('leaves an address space alone that a thread still uses (MM-11, MM-13)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    core.processes.spawn('p', function* (process) {
      const mm = core.processes.mmOf(process);
      const address = yield* core.processes.mmap(process, PAGE, RW);
      core.files.open(process, 'dev', { *release() {} });
      const thread = core.processes.spawnThread(process, 't', function* (its) {
        yield* kernel.clock.sleep(1000);
        yield* core.cpu.store(core.processes.mmOf(its), address, Uint8Array.of(1));
        expect(its.files).toHaveLength(1);
      });
      yield* core.processes.exec(process);
      expect([mm.users, process.files.length]).toEqual([1, 1]);
      yield* core.processes.close(process, process.files[0]!);
      yield* core.processes.join(thread);
      expect(thread.failure).toBe(null);
    });
    expect(small.run().end).toBe('finished');
    expect(census(core)).toEqual(small.baseline);
  });
});
