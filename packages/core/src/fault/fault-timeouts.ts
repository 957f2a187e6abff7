import type { Coroutine, Task, Timer } from '@iommukit/kernel';
import { faultTimeout } from '../tracepoints.js';
import type { PendingGroup } from './fault-data.js';
import type { FaultReports } from './fault-reports.js';

/**
 * How long a group may wait for its answer (IOPF-19): the switch `iopf-timeout`, off by default. A group that runs out of
 * time is answered INVALID, so that its device or its stalled access goes on; the handler's own answer is then refused.
 */
export class FaultTimeouts {
  readonly reports: FaultReports;
  /** The limit in virtual nanoseconds; 0: none. */
  readonly ns: number;
  /** Answers in place of handlers; only there if there is a limit. */
  readonly task: Task | null;
  readonly timers = new Map<PendingGroup, Timer>();
  /** Groups that have run out of time and are not answered. */
  readonly late: PendingGroup[] = [];

  constructor(reports: FaultReports) {
    const { kernel, settings } = reports.core;
    this.reports = reports;
    this.ns = Number(settings['iopf-timeout'] ?? 0) * 1e9;
    this.task = this.ns > 0 ? kernel.daemon('fault-timeouts', () => this.work()) : null;
    kernel.checkpoints.keepMap(this.timers);
    kernel.checkpoints.keepList(this.late);
  }

  start(pending: PendingGroup): void {
    this.timers.set(
      pending,
      this.reports.core.kernel.clock.after(this.ns, () => this.expire(pending)),
    );
  }

  /** The group is answered. */
  stop(pending: PendingGroup): void {
    const timer = this.timers.get(pending);
    if (timer !== undefined) this.reports.core.kernel.clock.cancel(timer);
    this.timers.delete(pending);
    const at = this.late.indexOf(pending);
    if (at >= 0) this.late.splice(at, 1);
  }

  expire(pending: PendingGroup): void {
    this.late.push(pending);
    this.reports.core.kernel.kick(this.task!);
  }

  *work(): Coroutine<void> {
    while (this.late.length > 0) yield* this.drop(this.late[0]!);
  }

  /** Answers the group, unless its handler was faster after all. */
  *drop(pending: PendingGroup): Coroutine<void> {
    const { data } = pending;
    this.reports.get(data);
    const lock = yield* data.route.lock.acquire();
    try {
      if (this.late[0] === pending) yield* this.answer(pending);
    } finally {
      lock.release();
      this.reports.put(data);
    }
  }

  *answer(pending: PendingGroup): Coroutine<void> {
    const { trace } = this.reports.core.kernel;
    const { pasid, group } = pending.request;
    this.late.shift();
    if (trace.wants(faultTimeout))
      trace.emit(faultTimeout, { dev: pending.data.route.device.name, pasid, group, seconds: this.ns / 1e9 });
    yield* this.reports.answerExpired(pending);
  }
}
