import type { Kernel } from '@iommukit/kernel';

/** A page that a device has asked for. */
export interface Ask {
  readonly device: string;
  readonly group: number;
  /** Page number within the address space. */
  readonly page: number;
  /** The address space that the PASID stood for when the device asked. */
  readonly space: string;
  /** Software has taken the request, and has not answered it. */
  readonly taken: boolean;
}

/**
 * INV-19: a fault is handled in the address space that owned the PASID when the device issued it. What a device asks for with a PASID
 * that it is not bound to is nobody's, and is not judged.
 */
export class RightMm {
  readonly kernel: Kernel;
  /** `device/PASID` → the address space that the device is bound to. */
  readonly spaces = new Map<string, string>();
  /** PASID → what devices wait for, the oldest first. */
  readonly asks = new Map<number, readonly Ask[]>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keepMap(this.spaces);
    kernel.checkpoints.keepMap(this.asks);
  }

  bound(device: string, pasid: number, space: string): void {
    this.spaces.set(`${device}/${pasid}`, space);
  }

  unbound(device: string, pasid: number): void {
    this.spaces.delete(`${device}/${pasid}`);
  }

  asked(device: string, pasid: number, group: number, page: number): void {
    const space = this.spaces.get(`${device}/${pasid}`);
    if (space === undefined) return;
    this.asks.set(pasid, [...(this.asks.get(pasid) ?? []), { device, group, page, space, taken: false }]);
  }

  /** Software takes a request over, and any other for the page that the hardware has answered and lost. */
  accepted(device: string, pasid: number, group: number, page: number): void {
    this.take(pasid, (ask) => (isOf(ask, device, group) && ask.page === page ? true : ask.taken));
  }

  /** A group is answered: nobody is at work with it any more. */
  answered(device: string, pasid: number, group: number): void {
    this.take(pasid, (ask) => (isOf(ask, device, group) ? false : ask.taken));
  }

  settled(device: string, pasid: number, group: number): void {
    const left = (this.asks.get(pasid) ?? []).filter((ask) => !isOf(ask, device, group));
    if (left.length > 0) this.asks.set(pasid, left);
    else this.asks.delete(pasid);
  }

  handling(pasid: number, group: number, page: number, space: string): void {
    const ask = this.asks.get(pasid)?.find((one) => one.taken && one.group === group && one.page === page);
    if (ask === undefined || ask.space === space) return;
    this.kernel.violate(
      'INV-19',
      `${ask.device} asked for page 0x${page.toString(16)} of PASID ${pasid} when that was ${ask.space}, and it is handled in ${space}`,
    );
  }

  /** Requests with the PASID that software has taken and not answered. */
  taken(pasid: number): readonly Ask[] {
    return (this.asks.get(pasid) ?? []).filter(({ taken }) => taken);
  }

  take(pasid: number, isTaken: (ask: Ask) => boolean): void {
    const asks = this.asks.get(pasid);
    if (asks !== undefined)
      this.asks.set(
        pasid,
        asks.map((ask) => ({ ...ask, taken: isTaken(ask) })),
      );
  }
}

function isOf(ask: Ask, device: string, group: number): boolean {
  return ask.device === device && ask.group === group;
}
