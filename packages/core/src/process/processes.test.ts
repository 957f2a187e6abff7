import { type Coroutine, DirectedChooser, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { census, smallKernel } from '../../test/small-kernel.js';
import { type FileOps, type OpenFile, type Process, Processes } from '../index.js';

/** A driver's file that says where its release ran. */
function deviceFile(log: string[], whoRuns: () => string | undefined): FileOps {
  return {
    *release(file): Coroutine<void> {
      log.push(`${file.name} released by ${whoRuns()}`);
    },
  };
}

describe('Processes', () => {
  it('exit in the order mm, files, task work (MM-5)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    core.processes.spawn('p', function* (process) {
      const file = core.files.open(
        process,
        'dev',
        deviceFile([], () => ''),
      );
      yield* core.mms.mmap(core.processes.mmOf(process), 4096, 3, file);
    });
    expect(small.run().end).toBe('finished');
    expect(small.log).toEqual([
      'mm_mmap: mm=mm:1 start=0xffffb9d16000 end=0xffffb9d17000 prot=3 file=dev',
      'process_exit: comm=p',
      'mm_exit_mmap: mm=mm:1',
      'mm_free: mm=mm:1',
      'file_release: file=dev',
    ]);
    expect(census(core)).toEqual(small.baseline);
    expect(kernel.atRest).toBe(true);
  });

  it('close a mapped file although nobody closes it: the mapping goes first (MM-7)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const log: string[] = [];
    core.processes.spawn('p', function* (process) {
      const mm = core.processes.mmOf(process);
      const file = core.files.open(
        process,
        'dev',
        deviceFile(log, () => kernel.current?.name),
      );
      yield* core.mms.mmap(mm, 4096, 3, file);
      yield* core.processes.close(process, file);
      expect(file.refs).toBe(1);
    });
    expect(small.run().end).toBe('finished');
    expect(log).toEqual(['dev released by p']);
    expect(census(core)).toEqual(small.baseline);
  });

  it('release a file at the return from the system call that dropped it, never inside (MM-15)', () => {
    const small = smallKernel();
    const { core } = small;
    const log: string[] = [];
    core.processes.spawn('p', function* (process) {
      const file = core.files.open(
        process,
        'dev',
        deviceFile(log, () => 'p'),
      );
      yield* core.processes.systemCall(process, function* () {
        core.files.close(process, file);
        log.push('still inside');
      });
      log.push('returned');
    });
    expect(small.run().end).toBe('finished');
    expect(log).toEqual(['still inside', 'dev released by p', 'returned']);
  });

  it("leave a kernel thread's last put to the delayed worker (MM-15)", () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const log: string[] = [];
    const files: (() => void)[] = [];
    const thread = kernel.daemon('thread', function* () {
      files[0]!();
      log.push('thread goes on');
    });
    core.processes.spawn('p', function* (process) {
      const file = core.files.open(
        process,
        'dev',
        deviceFile(log, () => kernel.current?.name),
      );
      core.files.get(file);
      files.push(() => core.files.put(file));
      yield* core.processes.close(process, file);
      kernel.kick(thread);
      yield* kernel.clock.sleep(1);
    });
    expect(small.run().end).toBe('finished');
    expect(log).toEqual(['thread goes on', 'dev released by delayed-fput']);
    expect(census(core)).toEqual(small.baseline);
  });

  it('leave a put after the exit work to the delayed worker (MM-15)', () => {
    const late: OpenFile[] = [];
    class LatePut extends Processes {
      override *exitTaskWork(process: Process): Coroutine<void> {
        yield* super.exitTaskWork(process);
        this.core.files.put(late[0]!);
      }
    }
    const small = smallKernel({ parts: { Processes: LatePut } });
    const { core, kernel } = small;
    const log: string[] = [];
    core.processes.spawn('p', function* (process) {
      late.push(
        core.files.open(
          process,
          'late',
          deviceFile(log, () => kernel.current?.name),
        ),
      );
      core.files.get(late[0]!);
    });
    expect(small.run().end).toBe('finished');
    expect(log).toEqual(['late released by delayed-fput']);
    expect(census(core)).toEqual(small.baseline);
  });

  it('tear down in a worker that held the last user, and release the file outside it (MM-8, MM-15)', () => {
    const small = smallKernel();
    const { core, kernel } = small;
    const log: string[] = [];
    let take = function* (): Coroutine<void> {};
    const worker = kernel.daemon('worker', () => take());
    core.processes.spawn('process', function* (process) {
      const mm = core.processes.mmOf(process);
      const file = core.files.open(
        process,
        'dev',
        deviceFile(log, () => kernel.current?.name),
      );
      yield* core.mms.mmap(mm, 4096, 3, file);
      yield* core.processes.close(process, file);
      take = function* () {
        yield* core.mms.get(mm);
        yield* core.mms.put(mm);
        log.push('worker goes on');
      };
      kernel.kick(worker);
    });
    const order = [
      { task: 'worker', step: 'mmget' },
      { task: 'process', step: 'exit-mm' },
      { task: 'worker', step: 'mmput' },
    ];
    expect(small.run(new DirectedChooser([order]))).toMatchObject({ end: 'finished' });
    expect(log).toEqual(['worker goes on', 'dev released by delayed-fput']);
    expect(census(core)).toEqual(small.baseline);
  });

  it('are killed by an error that their program does not handle, and still exit in order', () => {
    const small = smallKernel();
    const { core } = small;
    const process = core.processes.spawn('p', function* ({ mm }) {
      yield* core.cpu.store(mm!, 0n, Uint8Array.of(1));
    });
    expect(small.run().end).toBe('finished');
    expect(process.failure?.code).toBe('EFAULT');
    expect(small.log).toContain('process_exit: comm=p');
    expect(census(core)).toEqual(small.baseline);
  });

  it('end quietly when there is no memory to begin with', () => {
    for (const n of [1, 2]) {
      const small = smallKernel();
      const { core, kernel } = small;
      kernel.injection.failAt = n;
      const process = core.processes.spawn('p', function* () {});
      expect(small.run().end).toBe('finished');
      expect(process.failure?.code).toBe('ENOMEM');
      expect(census(core)).toEqual(small.baseline);
    }
  });

  it('leave everything as it was, under any schedule of two that share a file', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const small = smallKernel();
      const { core, kernel } = small;
      const log: string[] = [];
      for (const name of ['p', 'q']) {
        core.processes.spawn(name, function* (process) {
          const mm = core.processes.mmOf(process);
          const file = core.files.open(
            process,
            name,
            deviceFile(log, () => kernel.current?.name),
          );
          const address = yield* core.mms.mmap(mm, 8192, 3, file);
          yield* core.cpu.fill(mm, address, 8192, (i) => i);
          yield* core.processes.munmap(process, address, 4096);
        });
      }
      expect(small.run(new RandomChooser(seed)).end).toBe('finished');
      expect(log.sort()).toEqual(['p released by p', 'q released by q']);
      expect(census(core)).toEqual(small.baseline);
    }
  });
});
