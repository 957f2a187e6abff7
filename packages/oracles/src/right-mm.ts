import type { Kernel } from '@iommukit/kernel';

/** A page that a device has asked for. */
export interface Ask {
  readonly device: string;
  readonly group: number;
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
  /** `PASID/page` → who waits for it, the oldest first. */
  readonly asks = new Map<string, readonly Ask[]>();

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
    const key = `${pasid}/${page}`;
    this.asks.set(key, [...(this.asks.get(key) ?? []), { device, group, space, taken: false }]);
  }

  /** Software takes a request over: the newest of its device, where the hardware has answered and lost older ones. */
  accepted(device: string, pasid: number, group: number, page: number): void {
    this.change(`${pasid}/${page}`, (ask) => (isOf(ask, device, group) ? { ...ask, taken: true } : ask));
  }

  /** A group is answered: nobody is at work with it any more. */
  answered(device: string, pasid: number, group: number): void {
    this.changeAll(pasid, (ask) => (isOf(ask, device, group) ? { ...ask, taken: false } : ask));
  }

  settled(device: string, pasid: number, group: number): void {
    this.changeAll(pasid, (ask) => (isOf(ask, device, group) ? null : ask));
  }

  handling(pasid: number, group: number, page: number, space: string): void {
    const ask = this.asks.get(`${pasid}/${page}`)?.find((other) => other.taken && other.group === group);
    if (ask === undefined || ask.space === space) return;
    this.kernel.violate(
      'INV-19',
      `${ask.device} asked for page 0x${page.toString(16)} of PASID ${pasid} when that was ${ask.space}, and it is handled in ${space}`,
    );
  }

  /** Requests with the PASID that software has taken and not answered. */
  taken(pasid: number): readonly Ask[] {
    return [...this.asks].flatMap(([key, asks]) =>
      key.startsWith(`${pasid}/`) ? asks.filter(({ taken }) => taken) : [],
    );
  }

  changeAll(pasid: number, change: (ask: Ask) => Ask | null): void {
    for (const key of [...this.asks.keys()]) if (key.startsWith(`${pasid}/`)) this.change(key, change);
  }

  change(key: string, change: (ask: Ask) => Ask | null): void {
    const left = (this.asks.get(key) ?? []).map(change).filter((ask) => ask !== null);
    if (left.length > 0) this.asks.set(key, left);
    else this.asks.delete(key);
  }
}

function isOf(ask: Ask, device: string, group: number): boolean {
  return ask.device === device && ask.group === group;
}
