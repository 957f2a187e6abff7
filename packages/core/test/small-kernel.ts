import {
  type Chooser,
  type Coroutine,
  FairChooser,
  FtraceSink,
  Kernel,
  type Outcome,
  PhysicalBus,
  type Settings,
} from '@iommukit/kernel';
import { type Core, type CoreOptions, type CoreParts, coreParts, createCore, type Device } from '../src/index.js';

/** A kernel with 16 MiB of RAM, its core, and everything it traced. */
export interface SmallKernel {
  readonly kernel: Kernel;
  readonly bus: PhysicalBus;
  readonly core: Core;
  readonly log: string[];
  /** What is in use before anything ran. */
  readonly baseline: readonly (readonly [string, number])[];
  run(chooser?: Chooser): Outcome;
  /** Runs `body` as an actor of its own and expects the run to finish. */
  act(body: () => Coroutine<void>, name?: string): void;
}

export const RAM = 0x4000_0000;

export function smallKernel(
  options: { settings?: Settings; cpu?: CoreOptions['cpu']; parts?: Partial<CoreParts> } = {},
): SmallKernel {
  const kernel = new Kernel();
  const bus = new PhysicalBus(kernel, [{ base: RAM, bytes: 16 * 1024 * 1024 }]);
  const core = createCore({
    kernel,
    bus,
    settings: options.settings ?? {},
    cpu: options.cpu ?? {},
    parts: { ...coreParts, ...options.parts },
  });
  const log: string[] = [];
  kernel.trace.add(new FtraceSink((line) => log.push(line)));
  const run = (chooser: Chooser = new FairChooser()): Outcome => {
    kernel.begin(chooser);
    return kernel.run();
  };
  return {
    kernel,
    bus,
    core,
    log,
    baseline: census(core),
    run,
    act(body, name = 'actor') {
      kernel.spawn(name, body);
      const outcome = run();
      if (outcome.end !== 'finished') throw new Error(`the run ended with ${JSON.stringify(outcome)}`);
    },
  };
}

/** Everything that may leak: the core's counts and every slab's. */
export function census(core: Core): readonly (readonly [string, number])[] {
  return [...core.census(), ...core.kernel.slabs.counts().map(([name, live]) => [`slab ${name}`, live] as const)];
}

/** A device that exists in name only. */
export function nominalDevice(kernel: Kernel, name = '0000:00:03.0', streams: readonly number[] = [0x18]): Device {
  const refuse = (): never => {
    throw new Error('this device has no hardware');
  };
  return {
    name,
    kernel,
    streams,
    dma: {
      alloc: refuse,
      free: refuse,
      load64: refuse,
      store64: refuse,
      loadWords: refuse,
      storeWords: refuse,
      until: refuse,
    },
    mmio: [],
    config: null,
    irq: refuse,
    property: () => null,
  };
}
