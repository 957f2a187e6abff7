import type { FrameMemory, Kernel } from '@iommukit/kernel';
import { Oracles } from '@iommukit/oracles';

/** Every oracle; a probe may ask for one page as often as its test likes (INV-6). */
export class KitOracles extends Oracles {
  readonly probes: ReadonlySet<string>;
  /** INV-5 is judged. */
  readonly quiet: boolean;
  /** What was recorded in this run, of whatever kind. */
  readonly recorded: string[] = [];

  constructor(kernel: Kernel, memory: FrameMemory, probes: ReadonlySet<string>, quiet: boolean) {
    super(kernel, memory);
    this.probes = probes;
    this.quiet = quiet;
    kernel.checkpoints.keepList(this.recorded);
  }

  override event(agent: string, stream: number, pasid: number, name: string, stalled: boolean): void {
    this.recorded.push(name);
    if (this.quiet) super.event(agent, stream, pasid, name, stalled);
  }

  override faultAccepted(device: string, pasid: number, group: number, last: boolean, page: number): void {
    if (this.probes.has(device)) this.responses.accepted(device, pasid, group, last);
    else super.faultAccepted(device, pasid, group, last, page);
  }

  override faultAnswered(device: string, pasid: number, group: number, code: number): void {
    if (this.probes.has(device)) this.responses.answered(device, pasid, group);
    else super.faultAnswered(device, pasid, group, code);
  }
}
