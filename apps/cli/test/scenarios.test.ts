import { describe, expect, it } from 'vitest';
import { iommukit, lines } from './support.js';

/** A scenario's trace with every event, as kernel trace text, and its exit code. */
async function traceOf(
  scenario: string,
  ...flags: string[]
): Promise<{ code: number; events: string[]; stderr: string }> {
  const { code, stdout, stderr } = await iommukit('run', scenario, '--trace', 'ftrace', '--events', 'all', ...flags);
  return { code, events: lines(stdout), stderr };
}

/** The places of the events that match, in their order. */
const placesOf = (events: readonly string[], ...wanted: RegExp[]): number[] =>
  wanted.map((pattern) => events.findIndex((event) => pattern.test(event)));

const ascending = (places: readonly number[]): boolean =>
  places.every((place, i) => place >= 0 && (i === 0 || place > places[i - 1]!));

describe('permission-upgrade (MN-14, MN-15, L41)', () => {
  it.each([
    ['the fault path notifies', []],
    ['the driver flushes before it answers', ['--set', 'upgrade=flush-before-response']],
    ['CPUs broadcast', ['--set', 'upgrade=none', '--set', 'btm=on']],
    ['hardware looks again at what forbids an access', ['--set', 'upgrade=none', '--set', 'cache-ro=off']],
  ])('ends where %s', async (_who, flags) => {
    const { code, events } = await traceOf('permission-upgrade', ...flags);
    expect(code).toBe(0);
    expect(events.filter((event) => event.startsWith('dev_page_response')).length).toBe(1);
  });

  it('faults for ever where nobody tells the caches (INV-6)', async () => {
    const { code, stdout } = await iommukit('run', 'permission-upgrade', '--set', 'upgrade=none');
    expect(stdout).toMatch(/verdict +1 finding\n/);
    expect(stdout).toMatch(/INV-6 +at step \d+, fault-worker\/\d: 0000:00:03\.0 is told 5 times/);
    expect(code).toBe(1);
  });
});

describe('permission-upgrade on VT-d, whose cache looks again unless cache-ro=on (MN-14, L41)', () => {
  const on = (...set: string[]): string[] => ['--backend', 'vtd', ...set.flatMap((each) => ['--set', each])];
  const RO = 'cache-ro=on';

  it.each([
    ['the fault path notifies', [RO]],
    ['the driver flushes before it answers', [RO, 'upgrade=flush-before-response']],
    ['the interrupt thread flushes before it answers', [RO, 'upgrade=flush-before-response', 'vtd.prq-handler=thread']],
    ['so in the extended-context mode', [RO, 'upgrade=flush-before-response', 'vtd.mode=ecs']],
    ['hardware looks again at what forbids an access', ['upgrade=none']],
    ['so in the extended-context mode', ['upgrade=none', 'vtd.mode=ecs']],
    ['hardware marks pages itself, and looks again', ['upgrade=none', 'hw-af-dirty=on']],
  ])('ends where %s: %j', async (_who, set) => {
    const { code, events } = await traceOf('permission-upgrade', ...on(...set));
    expect(code).toBe(0);
    expect(events.filter((event) => event.startsWith('dev_page_response')).length).toBe(1);
  });

  it.each([
    [RO, 'upgrade=none'],
    [RO, 'upgrade=none', 'vtd.mode=ecs'],
    [RO, 'upgrade=none', 'vtd.prq-handler=thread'],
    [RO, 'upgrade=none', 'hw-af-dirty=on'],
    [RO, 'upgrade=none', 'gait=stepwise'],
  ])('faults for ever where nobody tells the caches (INV-6): %s %s %s', async (...set) => {
    const { code, stdout } = await iommukit('run', 'permission-upgrade', ...on(...set));
    expect(stdout).toMatch(/verdict +1 finding\n/);
    expect(stdout).toMatch(/INV-6 +at step \d+, .*: 0000:00:03\.0 is told 5 times/);
    expect(code).toBe(1);
  });
});

