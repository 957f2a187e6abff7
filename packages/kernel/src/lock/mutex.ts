import type { Kernel } from '../kernel.js';
import type { Step } from '../types.js';
import { ExclusiveLock } from './exclusive-lock.js';

/** A sleeping lock with one owner. */
export class Mutex extends ExclusiveLock {
  readonly sleeps: boolean;

  /** Locks of one class obey one order: name the class after what it protects. */
  constructor(kernel: Kernel, lockClass: string) {
    super(kernel, lockClass);
    this.sleeps = true;
  }

  pause(): Step<void> {
    return this.kernel.park(`the ${this.lockClass} lock`, this);
  }
}
