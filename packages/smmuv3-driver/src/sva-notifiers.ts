import type { Mm, Subscription } from '@iommukit/core';
import type { Coroutine } from '@iommukit/kernel';
import type { Domain, Master, NotifierObject } from './records.js';
import { SvaCallbacks } from './sva-callbacks.js';

/** Notifier objects: one per (domain, mm), with the mm's context, counted by the bonds that use it (SVA-4, SVA-14). */
export abstract class SvaNotifiers extends SvaCallbacks {
  /** The notifier object of (domain, mm), made and registered if there is none. */
  *getNotifier(master: Master, mm: Mm, withoutPasid = false): Coroutine<NotifierObject> {
    const domain = withoutPasid ? master.home! : master.domain!;
    const make = (made: Subscription): Coroutine<void> => this.makeNotifierObject(domain, made, withoutPasid);
    const ops = withoutPasid ? domain.untaggedNotifier : this.notifierOps(master);
    const subscription = yield* this.smmu.core.notifiers.get(ops, mm, make);
    return subscription.data as NotifierObject;
  }

  /** What makes a notifier the domain's own (MN-2). */
  notifierOps(master: Master): Domain['notifier'] {
    return master.domain!.notifier;
  }

  /** Makes the owner's part of a notifier, complete before it is registered: callbacks may come at once. */
  *makeNotifierObject(domain: Domain, subscription: Subscription, withoutPasid = false): Coroutine<void> {
    const object = this.objects.alloc({ domain, withoutPasid, subscription });
    try {
      object.context = yield* this.smmu.sharedContexts.get(subscription.mm);
      object.asid = object.context.asid;
    } catch (error) {
      this.unwindNotifierObject(object);
      throw error;
    }
    subscription.data = object;
  }

  /** One more bond uses it. */
  addUser(object: NotifierObject): void {
    object.users++;
    if (!this.tracing) return;
    const point = object.users === 1 ? this.points.mnAlloc : this.points.mnGet;
    this.smmu.kernel.trace.emit(point, { pasid: this.pasidOf(object.subscription!) });
  }

  /** True if it was the last. */
  dropUser(object: NotifierObject): boolean {
    const last = --object.users === 0;
    if (this.tracing) {
      const point = last ? this.points.mnFree : this.points.mnPut;
      this.smmu.kernel.trace.emit(point, { pasid: this.pasidOf(object.subscription!) });
    }
    return last;
  }

  /** One user less. The last one lets go of the ASID, which holds the mm for that: the notifier no longer does (SVA-16). */
  *putNotifier(object: NotifierObject): Coroutine<void> {
    const { context } = object;
    const last = this.dropUser(object);
    this.putRegistration(object);
    if (last) yield* this.smmu.sharedContexts.put(context);
  }

  /** The notifier is put, not unregistered: no release comes of this (MN-4). */
  putRegistration(object: NotifierObject): void {
    this.smmu.core.notifiers.put(object.subscription!);
  }

  /** The notifier's grace period is over: no callback uses the object any more (SVA-14). */
  freeNotifierObject(subscription: Subscription): void {
    this.objects.free(subscription.data as NotifierObject);
  }

  // ── a bind that failed ─────────────────────────────────────────────────────────────────────────────────────────

  /** The mm's context goes with the last user; the object itself after the grace period. */
  *unwindNotifier(object: NotifierObject): Coroutine<void> {
    if (object.users === 0) {
      this.markDead(object);
      yield* this.unwindContext(object);
    }
    this.unwindRegistration(object);
  }

  *unwindUser(object: NotifierObject): Coroutine<void> {
    this.dropUser(object);
  }

  unwindContext({ context }: NotifierObject): Coroutine<void> {
    return this.smmu.sharedContexts.put(context);
  }

  unwindRegistration(object: NotifierObject): void {
    this.putRegistration(object);
  }

  unwindNotifierObject(object: NotifierObject): void {
    this.objects.free(object);
  }
}
