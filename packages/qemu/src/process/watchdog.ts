import { Worker } from 'node:worker_threads';

/** Words of the shared state: how often a wait began, whether one lasts, whether QEMU was killed, whether all is over. */
const BEGUN = 0;
const WAITING = 1;
const KILLED = 2;
const OVER = 3;

/**
 * A read that blocks cannot time out by itself, so another thread watches. Plain JavaScript, for a worker has no loader.
 * It looks eight times within the limit. Its signal goes to the guardian, which is a child of this process and so cannot be
 * anybody else; the guardian ends QEMU, and the read returns.
 */
const WATCH = `
const { workerData: { shared, guardian, limitMs } } = require('node:worker_threads');
const state = new Int32Array(shared);
let [begun, looks] = [-1, 0];
while (Atomics.wait(state, ${OVER}, 0, limitMs / 8) === 'timed-out') {
  const now = Atomics.load(state, ${BEGUN});
  looks = Atomics.load(state, ${WAITING}) === 1 && now === begun ? looks + 1 : 0;
  begun = now;
  if (looks < 8) continue;
  looks = 0;
  Atomics.store(state, ${KILLED}, 1);
  try {
    process.kill(guardian, 'SIGTERM');
  } catch {}
}
`;

/** Told when a wait for QEMU begins and ends. */
export interface Heartbeat {
  begin(): void;
  end(): void;
}

/** Ends a QEMU that has not answered for `limitMs` (within a quarter of it more at most). */
export class Watchdog implements Heartbeat {
  readonly state = new Int32Array(new SharedArrayBuffer(16));
  readonly worker: Worker;

  constructor(guardian: number, limitMs: number) {
    this.worker = new Worker(WATCH, {
      eval: true,
      workerData: { shared: this.state.buffer, guardian, limitMs },
      execArgv: [],
      stdin: false,
    });
    this.worker.unref();
  }

  begin(): void {
    Atomics.add(this.state, BEGUN, 1);
    Atomics.store(this.state, WAITING, 1);
  }

  end(): void {
    Atomics.store(this.state, WAITING, 0);
  }

  /** True if QEMU was killed because it did not answer. */
  get killed(): boolean {
    return Atomics.load(this.state, KILLED) === 1;
  }

  /** Lets the thread end. */
  stop(): void {
    Atomics.store(this.state, OVER, 1);
    Atomics.notify(this.state, OVER);
  }
}
