import type { Kernel } from '@iommukit/kernel';

/** INV-5: between the start of release and the end of unbind no unrecoverable event is recorded for that PASID. */
export class QuietDeath {
  readonly kernel: Kernel;
  readonly dying = new Set<number>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.add({
      save: () => {
        const before = [...this.dying];
        return () => {
          this.dying.clear();
          for (const pasid of before) this.dying.add(pasid);
        };
      },
    });
  }

  releasing(pasid: number): void {
    this.dying.add(pasid);
  }

  unbound(pasid: number): void {
    this.dying.delete(pasid);
  }

  event(agent: string, stream: number, pasid: number, name: string, stalled: boolean): void {
    if (stalled || !this.dying.has(pasid)) return;
    this.kernel.violate(
      'INV-5',
      `${agent} records ${name} for stream 0x${stream.toString(16)}, PASID ${pasid}, whose process is dying: it must end quietly`,
    );
  }
}
