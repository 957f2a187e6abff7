import { QemuBus } from './bus.js';
import { isQemuError, QemuError } from './errors.js';
import type { QemuMachineSpec } from './machines/kinds.js';
import { QEMU_MACHINES, type QemuMachineKind } from './machines/machines.js';
import { enumerate, type PciFunction } from './machines/pci.js';
import { type Cpus, commandLine } from './process/command-line.js';
import type { QemuProgram } from './process/find.js';
import { MemoryFile, type RamRange } from './process/memory-file.js';
import { QemuProcess } from './process/qemu-process.js';
import type { QemuVersion } from './process/version.js';
import { type LineChange, QtestClient } from './qtest/client.js';

/** What a start may be told. */
export interface StartOptions {
  /** Guest RAM in bytes, a multiple of 2 MiB; default: what the machine says. */
  readonly memoryBytes?: number;
  /** How long QEMU may take for an answer before it is killed, in ms; default 4000. */
  readonly answerMs?: number;
  /** The folder for the run's temporary folder; default: the system's. */
  readonly temporary?: string;
  /** More arguments for QEMU. */
  readonly arguments?: readonly string[];
}

/** A QEMU that runs as a machine: its bus, its memory, its devices, its interrupts and its clock. */
export interface Qemu {
  readonly kind: QemuMachineKind;
  readonly spec: QemuMachineSpec;
  readonly version: QemuVersion;
  /** Its process (or that of the script that starts it). */
  readonly pid: number;
  readonly client: QtestClient;
  readonly bus: QemuBus;
  readonly memory: MemoryFile;
  /** What is plugged into the root bus, ready to be used. */
  readonly functions: readonly PciFunction[];
  /** The IOMMU's registers. */
  readonly iommu: { readonly base: number; readonly bytes: number };
  /** True if the clock stands still unless it is stepped; false if it runs, as parked CPUs make it. */
  readonly steps: boolean;
  /** Changes of interrupt lines since the last time, oldest first; what they mean is in `spec.interception`. */
  takeInterrupts(): readonly LineChange[];
  /** Advances the virtual clock by `ns`, or to its next timer; does nothing to a clock that runs. */
  clockStep(ns?: number): void;
  /** Ends QEMU and removes its files. Twice does no harm. */
  stop(): void;
}

/** The ranges of RAM of a machine: what lies in a hole is not used. */
export function ramRanges({ ram: { base }, holes }: QemuMachineSpec, bytes: number): RamRange[] {
  const ranges: RamRange[] = [];
  let next = base;
  for (const hole of [...holes, { base: base + bytes, bytes: 0 }]) {
    ranges.push({ base: next, bytes: hole.base - next, fileOffset: next - base });
    next = hole.base + hole.bytes;
  }
  return ranges;
}

/**
 * Starts QEMU as a machine and makes its devices ready. Synchronous. It ends with `stop()`, and with this process at the
 * latest, however that ends.
 * @throws QemuError REFUSED, HUNG, NO_SPACE, DIED: nothing is left then
 */
export function startQemu(program: QemuProgram, kind: QemuMachineKind, options: StartOptions = {}): Qemu {
  const spec: QemuMachineSpec = QEMU_MACHINES[kind];
  if (program.arch !== spec.arch) {
    throw new QemuError('UNUSABLE', `${program.path} is for ${program.arch}, and ${kind} needs ${spec.arch}`);
  }
  const memoryBytes = options.memoryBytes ?? spec.ram.bytes;
  if (memoryBytes % (2 * 2 ** 20) !== 0 || memoryBytes <= 0 || memoryBytes > 2 ** 31) {
    throw new QemuError('UNUSABLE', `no machine has ${memoryBytes} bytes of RAM`, {
      remedy: 'give a multiple of 2 MiB, 2 GiB at most',
    });
  }
  const { answerMs, temporary } = options;
  const start = (cpus: Cpus) =>
    new QemuProcess({
      command: (folder) => commandLine(program, spec, { memoryBytes, cpus, extra: options.arguments ?? [] }, folder),
      memoryBytes,
      parking: cpus === 'none' ? null : spec.parking.bytes,
      ...(answerMs === undefined ? {} : { answerMs }),
      ...(temporary === undefined ? {} : { temporary }),
    });
  const { process, cpus } = startedWithOrWithoutCpus(start);
  try {
    return new RunningQemu(program, kind, process, ramRanges(spec, memoryBytes), cpus);
  } catch (error) {
    process.stop();
    throw error;
  }
}

/** Distributions leave the accelerator out that needs no CPUs, and nothing but a try tells. */
function startedWithOrWithoutCpus(start: (cpus: Cpus) => QemuProcess): { process: QemuProcess; cpus: Cpus } {
  try {
    return { process: start('none'), cpus: 'none' };
  } catch (error) {
    if (!isQemuError(error, 'REFUSED') || !/accelerator.*qtest|qtest.*accelerator/i.test(error.stderr)) throw error;
    return { process: start('parked'), cpus: 'parked' };
  }
}

class RunningQemu implements Qemu {
  readonly kind: QemuMachineKind;
  readonly spec: QemuMachineSpec;
  readonly version: QemuVersion;
  readonly process: QemuProcess;
  readonly client: QtestClient;
  readonly bus: QemuBus;
  readonly memory: MemoryFile;
  readonly functions: readonly PciFunction[];
  readonly iommu: { readonly base: number; readonly bytes: number };
  readonly cpus: Cpus;

  constructor(
    program: QemuProgram,
    kind: QemuMachineKind,
    process: QemuProcess,
    ranges: readonly RamRange[],
    cpus: Cpus,
  ) {
    this.kind = kind;
    this.spec = QEMU_MACHINES[kind];
    this.version = program.version;
    this.cpus = cpus;
    this.process = process;
    this.client = new QtestClient(process.pipes);
    this.memory = new MemoryFile(process.memory, ranges);
    this.bus = new QemuBus(this.client, this.memory);
    this.functions = enumerate(this.bus, this.spec);
    this.iommu = this.spec.iommu ?? this.functionAt('riscv-iommu-pci').bars[0]!;
    this.intercept();
  }

  intercept(): void {
    if (this.spec.interception === null) return;
    const { direction, path, list } = this.spec.interception;
    if (direction === 'in') this.client.interceptInputs(path);
    else this.client.interceptOutputs(path, list ?? 'sysbus-irq');
  }

  functionAt(model: string): PciFunction {
    const slot = this.spec.devices.find((device) => device.model === model)?.slot;
    const found = this.functions.find(({ rid }) => slot !== undefined && rid === slot << 3);
    if (found !== undefined) return found;
    throw new QemuError('ABSENT', `${this.kind} on QEMU ${this.version.text} has no ${model}`);
  }

  get pid(): number {
    return this.process.pid;
  }

  get steps(): boolean {
    return this.cpus === 'none';
  }

  takeInterrupts(): readonly LineChange[] {
    return this.client.takeChanges();
  }

  clockStep(ns?: number): void {
    if (this.steps) this.client.clockStep(ns);
  }

  stop(): void {
    this.process.stop();
  }
}
