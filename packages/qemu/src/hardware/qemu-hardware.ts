import type { PlatformDescription, PlatformPciHost } from '@iommukit/firmware';
import type { InterruptLine, Kernel, MachineBus } from '@iommukit/kernel';
import type { ForeignHardware } from '@iommukit/machine';
import { FSTS, PRS } from '@iommukit/vtd-spec';
import { QemuError } from '../errors.js';
import { QemuMachineBus } from '../machine-bus.js';
import type { Qemu } from '../qemu-machine.js';

/** What VT-d tells of in its fault status: records, their overflow, errors of the invalidation queue (vtd.md 1.8). */
const FAULT_CAUSES =
  (FSTS.f.pfo.maskLo | FSTS.f.ppf.maskLo | FSTS.f.iqe.maskLo | FSTS.f.ice.maskLo | FSTS.f.ite.maskLo) >>> 0;

/** Bytes at the beginning of the PCI window where QEMU's functions have their registers already. */
const TAKEN = 0x100_0000;

/** A status register of VT-d, and the line that stands for its message. */
interface Status {
  readonly offset: number;
  readonly mask: number;
  readonly line: string;
  /** What it said when it was looked at last. */
  seen: number;
}

/** QEMU as the hardware of a machine: drivers run on it as they run on models. */
export class QemuHardware implements ForeignHardware {
  readonly qemu: Qemu;
  /** Its memory is ours: there are no caches in between. */
  readonly coherentWalks = true;
  /** The node name of the IOMMU in the platform description. */
  readonly iommu: string;
  /** VT-d sends messages to the CPU, which nothing shows: its status registers are looked at in their place. */
  readonly statuses: readonly Status[];
  line: (device: string, name: string) => InterruptLine | null = () => null;

  /** @throws QemuError ABSENT when the platform describes no IOMMU where QEMU has one */
  constructor(qemu: Qemu, platform: PlatformDescription) {
    const node = platform.nodes.find(
      ({ kind, ...rest }) => kind === 'iommu' && 'base' in rest && rest.base === qemu.iommu.base,
    );
    if (node === undefined) {
      throw new QemuError(
        'ABSENT',
        `the platform '${platform.model}' has no IOMMU at 0x${qemu.iommu.base.toString(16)}`,
        {
          remedy: "use the platform that describes QEMU's machine",
        },
      );
    }
    this.qemu = qemu;
    this.iommu = node.name;
    const status = (offset: number, mask: number, line: string): Status => ({ offset, mask, line, seen: 0 });
    this.statuses =
      qemu.spec.arch === 'x86_64'
        ? [status(FSTS.offset, FAULT_CAUSES, 'fault'), status(PRS.offset, PRS.f.ppr.maskLo, 'page-request')]
        : [];
  }

  get name(): string {
    return `QEMU ${this.qemu.version.text} (${this.qemu.kind})`;
  }

  bus(kernel: Kernel): MachineBus {
    return new QemuMachineBus(kernel, this.qemu);
  }

  connect(line: (device: string, name: string) => InterruptLine | null): void {
    this.line = line;
  }

  news(): boolean {
    return [this.takeLines(), this.lookAtStatus()].some((told) => told);
  }

  /** Edges of the lines that QEMU shows. */
  takeLines(): boolean {
    const { interception } = this.qemu.spec;
    let told = false;
    for (const { line, raised } of this.qemu.takeInterrupts()) {
      const name = interception?.lines[line];
      if (!raised || name === undefined) continue;
      this.line(this.iommu, name)?.pulse();
      told = true;
    }
    return told;
  }

  /** A status that changed, with something pending: an event that would have come as a message. */
  lookAtStatus(): boolean {
    let told = false;
    for (const status of this.statuses) {
      const now = (this.qemu.bus.load32(this.qemu.iommu.base + status.offset) & status.mask) >>> 0;
      if (now !== 0 && now !== status.seen) {
        this.line(this.iommu, status.line)?.pulse();
        told = true;
      }
      status.seen = now;
    }
    return told;
  }

  pass(ns: number): number {
    this.qemu.clockStep(Math.ceil(ns));
    return ns;
  }
}

/**
 * What firmware says of a machine, as QEMU has it: RAM as much as it was given, and windows for PCI memory that begin
 * behind what its functions have.
 */
export function platformOfQemu(platform: PlatformDescription, qemu: Qemu): PlatformDescription {
  const { base, bytes } = qemu.spec.window;
  const room = {
    cpu: base + TAKEN,
    pci: base + TAKEN,
    bytes: bytes - TAKEN,
    space: 'mem32',
    prefetchable: false,
  } as const;
  const host = (node: PlatformPciHost): PlatformPciHost => ({
    ...node,
    windows: [room],
    ecam: { ...node.ecam, base: qemu.spec.ecam },
  });
  return {
    ...platform,
    memory: qemu.memory.ranges.map((range) => ({ base: range.base, bytes: range.bytes })),
    reserved: [],
    nodes: platform.nodes.map((node) => (node.kind === 'pci-host' ? host(node) : node)),
  };
}
