import { assert } from './errors.js';
import type { Kernel } from './kernel.js';

/** Saves one service's state, and returns how to restore it; the restorer may be called any number of times. */
export interface Keeper {
  save(): () => void;
}

/** A machine at rest, as it was. */
export interface Checkpoint {
  readonly restore: () => void;
}

type Bag = Record<string, unknown>;

/** Checkpoints of a machine at rest: a schedule then costs its own steps and not a boot. */
export class Checkpoints {
  readonly kernel: Kernel;
  readonly keepers: Keeper[] = [];
  taken = false;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Keeps a service's state by its own means. What is made after the checkpoint dies with the run, and is not kept. */
  add(keeper: Keeper): void {
    if (!this.taken) this.keepers.push(keeper);
  }

  /** Keeps a plain record: its own fields, by value, and what its Maps, Sets, arrays and typed arrays hold (one level). */
  keep<T extends object>(record: T): T {
    this.add({ save: () => saveRecord(record as Bag) });
    return record;
  }

  /** Keeps the elements of an array. */
  keepList<T>(list: T[]): T[] {
    this.add({ save: () => saveContainer(list) });
    return list;
  }

  /** Keeps the entries of a Map. */
  keepMap<K, V>(map: Map<K, V>): Map<K, V> {
    this.add({ save: () => saveContainer(map) });
    return map;
  }

  /** @throws an assertion if the machine is not at rest, or has a checkpoint already */
  take(): Checkpoint {
    const kernel = this.kernel;
    assert(kernel.atRest, 'a checkpoint is taken of a machine at rest only');
    assert(!this.taken, 'a machine has one checkpoint, taken after its boot');
    this.taken = true;
    const tasks = [...kernel.tasks];
    const slabs = [...kernel.slabs.all];
    const { nextTask, nextObject } = kernel;
    const restorers = this.keepers.map((keeper) => keeper.save());
    return {
      restore: () => {
        assert(kernel.current === null, 'a checkpoint is restored between runs');
        refill(kernel.tasks, tasks);
        for (const task of tasks) task.reset();
        refill(kernel.slabs.all, slabs);
        refill(kernel.ready, []);
        kernel.chosen = null;
        kernel.watchers.clear();
        kernel.mustYield = false;
        kernel.nextTask = nextTask;
        kernel.nextObject = nextObject;
        for (const restore of restorers) restore();
      },
    };
  }
}

function saveRecord(record: Bag): () => void {
  const keys = Object.keys(record);
  const values = keys.map((key) => record[key]);
  const inner = values.filter(isContainer).map(saveContainer);
  return () => {
    for (let i = 0; i < keys.length; i++) record[keys[i]!] = values[i];
    for (const restore of inner) restore();
    // A field that the run added would be read by the next one.
    if (countKeys(record) !== keys.length) for (const key in record) if (!keys.includes(key)) delete record[key];
  };
}

function countKeys(record: Bag): number {
  let count = 0;
  for (const _key in record) count++;
  return count;
}

/** The elements that an array had. */
function refill<T>(list: T[], elements: readonly T[]): void {
  if (list.length !== elements.length) list.length = elements.length;
  for (let i = 0; i < elements.length; i++) list[i] = elements[i]!;
}

/** What a checkpoint keeps the content of. */
type Container = Map<unknown, unknown> | Set<unknown> | unknown[] | ArrayBufferView;

/** True for what {@link saveContainer} keeps. */
export function isContainer(value: unknown): value is Container {
  return value instanceof Map || value instanceof Set || Array.isArray(value) || ArrayBuffer.isView(value);
}

/** Saves what a container holds (one level), and returns how to put it back. */
export function saveContainer(value: Container): () => void {
  if (value instanceof Map) {
    const entries = [...value];
    return () => {
      if (value.size !== 0) value.clear();
      for (const [key, entry] of entries) value.set(key, entry);
    };
  }
  if (value instanceof Set) {
    const members = [...value];
    return () => {
      if (value.size !== 0) value.clear();
      for (const member of members) value.add(member);
    };
  }
  if (Array.isArray(value)) {
    const elements = [...value];
    return () => refill(value, elements);
  }
  const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const copy = bytes.slice();
  return () => bytes.set(copy);
}
