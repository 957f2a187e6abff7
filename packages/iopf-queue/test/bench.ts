import {
  type Core,
  type CoreParts,
  coreParts,
  createCore,
  type Device,
  type IommuDriver,
  type Mm,
  type PageRequest,
  type PageResponse,
} from '@iommukit/core';
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
import { IopfQueue, type IopfQueueOptions } from '../src/index.js';

/** A core, a queue, one device on it, and what the device was answered. */
export interface Bench {
  readonly kernel: Kernel;
  readonly bus: PhysicalBus;
  readonly core: Core;
  readonly queue: IopfQueue;
  readonly device: Device;
  /** `group 5: 0`. */
  readonly answers: string[];
  readonly log: string[];
  readonly baseline: readonly (readonly [string, number])[];
  run(chooser?: Chooser): Outcome;
  act(body: () => Coroutine<void>, name?: string): void;
}

export function bench(
  options: { parts?: Partial<CoreParts>; Queue?: typeof IopfQueue; queue?: IopfQueueOptions; settings?: Settings } = {},
): Bench {
  const kernel = new Kernel();
  const bus = new PhysicalBus(kernel, [{ base: 0x4000_0000, bytes: 16 * 1024 * 1024 }]);
  const core = createCore({ kernel, bus, settings: options.settings ?? {}, parts: { ...coreParts, ...options.parts } });
  const answers: string[] = [];
  const log: string[] = [];
  kernel.trace.add(new FtraceSink((line) => log.push(line)));
  const queue = new (options.Queue ?? IopfQueue)(core, 'iopf', options.queue ?? {});
  const device = nominalDevice(kernel);
  queue.addDevice(device, answeringDriver(answers));
  const run = (chooser: Chooser = new FairChooser()): Outcome => {
    kernel.begin(chooser);
    return kernel.run();
  };
  return {
    kernel,
    bus,
    core,
    queue,
    device,
    answers,
    log,
    baseline: census(core),
    run,
    act(body, name = 'irq') {
      kernel.spawn(name, body);
      const outcome = run();
      if (outcome.end !== 'finished') throw new Error(`the run ended with ${JSON.stringify(outcome)}`);
    },
  };
}

/** Everything that may leak. */
export function census(core: Core): readonly (readonly [string, number])[] {
  return [...core.census(), ...core.kernel.slabs.counts().map(([name, live]) => [`slab ${name}`, live] as const)];
}

/** A census by name. */
export function live(counts: readonly (readonly [string, number])[]): Record<string, number> {
  return Object.fromEntries(counts);
}

export function nominalDevice(kernel: Kernel, name = '0000:00:03.0', streams: readonly number[] = [0x18]): Device {
  const refuse = (): never => {
    throw new Error('this device has no hardware');
  };
  const dma = {
    alloc: refuse,
    free: refuse,
    load64: refuse,
    store64: refuse,
    loadWords: refuse,
    storeWords: refuse,
    until: refuse,
  };
  return { name, kernel, streams, dma, mmio: [], config: null, irq: refuse, property: () => null };
}

/** A driver that only writes down its answers. */
export function answeringDriver(answers: string[]): IommuDriver {
  const refuse = (): never => {
    throw new Error('this driver only answers');
  };
  return {
    start: refuse,
    probeDevice: refuse,
    releaseDevice: refuse,
    enable: refuse,
    disable: refuse,
    bind: refuse,
    unbind: refuse,
    allocDomain: refuse,
    freeDomain: refuse,
    attach: refuse,
    detach: refuse,
    map: refuse,
    unmap: refuse,
    iovaToPhys: refuse,
    *respond(_device: Device, { group, code }: PageResponse): Coroutine<void> {
      answers.push(`group ${group}: ${code}`);
    },
  };
}

/** A page request, last of its group unless said otherwise. */
export function pageRequest(about: Partial<PageRequest> = {}): PageRequest {
  return { pasid: 1, group: 0, address: 0n, perm: 2, last: true, privateData: null, ...about };
}

/** The error code of what `attempt` throws, or `none`. */
export function* codeOf(attempt: Coroutine<unknown>): Coroutine<string> {
  try {
    yield* attempt;
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
}

/**
 * A process's memory without the process: an mm with PASID 1 and `pages` untouched pages. The caller is its one user.
 */
export function* boundMm(
  core: Core,
  pages: number,
  perm = 3,
): Coroutine<{ readonly mm: Mm; readonly address: bigint }> {
  const mm = core.mms.create();
  core.sva.allocPasid(mm, 1, 0xfffff);
  const address = yield* core.mms.mmap(mm, pages * 4096, perm);
  return { mm, address };
}

/** The end of {@link boundMm}, once nothing refers to the PASID any more. */
export function* unbound(core: Core, mm: Mm): Coroutine<void> {
  core.mms.grab(mm);
  yield* core.mms.put(mm);
  core.sva.freePasid(mm);
  core.mms.drop(mm);
}
