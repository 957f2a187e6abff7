import { type Coroutine, IommuError, type Slab } from '@iommukit/kernel';
import type { Ioasid, IoasidSet } from './ioasid.js';
import type { IoasidTable } from './ioasid-table.js';

/** A number was allocated, was freed, has its first user, has lost its last one (IOASID-17). */
export type IoasidEvent = 'ALLOC' | 'FREE' | 'BIND' | 'UNBIND';

/** What listeners are told. */
export interface IoasidNotice {
  readonly event: IoasidEvent;
  readonly id: number;
  readonly set: IoasidSet;
  readonly owner: unknown;
}

/** The order in which listeners are told, highest first: who submits stops before who works (IOASID-17). */
export const IOASID_PRIORITY: {
  readonly CPU: number;
  readonly IOMMU: number;
  readonly DEVICE: number;
  readonly LAST: number;
} = Object.freeze({ CPU: 3, IOMMU: 2, DEVICE: 1, LAST: 0 });

/** Who is told of an event, as flags: listeners of everything, listeners of the number's set. */
export const IOASID_CHAIN: { readonly GLOBAL: number; readonly SET: number } = Object.freeze({ GLOBAL: 1, SET: 2 });

/** Told of changes under the allocator's lock: must not sleep and must not call the allocator; that is for deferred work. */
export interface IoasidListener {
  /** One of {@link IOASID_PRIORITY}. */
  readonly priority: number;
  notify(notice: IoasidNotice): void;
}

/** What a listener wants to hear of: a set, or a set with that token, which need not exist yet; neither: everything. */
export interface IoasidScope {
  readonly set?: IoasidSet;
  readonly token?: unknown;
}

/** A listener with its scope. */
export interface IoasidRegistration {
  readonly listener: IoasidListener;
  readonly chain: number;
  readonly set: IoasidSet | null;
  readonly token: unknown;
}

/** Who is told of changes of numbers, and in which order (IOASID-17). */
export class IoasidNotifications {
  readonly ioasid: IoasidTable;
  readonly slab: Slab<IoasidRegistration>;
  /** Highest priority first; equal ones in order of registration. */
  readonly registrations: IoasidRegistration[] = [];

  constructor(ioasid: IoasidTable) {
    const { kernel } = ioasid.core;
    this.ioasid = ioasid;
    this.slab = kernel.slab<IoasidRegistration>('ioasid listener', {
      listener: null as unknown as IoasidListener,
      chain: 0,
      set: null,
      token: undefined,
    });
    kernel.checkpoints.keepList(this.registrations);
  }

  /** @throws IommuError EEXIST for a listener that is registered, ENOMEM */
  *register(listener: IoasidListener, { set, token }: IoasidScope = {}): Coroutine<void> {
    const { lock } = this.ioasid;
    yield* lock.acquire();
    try {
      if (this.find(listener) >= 0) {
        throw new IommuError('EEXIST', 'this listener is registered already', { rule: 'IOASID-17' });
      }
      const chain = set === undefined && token === undefined ? IOASID_CHAIN.GLOBAL : IOASID_CHAIN.SET;
      this.insert(this.slab.alloc({ listener, chain, set: set ?? null, token }));
    } finally {
      lock.leave();
    }
  }

  /** @throws IommuError ENOENT for a listener that is not registered */
  *unregister(listener: IoasidListener): Coroutine<void> {
    const { lock } = this.ioasid;
    yield* lock.acquire();
    try {
      const i = this.find(listener);
      if (i < 0) throw new IommuError('ENOENT', 'this listener is not registered', { rule: 'IOASID-17' });
      this.slab.free(this.registrations.splice(i, 1)[0]!);
    } finally {
      lock.leave();
    }
  }

  /** Listeners that wait for a set which does not exist: no number has it. */
  pending(): readonly IoasidListener[] {
    const sets = new Set([...this.ioasid.records()].map((record) => record.set));
    return this.registrations
      .filter((r) => r.chain === IOASID_CHAIN.SET && ![...sets].some((set) => this.concerns(r, set)))
      .map((r) => r.listener);
  }

  /** Tells everybody whom an event of `record` concerns, in atomic context. */
  announce(event: IoasidEvent, record: Ioasid, chains: number): void {
    if (this.registrations.length === 0) return;
    const { id, set, owner } = record;
    const notice: IoasidNotice = { event, id, set, owner };
    for (const registration of this.registrations) {
      if ((registration.chain & chains) !== 0 && this.concerns(registration, set)) registration.listener.notify(notice);
    }
  }

  // ── steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  find(listener: IoasidListener): number {
    return this.registrations.findIndex((registration) => registration.listener === listener);
  }

  /** Behind everybody of the same or a higher priority. */
  insert(registration: IoasidRegistration): void {
    const { registrations } = this;
    const after = registrations.findIndex((other) => other.listener.priority < registration.listener.priority);
    registrations.splice(after < 0 ? registrations.length : after, 0, registration);
  }

  concerns({ chain, set, token }: IoasidRegistration, of: IoasidSet): boolean {
    return chain === IOASID_CHAIN.GLOBAL || set === of || (token !== undefined && token === of.token);
  }
}
