import type { Coroutine, Task } from '@iommukit/kernel';
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

  constructor(reports: FaultReports) {
    const { kernel, settings } = reports.core;
    this.reports = reports;
    this.ns = Number(settings['iopf-timeout'] ?? 0) * 1e9;
    this.task = this.ns > 0 ? kernel.daemon('fault-timeouts', () => this.work()) : null;
  }

  start(pending: PendingGroup): void {
    pending.timer = this.reports.core.kernel.clock.after(this.ns, () => this.expire(pending));
  }

  stop(pending: PendingGroup): void {
    this.reports.core.kernel.clock.cancel(pending.timer!);
  }

  expire(pending: PendingGroup): void {
    pending.expired = true;
    this.reports.core.kernel.kick(this.task!);
  }

  *work(): Coroutine<void> {
    for (let late = this.next(); late !== null; late = this.next()) yield* this.drop(late);
  }

  next(): PendingGroup | null {
    return this.reports.pending.find((pending) => pending.expired) ?? null;
  }

  /** Answers the group, unless its handler was faster after all. */
  *drop(pending: PendingGroup): Coroutine<void> {
    const { data } = pending;
    this.reports.get(data);
    const lock = yield* data.lock.acquire();
    try {
      if (this.next() === pending) yield* this.answer(pending);
    } finally {
      lock.release();
      this.reports.put(data);
    }
  }

  *answer(pending: PendingGroup): Coroutine<void> {
    const { trace } = this.reports.core.kernel;
    const { pasid, group } = pending.request;
    pending.expired = false;
    if (trace.wants(faultTimeout))
      trace.emit(faultTimeout, { dev: pending.data.device.name, pasid, group, seconds: this.ns / 1e9 });
    yield* this.reports.answerExpired(pending);
  }
}
