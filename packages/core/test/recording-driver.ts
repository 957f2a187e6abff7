import type { Coroutine } from '@iommukit/kernel';
import type { Device, FaultData, FaultHandler, IommuDriver, PageRequest, PageResponse } from '../src/index.js';

/** An IOMMU driver that only writes down its answers. */
export function recordingDriver(log: string[]): IommuDriver {
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
    *respond(device: Device, { pasid, group, code }: PageResponse): Coroutine<void> {
      log.push(`${device.name}: pasid ${pasid} group ${group} code ${code}`);
    },
  };
}

/** A handler that only keeps what it gets. */
export class KeepingHandler implements FaultHandler {
  readonly requests: PageRequest[] = [];
  readonly abandoned: number[] = [];
  refuse: Error | null = null;

  readonly tickets: number[] = [];

  queueFault(_data: FaultData, request: PageRequest, ticket: number): boolean {
    if (this.refuse !== null) throw this.refuse;
    this.requests.push(request);
    this.tickets.push(ticket);
    return false;
  }

  abandonGroup(_data: FaultData, group: number): void {
    this.abandoned.push(group);
  }
}

/** A page request for one page, last of its group unless said otherwise. */
export function pageRequest(about: Partial<PageRequest> = {}): PageRequest {
  return { pasid: 1, group: 0, address: 0n, perm: 2, last: true, privateData: null, ...about };
}
