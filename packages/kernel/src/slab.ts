import type { Kernel } from './kernel.js';

/** Thrown at a touch of a freed object, after the violation was recorded: the run is over. */
export class UseAfterFree extends Error {}

/** One kind of kernel object. No object is recycled while a run lasts: any later touch of a freed one is found. */
export interface Slab<T extends object> {
  readonly name: string;
  /**
   * A fresh object: the declared fields, overridden by `fields`.
   * @throws IommuError ENOMEM when told to fail
   */
  alloc(fields?: Partial<T>): T;
  /** Frees an object; a second free, or any later touch, is a violation (INV-9). */
  free(object: T): void;
  /** Objects allocated and not freed. */
  live(): number;
}

/** The hidden part of an object: field values, a live word, and where it was freed. */
interface Hidden {
  values: unknown[];
  alive: boolean;
  id: number;
  freedBy: string;
  slab: SlabOf<object>;
}

/** Every slab of a kernel, for the baseline. */
export class SlabRegistry {
  readonly kernel: Kernel;
  readonly all: SlabOf<object>[] = [];

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Slabs are declared when the machine is made, one a kind. */
  declare<T extends object>(name: string, fields: T): Slab<T> {
    const slab = new SlabOf<T>(this.kernel, name, fields);
    this.all.push(slab as unknown as SlabOf<object>);
    this.kernel.checkpoints.add(slab);
    return slab;
  }

  /** Name and live count of every slab. */
  counts(): [string, number][] {
    return this.all.map((slab) => [slab.name, slab.live()]);
  }
}

/** The one implementation of {@link Slab}: accessors on a prototype of its own test the live word. */
export class SlabOf<T extends object> implements Slab<T> {
  readonly kernel: Kernel;
  readonly name: string;
  readonly keys: string[];
  readonly defaults: unknown[];
  readonly prototype: object;
  readonly objects = new Set<Hidden>();
  readonly state = { made: 0 };

  constructor(kernel: Kernel, name: string, fields: T) {
    this.kernel = kernel;
    this.name = name;
    this.keys = Object.keys(fields);
    this.defaults = Object.values(fields);
    this.prototype = Object.create(null, Object.fromEntries(this.keys.map((key, i) => [key, accessor(key, i)])));
  }

  alloc(fields: Partial<T> = {}): T {
    this.kernel.injection.allocate(this.name);
    const object = Object.create(this.prototype) as Hidden;
    object.values = this.defaults.slice();
    object.alive = true;
    object.id = ++this.state.made;
    object.freedBy = '';
    object.slab = this as unknown as SlabOf<object>;
    for (const [key, value] of Object.entries(fields)) object.values[this.keys.indexOf(key)] = value;
    this.objects.add(object);
    return object as unknown as T;
  }

  free(object: T): void {
    const hidden = object as unknown as Hidden;
    if (!hidden.alive) {
      this.kernel.violate('INV-9', `${describe(hidden)} is freed twice (first by ${hidden.freedBy})`);
      return;
    }
    hidden.alive = false;
    hidden.freedBy = `${this.kernel.current?.name ?? 'none'} at step ${this.kernel.steps}`;
    this.objects.delete(hidden);
  }

  live(): number {
    return this.objects.size;
  }

  save(): () => void {
    const saved = [...this.objects].map((object) => ({ object, values: object.values.slice() }));
    const { made } = this.state;
    return () => {
      this.state.made = made;
      this.objects.clear();
      for (const { object, values } of saved) {
        for (let i = 0; i < values.length; i++) object.values[i] = values[i];
        object.alive = true;
        this.objects.add(object);
      }
    };
  }
}

function describe(object: Hidden): string {
  return `${object.slab.name} ${object.id}`;
}

function accessor(key: string, index: number): PropertyDescriptor {
  return {
    enumerable: true,
    get(this: Hidden): unknown {
      if (!this.alive) dead(this, key);
      return this.values[index];
    },
    set(this: Hidden, value: unknown) {
      if (!this.alive) dead(this, key);
      this.values[index] = value;
    },
  };
}

function dead(object: Hidden, key: string): never {
  const story = `${describe(object)} was freed by ${object.freedBy}; its ${key} is touched`;
  object.slab.kernel.violate('INV-9', story);
  throw new UseAfterFree(story);
}