describe('what each scenario is about', () => {
  it('stall-job: waits in the SMMU, and is answered under its tag (FEAT-5, SMMU-31)', async () => {
    const { code, events } = await traceOf('stall-job');
    expect(code).toBe(0);
    const faults = events.filter((event) => event.startsWith('dev_fault: IOMMU:accelerator@a000000 '));
    expect(faults.length).toBe(2);
    expect(events.some((event) => event.startsWith('engine_translate'))).toBe(false);
  });

  it('fork-cow: tells the caches before the child can run, and what is written later stays the parent’s (MN-13, L42)', async () => {
    const { code, events } = await traceOf('fork-cow');
    expect(code).toBe(0);
    expect(ascending(placesOf(events, /^mm_fork:/, /^process_exit: comm=child/))).toBe(true);
    const fork = placesOf(events, /^mm_fork:/)[0]!;
    const told = events.slice(0, fork).some((event) => event.startsWith('smmu_mm_invalidate: pasid=1 '));
    expect(told, 'an invalidation before the fork is through').toBe(true);
  });

  it('overflow: loses requests, drops the group without its end, and gets every page (IOPF-15, SMMU-33)', async () => {
    const { code, events } = await traceOf('overflow');
    expect(code).toBe(0);
    expect(ascending(placesOf(events, /^smmu_overflow: .*PRIQ/, /^iopf_discard: /, /^dev_page_response: /))).toBe(true);
  });

  it('exec: the old PASID is INVALID until it is unbound, the new program gets its own (MM-11, L13)', async () => {
    const { code, events } = await traceOf('exec');
    expect(code).toBe(0);
    const steps = [/^process_exec:/, /^smmu_mm_release: pasid=1$/, /^smmu_unbind_free: .*pasid=1$/];
    expect(ascending(placesOf(events, ...steps))).toBe(true);
    expect(events.filter((event) => event.startsWith('smmu_bind_alloc')).length).toBe(2);
  });

  it('private-and-shared-asid: the number of a process is seized (TLB-7, L47)', async () => {
    const { code, events } = await traceOf('private-and-shared-asid');
    expect(code).toBe(0);
    const [seize, bind] = placesOf(events, /^smmu_asid_seize: .*asid=1 moved=2/, /^smmu_bind_alloc/);
    expect(ascending([seize!, bind!])).toBe(true);
    expect(events.slice(bind).some((event) => /^engine_job: dev=0000:00:04\.0 .*done$/.test(event))).toBe(true);
  });

  it('asid-rollover: a new generation begins, and the device of a pinned number goes on (ASID-6, ASID-10)', async () => {
    const { code, events } = await traceOf('asid-rollover');
    expect(code).toBe(0);
    const rollover = placesOf(events, /^asid_rollover: generation=2 pinned=1$/)[0]!;
    expect(rollover).toBeGreaterThan(0);
    expect(events.slice(rollover).some((event) => event.startsWith('engine_job: ') && event.endsWith('done'))).toBe(
      true,
    );
  });

  it('htt-update: nothing faults where the SMMU marks pages by itself, and without it the device has to ask (PF-10)', async () => {
    const { code, events } = await traceOf('htt-update');
    expect(code).toBe(0);
    expect(events.some((event) => event.startsWith('dev_fault'))).toBe(false);
    const without = await traceOf('htt-update', '--set', 'smmuv3.httu=off', '--set', 'hw-af-dirty=off');
    expect(without.code).toBe(0);
  });

  it('htt-update: VT-d marks entries of the first stage in any case, as x86 CPUs do (PF-10)', async () => {
    for (const set of ['on', 'off']) {
      const { code, events } = await traceOf('htt-update', '--backend', 'vtd', '--set', `hw-af-dirty=${set}`);
      expect([code, events.filter((event) => event.startsWith('dev_fault'))]).toEqual([0, []]);
    }
    const { code, stderr } = await iommukit('run', 'htt-update', '--backend', 'vtd', '--set', 'nothing=1');
    expect(stderr).toMatch(/ {2}hw-af-dirty: off or on, else off\n +second-stage tables may have .*\(ECAP\.SLADS\)/);
    expect(code).toBe(2);
  });

  it('dying-process-quiet: asks after the release, and nothing unrecoverable is recorded (INV-5, SVA-9)', async () => {
    const { code, events } = await traceOf('dying-process-quiet');
    expect(code).toBe(0);
    const [release, unbind] = placesOf(events, /^smmu_mm_release: pasid=1$/, /^smmu_unbind_free/);
    const between = events.slice(release, unbind);
    expect(between.filter((event) => /^dev_page_response: .*code=1 pasid=1/.test(event)).length).toBeGreaterThan(2);
    expect(events.some((event) => event.startsWith('smmu_event'))).toBe(false);
  });

  it('recursive-file-reference: the mapping’s end closes the file, whose release unbinds (MM-7, L01)', async () => {
    const { code, events } = await traceOf('recursive-file-reference');
    expect(code).toBe(0);
    const steps = [
      /^process_exit/,
      /^mm_exit_mmap/,
      /^smmu_mm_release/,
      /^file_release/,
      /^smmu_unbind_free/,
      /^mm_free/,
    ];
    expect(ascending(placesOf(events, ...steps))).toBe(true);
  });

  it('narrow-device: two processes, two numbers, and the narrow device serves the first (IOASID-19, L28)', async () => {
    const { code, events } = await traceOf('narrow-device');
    expect(code).toBe(0);
    const binds = events.filter((event) => event.startsWith('smmu_bind_alloc'));
    expect(binds).toEqual([
      'smmu_bind_alloc: dev=0000:00:03.0 pasid=1',
      'smmu_bind_alloc: dev=0000:00:04.0 pasid=1',
      'smmu_bind_alloc: dev=0000:00:03.0 pasid=2',
    ]);
  });

  it('prq-overflow: loses requests, drops the group without its end, and gets every page on VT-d (IOPF-15)', async () => {
    const { code, events } = await traceOf('prq-overflow', '--backend', 'vtd');
    expect(code).toBe(0);
    expect(ascending(placesOf(events, /^vtd_prq_overflow/, /^iopf_discard: /, /^dev_page_response: /))).toBe(true);
    // In the extended-context mode nothing waits in groups: the interrupt thread answers each request.
    const extended = await traceOf('prq-overflow', '--backend', 'vtd', '--set', 'vtd.mode=ecs');
    expect(extended.code).toBe(0);
    expect(ascending(placesOf(extended.events, /^vtd_prq_overflow: .*detected/, /^vtd_prq_overflow: .*cleared/))).toBe(
      true,
    );
  });

  it('a scenario that is not for a backend says why, with exit code 2', async () => {
    const { code, stderr } = await iommukit('run', 'stall-job', '--backend', 'vtd');
    expect(stderr).toMatch(/stall-job does not run on vtd: transactions never wait there/);
    expect(code).toBe(2);
  });
});
