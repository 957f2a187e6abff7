import { type Coroutine, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { codeOf, PAGE, RW } from '../../test/address-space.js';
import { Listener } from '../../test/listener.js';
import { census, smallKernel } from '../../test/small-kernel.js';
import { type Process, Processes } from '../index.js';

describe('threads', () => {
  it('share memory and descriptors; the exit of one is the death of neither (MM-13)', () => {
    const small = smallKernel();
    const { core } = small;
    const listener = new Listener(small.log);
    core.processes.spawn('p', function* (process) {
      const mm = core.processes.mmOf(process);
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      core.files.open(process, 'dev', {
        *release(): Coroutine<void> {
          core.notifiers.put(subscription);
        },
      });
      const address = yield* core.processes.mmap(process, PAGE, RW);
      const thread = core.processes.spawnThread(process, 't', function* (its) {
        expect(its.mm).toBe(mm);
        yield* core.cpu.store(mm, address, Uint8Array.of(5));
      });
      yield* core.processes.join(thread);
      const byte = new Uint8Array(1);
      yield* core.cpu.load(mm, address, byte);
      expect([byte[0], mm.users, process.files.length]).toEqual([5, 1, 1]);
    });
    expect(small.run().end).toBe('finished');
    // The thread's exit told nobody, and closed nothing.
    expect(small.log.filter((line) => /exit|release/.test(line))).toEqual([
      'process_exit: comm=t',
      'process_exit: comm=p',
      'mm_exit_mmap: mm=mm:1',
      'release mm:1',
      'file_release: file=dev',
    ]);
    expect(census(core)).toEqual(small.baseline);
  });

  it('lose a living address space when the exit of a task is taken for its death (L13)', () => {
    class QuiescesOnExit extends Processes {
      override *exitMm(process: Process): Coroutine<void> {
        yield* this.core.notifiers.release(this.mmOf(process));
        yield* super.exitMm(process);
      }
    }
    const small = smallKernel({ parts: { Processes: QuiescesOnExit } });
    const { core } = small;
    const listener = new Listener();
    core.processes.spawn('p', function* (process) {
      const mm = core.processes.mmOf(process);
      const subscription = yield* core.notifiers.get(listener, mm, listener.make);
      yield* core.processes.join(core.processes.spawnThread(process, 't', function* () {}));
      expect([listener.log, mm.users]).toEqual([['release mm:1'], 1]);
      core.notifiers.put(subscription);
    });
    expect(small.run().end).toBe('finished');
  });

  it('with descriptors of their own close the device while the others go on, or the reverse (MM-13)', () => {
    const small = smallKernel();
    const { core } = small;
    const log: string[] = [];
    core.processes.spawn('p', function* (process) {
      const file = core.files.open(process, 'dev', {
        *release(): Coroutine<void> {
          log.push('released');
        },
      });
      const thread = core.processes.spawnThread(process, 't', function* () {}, { ownFiles: true });
      yield* core.processes.close(process, file);
      expect(log).toEqual([]);
      yield* core.processes.join(thread);
      expect(log).toEqual(['released']);
    });
    expect(small.run().end).toBe('finished');
    expect(census(core)).toEqual(small.baseline);
  });

  it('end in any order, under any schedule, and leave nothing behind', () => {
    const last = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const small = smallKernel();
      const { core, kernel } = small;
      kernel.trace.add({
        event: ({ point, task }) => {
          if (point.name === 'mm_exit_mmap') last.add(task);
        },
      });
      core.processes.spawn('p', function* (process) {
        const address = yield* core.processes.mmap(process, PAGE, RW);
        core.files.open(process, 'dev', { *release() {} });
        for (const name of ['t', 'u']) {
          core.processes.spawnThread(process, name, function* (its) {
            yield* core.cpu.store(core.processes.mmOf(its), address, Uint8Array.of(1));
          });
        }
      });
      expect(small.run(new RandomChooser(seed)).end).toBe('finished');
      expect(census(core)).toEqual(small.baseline);
    }
    expect([...last].sort()).toEqual(['p', 't', 'u']);
  });

  it('cannot be started by a process that has exited', () => {
    const small = smallKernel();
    const { core } = small;
    const process = core.processes.spawn('p', function* () {});
    expect(small.run().end).toBe('finished');
    expect(() => core.processes.spawnThread(process, 't', function* () {})).toThrowError(
      expect.objectContaining({ code: 'ESRCH' }),
    );
  });
});

describe('children', () => {
  it('have the memory and the descriptors of their parent, and outlive it (MM-12)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const log: string[] = [];
    core.processes.spawn('p', function* (process) {
      core.files.open(process, 'dev', {
        *release(): Coroutine<void> {
          log.push(`released by ${kernel.current?.name}`);
        },
      });
      const address = yield* core.processes.mmap(process, PAGE, RW);
      yield* core.cpu.store(core.processes.mmOf(process), address, Uint8Array.of(3));
      yield* core.processes.fork(process, 'child', function* (its) {
        yield* kernel.clock.sleep(1000);
        const byte = new Uint8Array(1);
        yield* core.cpu.load(core.processes.mmOf(its), address, byte);
        log.push(`child reads ${byte[0]}`);
      });
    });
    expect(small.run().end).toBe('finished');
    expect(log).toEqual(['child reads 3', 'released by child']);
    expect(small.log).toContain('mm_fork: mm=mm:1 child=mm:2');
    expect(census(core)).toEqual(small.baseline);
  });

  it('are not started when there is no memory, and the parent goes on', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    core.processes.spawn('p', function* (process) {
      core.files.open(process, 'dev', { *release() {} });
      kernel.injection.failAt = kernel.injection.state.count + 1;
      expect(yield* codeOf(core.processes.fork(process, 'child', function* () {}))).toBe('ENOMEM');
      expect(process.files[0]!.refs).toBe(1);
    });
    expect(small.run().end).toBe('finished');
    expect(census(core)).toEqual(small.baseline);
  });
});
