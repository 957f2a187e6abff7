import type { Kernel } from './kernel.js';
import type { Coroutine, Footprint, Step, Task } from './types.js';

/** One TLB maintenance operation, as a CPU broadcasts it. */
export interface TlbInvalidation {
  /** Everything of the exception level; one ASID; pages of one ASID; pages of every ASID. */
  readonly kind: 'all' | 'asid' | 'va' | 'vaa';
  /** The exception level whose translations are meant: entries made for another one stay (TLB-9). */
  readonly level: 'el1' | 'el2';
  readonly vmid: number;
  /** -1 for `all` and `vaa`. */
  readonly asid: number;
  /** First page (address / 4096); 0 for `all` and `asid`. */
  readonly first: number;
  /** Last page, inclusive; 2^52 - 1 for `all` and `asid`. */
  readonly last: number;
  /** Only last-level entries may go; cached table entries stay. */
  readonly leaf: boolean;
}

/** What follows the CPUs' TLB maintenance: another CPU's TLB, an IOMMU's. */
export interface TlbListener {
  readonly name: string;
  /** Applies one message, completely; called by the listener's own daemon `tlbi/<name>`. */
  invalidate(message: TlbInvalidation): Step<void>;
}

/** A listener and what it has not applied yet. */
export interface TlbPort {
  readonly listener: TlbListener;
  readonly queue: TlbInvalidation[];
  readonly footprint: Footprint;
  /** `applied`: as many of the machine's messages as this listener is through with. */
  readonly state: { applied: number };
  readonly task: Task;
}

/**
 * The channel on which CPUs broadcast TLB maintenance. Messages are posted: each listener applies them in order, in a task
 * of its own, as late as the schedule likes; {@link sync} waits for them, as a barrier (DSB) does.
 */
export class TlbBroadcast {
  readonly kernel: Kernel;
  readonly ports: TlbPort[];
  readonly state = { sent: 0 };

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.ports = kernel.checkpoints.keepList([]);
    kernel.checkpoints.keep(this.state);
  }

  /** Adds a listener: it gets what is sent from now on. */
  connect(listener: TlbListener): void {
    const { kernel } = this;
    const port: TlbPort = {
      listener,
      queue: kernel.checkpoints.keepList([]),
      footprint: kernel.footprint(),
      state: kernel.checkpoints.keep({ applied: this.state.sent }),
      task: kernel.daemon(`tlbi/${listener.name}`, () => this.work(port)),
    };
    this.ports.push(port);
  }

  /** Posts a message to every listener; costs nothing where there is none. Allowed in atomic context. */
  send(message: TlbInvalidation): Step<void> {
    const { kernel, ports } = this;
    if (ports.length === 0) return kernel.done(undefined);
    return kernel.at(ports[0]!.footprint, true) ? this.sendLater(message) : kernel.done(this.post(message));
  }

  sendLater(message: TlbInvalidation): Step<void> {
    return this.kernel.pending(() => this.post(message));
  }

  post(message: TlbInvalidation): void {
    this.state.sent++;
    for (const port of this.ports) {
      port.queue.push(message);
      this.kernel.touch(port.footprint, true);
      this.kernel.kick(port.task);
    }
  }

  /** The barrier: returns when every listener has applied everything that was sent before. Allowed in atomic context. */
  *sync(): Coroutine<void> {
    if (this.ports.length === 0) return;
    const { sent } = this.state;
    for (const port of this.ports) yield* this.waitFor(port, sent);
  }

  waitFor({ state, listener, footprint }: TlbPort, sent: number): Step<boolean> {
    const why = `${listener.name} to apply TLB maintenance`;
    return this.kernel.until(footprint, () => state.applied >= sent, why);
  }

  *work(port: TlbPort): Coroutine<void> {
    while (port.queue.length > 0) {
      yield* this.kernel.named('tlbi', port.footprint, true);
      yield* this.deliver(port, port.queue.shift()!);
      port.state.applied++;
      this.kernel.touch(port.footprint, true);
    }
  }

  deliver({ listener }: TlbPort, message: TlbInvalidation): Step<void> {
    return listener.invalidate(message);
  }
}
