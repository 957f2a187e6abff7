import type { Kernel } from '@iommukit/kernel';

/** INV-3: each accepted group whose last request arrived gets exactly one response; nothing else is answered. */
export class Responses {
  readonly kernel: Kernel;
  /** Groups that are complete and not answered, by device, PASID and group. */
  readonly pending = new Map<string, { readonly device: string; readonly pasid: number; readonly group: number }>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keepMap(this.pending);
  }

  accepted(device: string, pasid: number, group: number, last: boolean): void {
    if (!last) return;
    const key = `${device}/${pasid}/${group}`;
    if (this.pending.has(key)) {
      this.kernel.violate('INV-3', `${device} closes group ${group} of PASID ${pasid} again before it was answered`);
    }
    this.pending.set(key, { device, pasid, group });
  }

  answered(device: string, pasid: number, group: number): void {
    if (this.pending.delete(`${device}/${pasid}/${group}`)) return;
    this.kernel.violate('INV-3', `${device} is answered for group ${group} of PASID ${pasid}, which is not pending`);
  }

  /** What was never answered, when a run ends. */
  unanswered(): readonly string[] {
    return [...this.pending.values()].map(({ device, pasid, group }) => `group ${group} of ${device}, PASID ${pasid}`);
  }
}
