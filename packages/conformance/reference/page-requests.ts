import { type Device, type PageRequest, type PageResponse, RESPONSE } from '@iommukit/core';
import { type Coroutine, isIommuError, type Step } from '@iommukit/kernel';
import { type Link, PRG_RESPONSE } from '@iommukit/pci-ats';
import type { ReferenceDriver } from './driver.js';
import type { PageRequestMessage } from './model.js';

const READ_OR_WRITE = 3;
const PAGE = 4096n;

/** Page requests on their way to the fault queue, and answers on their way to devices. */
export class PageRequests {
  readonly driver: ReferenceDriver;

  constructor(driver: ReferenceDriver) {
    this.driver = driver;
  }

  /** One request, as it arrives. */
  *receive(link: Link, message: PageRequestMessage): Coroutine<void> {
    if (isStopMarker(message)) return;
    const record = this.driver.devices.byStream.get(link.stream);
    const request = this.requestOf(message, record?.pasidInAnswers ?? true);
    const known = this.driver.model.table.find(link.stream, message.pasid) !== null;
    if (record === undefined || !record.iopf || !known) yield* this.refuse(link, request);
    else yield* this.report(link, record.device, request);
  }

  requestOf({ pasid, prgi, page, perm, last }: PageRequestMessage, pasidInAnswers: boolean): PageRequest {
    return {
      pasid: pasid < 0 ? null : pasid,
      group: prgi,
      address: BigInt(page) * PAGE,
      perm,
      last,
      privateData: null,
      needsPasid: pasidInAnswers && pasid >= 0,
    };
  }

  *report(link: Link, device: Device, request: PageRequest): Coroutine<void> {
    try {
      yield* this.driver.core.faults.report(device, request);
    } catch (error) {
      if (!isIommuError(error)) throw error;
      yield* this.refuse(link, request);
    }
  }

  /** Nobody can handle it: the group is answered all the same, at its last request (IOPF-8, IOPF-9, IOPF-24). */
  *refuse(link: Link, { last, needsPasid, pasid, group }: PageRequest): Coroutine<void> {
    if (last) yield* this.answer(link, needsPasid === true ? pasid : null, group, PRG_RESPONSE.INVALID_REQUEST);
  }

  /** The answer of the fault queue. */
  *respond({ streams }: Device, { pasid, group, code }: PageResponse): Coroutine<void> {
    const link = this.driver.model.links.get(streams[0]!);
    if (link !== undefined) yield* this.answer(link, pasid, group, CODES[code]);
  }

  answer(link: Link, pasid: number | null, prgi: number, code: number): Step<void> {
    return link.down({ kind: 'prg-response', pasid: pasid ?? -1, prgi, code });
  }
}

/** As the kernel says it, and as PCI Express does. */
const CODES = {
  [RESPONSE.SUCCESS]: PRG_RESPONSE.SUCCESS,
  [RESPONSE.INVALID]: PRG_RESPONSE.INVALID_REQUEST,
  [RESPONSE.FAILURE]: PRG_RESPONSE.FAILURE,
} as const;

/** The device has asked for the last time; it wants no answer (IOPF-13). */
function isStopMarker({ last, perm, pasid }: PageRequestMessage): boolean {
  return last && pasid >= 0 && (perm & READ_OR_WRITE) === 0;
}
