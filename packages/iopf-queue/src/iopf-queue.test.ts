import {
  coreParts,
  FAULT_FLAG,
  FAULT_RESULT,
  type Mm,
  PageFaults,
  type PageRequest,
  PERM,
  type Vma,
} from '@iommukit/core';
import { type Coroutine, DirectedChooser, RandomChooser } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import {
  answeringDriver,
  bench,
  boundMm,
  census,
  codeOf,
  live,
  nominalDevice,
  pageRequest,
  unbound,
} from '../test/bench.js';
import { IopfQueue } from './index.js';

describe('IopfQueue', () => {
  it('makes the page present and answers SUCCESS (PF-4)', () => {
    const { core, queue, device, answers, log, act, baseline } = bench();
    act(function* () {
      const { mm, address } = yield* boundMm(core, 2);
      yield* core.faults.report(device, pageRequest({ address, group: 7 }));
      yield* queue.flush();
      expect(core.cpu.translate(mm, Number(address >> 12n), true)).toBe(true);
      yield* unbound(core, mm);
    });
    expect(answers).toEqual(['group 7: 0']);
    expect(log.filter((line) => /^(dev|iopf|handle)/.test(line))).toEqual([
      'dev_fault: IOMMU:0000:00:03.0 type=2 reason=0 addr=0x0000ffffb9d15000 pasid=1 group=7 flags=3 prot=2',
      'handle_mm_fault: mm=mm:1 addr=0xffffb9d15000 write=1 result=0',
      'iopf_group: dev=0000:00:03.0 pasid=1 group=7 pages=1 code=0',
      'dev_page_response: IOMMU:0000:00:03.0 code=0 pasid=1 group=7',
    ]);
    expect(census(core)).toEqual(baseline);
  });

  it('collects a group and answers it once, however its requests are mixed with others (IOPF-2, IOPF-3, IOPF-6)', () => {
    const { core, queue, device, answers, log, act, baseline } = bench();
    act(function* () {
      const { mm, address } = yield* boundMm(core, 5);
      const page = (i: number, group: number, last: boolean): Coroutine<void> =>
        core.faults.report(device, pageRequest({ address: address + BigInt(i * 4096), group, last }));
      yield* page(0, 1, false);
      yield* page(1, 2, false);
      yield* page(2, 1, false);
      expect(answers).toEqual([]);
      yield* page(3, 1, true);
      yield* queue.flush();
      expect(answers).toEqual(['group 1: 0']);
      yield* page(4, 2, true);
      yield* queue.flush();
      yield* unbound(core, mm);
    });
    expect(answers).toEqual(['group 1: 0', 'group 2: 0']);
    expect(log.filter((line) => line.startsWith('handle_mm_fault')).map((line) => line.split(' ')[2])).toEqual([
      'addr=0xffffb9d12000',
      'addr=0xffffb9d14000',
      'addr=0xffffb9d15000',
      'addr=0xffffb9d13000',
      'addr=0xffffb9d16000',
    ]);
    expect(census(core)).toEqual(baseline);
  });

  it('handles nothing after the first error of a group, and answers that error (IOPF-5)', () => {
    const { core, queue, device, answers, log, act } = bench();
    act(function* () {
      const { mm, address } = yield* boundMm(core, 3);
      yield* core.faults.report(device, pageRequest({ address, last: false }));
      yield* core.faults.report(device, pageRequest({ address: 0x1000n, last: false }));
      yield* core.faults.report(device, pageRequest({ address: address + 4096n, last: false }));
      yield* core.faults.report(device, pageRequest({ address: address + 8192n }));
      yield* queue.flush();
      yield* unbound(core, mm);
    });
    expect(answers).toEqual(['group 0: 1']);
    expect(log.filter((line) => line.startsWith('handle_mm_fault'))).toHaveLength(1);
  });

  it.each<[string, Partial<PageRequest>, number]>([
    ['no PASID', { pasid: null }, 1],
    ['an unknown PASID', { pasid: 9 }, 1],
    ['no mapping', { address: 0x7000n }, 1],
    ['a write to a read-only mapping', { perm: PERM.WRITE }, 1],
    ['an execute of data', { perm: PERM.EXEC }, 1],
    ['a read', { perm: PERM.READ }, 0],
    ['no right at all (PF-7)', { perm: 0 }, 0],
    ['a privileged read', { perm: PERM.READ | PERM.PRIV }, 0],
  ])('answers a request with %s (PF-1, PF-2)', (_what, about, code) => {
    const { core, queue, device, answers, act, baseline } = bench();
    act(function* () {
      const { mm, address } = yield* boundMm(core, 1, PERM.READ);
      yield* core.faults.report(device, pageRequest({ address, ...about }));
      yield* queue.flush();
      yield* unbound(core, mm);
    });
    expect(answers).toEqual([`group 0: ${code}`]);
    expect(census(core)).toEqual(baseline);
  });

  it('answers INVALID once the last user is gone, while the PASID still exists (MM-9)', () => {
    const { core, queue, device, answers, act, baseline } = bench();
    act(function* () {
      const { mm, address } = yield* boundMm(core, 1);
      core.mms.grab(mm);
      yield* core.mms.put(mm);
      yield* core.faults.report(device, pageRequest({ address }));
      yield* queue.flush();
      core.sva.freePasid(mm);
      core.mms.drop(mm);
    });
    expect(answers).toEqual(['group 0: 1']);
    expect(census(core)).toEqual(baseline);
  });

  it('tears the address space down in the worker that holds its last user, before the answer (MM-8)', () => {
    const { core, kernel, queue, device, answers, log, run, baseline } = bench();
    kernel.spawn('process', function* () {
      const { mm, address } = yield* boundMm(core, 1);
      core.mms.grab(mm);
      yield* core.faults.report(device, pageRequest({ address }));
      yield* core.mms.put(mm, 'exit-mm');
      yield* queue.flush();
      core.sva.freePasid(mm);
      core.mms.drop(mm);
    });
    const workers: string[] = [];
    kernel.trace.add({
      event: ({ point, task }) => {
        if (point.name === 'mm_exit_mmap') workers.push(task);
      },
    });
    const order = [
      { task: 'fault-worker', step: 'mmget' },
      { task: 'process', step: 'exit-mm' },
      { task: 'fault-worker', step: 'mmput' },
    ];
    expect(run(new DirectedChooser([order]))).toMatchObject({ end: 'finished' });
    expect(workers).toEqual(['fault-worker/1']);
    expect(answers).toEqual(['group 0: 0']);
    expect(log.indexOf('mm_exit_mmap: mm=mm:1')).toBeLessThan(
      log.findIndex((line) => line.startsWith('dev_page_response')),
    );
    expect(census(core)).toEqual(baseline);
  });

  it('passes the rights on as flags, always for another task (PF-3)', () => {
    const { queue } = bench();
    const { WRITE, INSTRUCTION, USER, REMOTE } = FAULT_FLAG;
    const flags = (perm: number): number => queue.flagsOf(pageRequest({ perm }));
    expect([1, 2, 3, 4, 9, 10].map(flags)).toEqual([
      REMOTE | USER,
      REMOTE | USER | WRITE,
      REMOTE | USER | WRITE,
      REMOTE | USER | INSTRUCTION,
      REMOTE,
      REMOTE | WRITE,
    ]);
  });

  it.each([
    [FAULT_RESULT.OOM, 1],
    [FAULT_RESULT.SIGBUS, 1],
    [FAULT_RESULT.SIGSEGV, 1],
    [FAULT_RESULT.HWPOISON, 1],
    [FAULT_RESULT.FALLBACK, 1],
    [FAULT_RESULT.MAJOR, 0],
    [FAULT_RESULT.MAJOR | FAULT_RESULT.SIGBUS, 1],
    [0, 0],
  ])('answers fault result 0x%s with code %i (PF-4)', (result, code) => {
    class Canned extends PageFaults {
      override *handleMmFault(_mm: Mm, _vma: Vma): Coroutine<number> {
        return result;
      }
    }
    const { core, queue, device, answers, act } = bench({ parts: { ...coreParts, PageFaults: Canned } });
    act(function* () {
      const { mm, address } = yield* boundMm(core, 1);
      yield* core.faults.report(device, pageRequest({ address }));
      yield* queue.flush();
      yield* unbound(core, mm);
    });
    expect(answers).toEqual([`group 0: ${code}`]);
  });

  it('answers every group exactly once, and leaks nothing, whichever allocation fails (IOPF-8, INV-3)', () => {
    let failures = 0;
    for (let n = 1; n < 40; n++) {
      const { core, kernel, queue, device, answers, act, baseline } = bench();
      const driverAnswered: number[] = [];
      act(function* () {
        const { mm, address } = yield* boundMm(core, 6);
        kernel.injection.failAt = kernel.injection.state.count + n;
        for (let i = 0; i < 6; i++) {
          const request = pageRequest({ address: address + BigInt(i * 4096), group: i >> 1, last: i % 2 === 1 });
          const code = yield* codeOf(core.faults.report(device, request));
          if (code === 'none') continue;
          expect(code).toBe('ENOMEM');
          failures++;
          if (request.last) driverAnswered.push(request.group);
        }
        yield* queue.flush();
        kernel.injection.failAt = 0;
        yield* unbound(core, mm);
      });
      const groups = [...answers.map((answer) => Number(answer[6])), ...driverAnswered].sort();
      expect(groups).toEqual([0, 1, 2]);
      expect(census(core)).toEqual(baseline);
    }
    // Three partial requests, three waits for an answer, three groups.
    expect(failures).toBe(9);
  });

  it('discards the requests of incomplete groups on overflow, and nothing else (IOPF-10, IOPF-15)', () => {
    const { core, queue, device, answers, log, act, baseline } = bench();
    act(function* () {
      const { mm, address } = yield* boundMm(core, 3);
      yield* core.faults.report(device, pageRequest({ address, group: 1, last: false }));
      yield* core.faults.report(device, pageRequest({ address, group: 2, last: false }));
      yield* core.faults.report(device, pageRequest({ address: address + 4096n, group: 2 }));
      yield* queue.discardPartial();
      yield* queue.flush();
      yield* core.faults.report(device, pageRequest({ address: address + 8192n, group: 1 }));
      yield* queue.flush();
      yield* unbound(core, mm);
    });
    expect(answers).toEqual(['group 2: 0', 'group 1: 0']);
    expect(log).toContain('iopf_discard: dev=0000:00:03.0 pages=1');
    expect(log.filter((line) => line.startsWith('iopf_group')).map((line) => line.split(' ')[4])).toEqual([
      'pages=2',
      'pages=1',
    ]);
    expect(census(core)).toEqual(baseline);
  });

  it('flushes what is queued when it is called, not what comes later (IOPF-11)', () => {
    const { core, kernel, queue, device, answers, run, baseline } = bench();
    kernel.spawn('irq', function* () {
      const { mm, address } = yield* boundMm(core, 8);
      for (let i = 0; i < 4; i++) {
        yield* core.faults.report(device, pageRequest({ address: address + BigInt(i * 4096), group: i }));
      }
      yield* queue.flush();
      expect(answers.length).toBeGreaterThanOrEqual(4);
      yield* core.faults.report(device, pageRequest({ address: address + 4n * 4096n, group: 4 }));
      yield* queue.flush();
      expect(answers).toHaveLength(5);
      yield* unbound(core, mm);
    });
    expect(run(new RandomChooser(3)).end).toBe('finished');
    expect(census(core)).toEqual(baseline);
  });

  it('reports a flush from one of its own workers, which would wait for itself (IOPF-12)', () => {
    class Flushing extends IopfQueue {
      override *putMm(mm: Mm): Coroutine<void> {
        yield* this.flush();
        yield* super.putMm(mm);
      }
    }
    const { core, kernel, device, run } = bench({ Queue: Flushing });
    kernel.spawn('irq', function* () {
      const { address } = yield* boundMm(core, 1);
      yield* core.faults.report(device, pageRequest({ address }));
    });
    expect(run()).toMatchObject({ end: 'violation', violation: { invariant: 'INV-10', task: 'fault-worker/1' } });
  });

  it('takes a device once, and only one that an IOMMU translates for and that somebody answers (IOPF-16)', () => {
    const { core, kernel, queue, device } = bench();
    const other = new IopfQueue(core, 'other');
    const driver = answeringDriver([]);
    const code = (wanted: string): Error => expect.objectContaining({ code: wanted }) as unknown as Error;
    for (const taken of [queue, other]) expect(() => taken.addDevice(device, driver)).toThrowError(code('EBUSY'));
    expect(() => queue.addDevice(nominalDevice(kernel, 'none', []), driver)).toThrowError(code('ENODEV'));
    expect(() => queue.addDevice(nominalDevice(kernel, 'mute'), null)).toThrowError(code('ENODEV'));
  });

  it('lets go of an idle device with its incomplete groups, and refuses a strange one (IOPF-17)', () => {
    const { core, kernel, queue, device, answers, act, baseline } = bench();
    const other = nominalDevice(kernel, '0000:00:04.0');
    act(function* () {
      expect(yield* codeOf(queue.removeDevice(other))).toBe('EINVAL');
      expect(() => queue.flush(other)).toThrowError(expect.objectContaining({ code: 'ENODEV' }));
      const { mm, address } = yield* boundMm(core, 2);
      yield* core.faults.report(device, pageRequest({ address, group: 3, last: false }));
      yield* queue.flush(device);
      yield* queue.removeDevice(device);
      expect(yield* codeOf(queue.removeDevice(device))).toBe('EINVAL');
      expect(() => queue.flush(device)).toThrowError(expect.objectContaining({ code: 'ENODEV' }));
      expect(yield* codeOf(core.faults.report(device, pageRequest({ address, group: 3 })))).toBe('ENODEV');
      yield* unbound(core, mm);
      yield* kernel.rcu.synchronize();
      expect(live(census(core))).toEqual({ ...live(baseline), 'slab fault data': 0 });
      queue.addDevice(device, answeringDriver(answers));
    });
    expect(answers).toEqual([]);
    expect(census(core)).toEqual(baseline);
  });

  it('answers every group of two address spaces once, and leaks nothing, under any schedule', () => {
    const firsts = new Set<string>();
    for (let seed = 1; seed <= 150; seed++) {
      const { core, kernel, queue, device, answers, run, baseline } = bench();
      const dead = { count: 0 };
      for (const p of [0, 1]) {
        kernel.spawn(`process-${p}`, function* () {
          const { mm, address } = yield* boundMm(core, 3);
          core.mms.grab(mm);
          for (let i = 0; i < 3; i++) {
            const about = {
              pasid: mm.pasid,
              address: address + BigInt(i * 4096),
              group: p * 10 + (i >> 1),
              last: i > 0,
            };
            yield* core.faults.report(device, pageRequest(about));
          }
          yield* core.mms.put(mm, 'exit-mm');
          yield* queue.flush();
          core.sva.freePasid(mm);
          core.mms.drop(mm);
          dead.count++;
        });
      }
      expect(run(new RandomChooser(seed)).end).toBe('finished');
      expect(answers.map((answer) => answer.slice(0, -3)).sort()).toEqual([
        'group 0',
        'group 1',
        'group 10',
        'group 11',
      ]);
      for (const answer of answers) firsts.add(answer.slice(-1));
      expect(dead.count).toBe(2);
      expect(census(core)).toEqual(baseline);
    }
    expect([...firsts].sort()).toEqual(['0', '1']);
  });

  it('starts a run after a checkpoint as it did after boot, whatever the last run left', () => {
    const { core, kernel, device, answers, run } = bench();
    const checkpoint = kernel.checkpoints.take();
    const traces: string[][] = [];
    kernel.trace.add({
      event: ({ point, record, task, step }) =>
        traces.at(-1)!.push(`${step} ${task} ${point.name} ${point.format(record)}`),
    });
    for (let i = 0; i < 2; i++) {
      checkpoint.restore();
      answers.length = 0;
      traces.push([]);
      kernel.spawn('irq', function* () {
        const { address } = yield* boundMm(core, 2);
        // Left behind on purpose: a partial request, a pending group, an address space.
        yield* core.faults.report(device, pageRequest({ address, group: 4, last: false }));
        yield* core.faults.report(device, pageRequest({ address, group: 5 }));
      });
      expect(run(new RandomChooser(7)).end).toBe('finished');
      expect(core.faults.byDevice.get(device)!.partial).toHaveLength(1);
    }
    expect(traces[0]).not.toEqual([]);
    expect(traces[1]).toEqual(traces[0]);
    checkpoint.restore();
    expect(core.faults.byDevice.get(device)!.partial).toHaveLength(0);
  });
});
