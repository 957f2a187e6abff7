import { isContainer, saveContainer } from './checkpoint.js';
import { assert } from './errors.js';
import type { Kernel } from './kernel.js';
import type { Footprint } from './types.js';

/** Thrown at a touch of a freed object, after the violation was recorded: the run is over. */
export class UseAfterFree extends Error {
  constructor(story: string) {
    super(story);
    this.name = 'UseAfterFree';
  }
}

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
  /** Which they are, and who allocated each: the story of a leak. */
  stories(): readonly string[];
}

/** The hidden part of an object, under a key that no field can have. */
const STATE: unique symbol = Symbol('slab object');

interface Hidden {
  [STATE]: ObjectState;
}

/** What the kernel knows of an object. */
class ObjectState {
  readonly slab: SlabOf<object>;
  readonly id: number;
  /** The footprint of the first field; the others follow. */
  readonly footprint: Footprint;
  readonly values: unknown[];
  /** Who allocated it, and when: stories are made of it when they are told. */
  readonly maker: string;
  readonly madeAt: number;
  alive = true;
  /** Who freed it, and when. */
  freer = '';
  freedAt = 0;

  constructor(slab: SlabOf<object>, id: number, footprint: Footprint, values: unknown[]) {
    const { current, steps } = slab.kernel;
    this.slab = slab;
    this.id = id;
    this.footprint = footprint;
    this.values = values;
    this.maker = current?.name ?? 'none';
    this.madeAt = steps;
  }

  free(): void {
    const { current, steps } = this.slab.kernel;
    this.alive = false;
    this.freer = current?.name ?? 'none';
    this.freedAt = steps;
  }

  /** Its run is over. */
  drop(): void {
    this.alive = false;
    this.freer = '';
  }

  get madeBy(): string {
    return `${this.maker} at step ${this.madeAt}`;
  }

  get freedBy(): string {
    return this.freer === '' ? 'the end of its run' : `${this.freer} at step ${this.freedAt}`;
  }

  get name(): string {
    return `${this.slab.name} ${this.id}`;
  }
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

  /** Every live object with who allocated it, in order of allocation within each slab. */
  stories(): readonly string[] {
    return this.all.flatMap((slab) => slab.stories());
  }
}

/** The one implementation of {@link Slab}: accessors on a prototype of its own test the live word. */
export class SlabOf<T extends object> implements Slab<T> {
  readonly kernel: Kernel;
  readonly name: string;
  readonly keys: string[];
  readonly defaults: unknown[];
  readonly prototype: object;
  readonly objects = new Set<ObjectState>();
  readonly state = { made: 0 };

  constructor(kernel: Kernel, name: string, fields: T) {
    this.kernel = kernel;
    this.name = name;
    this.keys = Object.keys(fields);
    this.defaults = Object.values(fields);
    this.prototype = Object.create(null, Object.fromEntries(this.keys.map((key, i) => [key, accessor(key, i)])));
  }

  alloc(fields: Partial<T> = {}): T {
    const { kernel, keys } = this;
    kernel.injection.allocate(this.name);
    const values = this.defaults.slice();
    for (const key in fields) {
      const i = keys.indexOf(key);
      assert(i >= 0, `${this.name} has no field ${key}`);
      values[i] = fields[key];
    }
    const object = Object.create(this.prototype) as Hidden;
    const slab = this as unknown as SlabOf<object>;
    const state = new ObjectState(slab, ++this.state.made, kernel.footprint(keys.length), values);
    object[STATE] = state;
    this.objects.add(state);
    return object as unknown as T;
  }

  free(object: T): void {
    const state = (object as unknown as Hidden)[STATE];
    assert((state?.slab as unknown) === this, `what is freed as a ${this.name} is none`);
    if (!state.alive) {
      this.kernel.violate('INV-9', `${state.name} is freed twice (first by ${state.freedBy})`);
      return;
    }
    for (let i = 0; i < this.keys.length; i++) this.kernel.touch(state.footprint + i, true);
    state.free();
    this.objects.delete(state);
  }

  live(): number {
    return this.objects.size;
  }

  stories(): readonly string[] {
    return [...this.objects].map((state) => `${state.name} was allocated by ${state.madeBy}`);
  }

  /** Objects that live at the checkpoint live again, with their values of then; those of the ended run are dead. */
  save(): () => void {
    const saved = [...this.objects].map(saveObject);
    const { made } = this.state;
    return () => {
      for (const state of this.objects) if (state.id > made) state.drop();
      this.state.made = made;
      this.objects.clear();
      for (const restore of saved) this.objects.add(restore());
    };
  }
}

function saveObject(state: ObjectState): () => ObjectState {
  const values = state.values.slice();
  const inner = values.filter(isContainer).map(saveContainer);
  return () => {
    for (let i = 0; i < values.length; i++) state.values[i] = values[i];
    for (const restore of inner) restore();
    state.alive = true;
    return state;
  };
}

function accessor(key: string, index: number): PropertyDescriptor {
  return {
    enumerable: true,
    get(this: Hidden): unknown {
      const state = this[STATE];
      if (!state.alive) dead(state, key);
      const { kernel } = state.slab;
      if (kernel.listener !== null) kernel.touch(state.footprint + index, false);
      return state.values[index];
    },
    set(this: Hidden, value: unknown) {
      const state = this[STATE];
      if (!state.alive) dead(state, key);
      const { kernel } = state.slab;
      if (kernel.listener !== null) kernel.touch(state.footprint + index, true);
      state.values[index] = value;
    },
  };
}

function dead(state: ObjectState, key: string): never {
  const story = `${state.name} was freed by ${state.freedBy}; its ${key} is touched`;
  state.slab.kernel.violate('INV-9', story);
  throw new UseAfterFree(story);
}
