import type { Coroutine } from '@iommukit/kernel';
import {
  ECS_PAGE_REQUEST_BYTES,
  EcsPageGroupResponse,
  EcsPageRequest,
  EcsPageStreamResponse,
  FSTS,
  requesterId,
} from '@iommukit/vtd-spec';
import { rightsOf, type WrittenRequest } from '../page-request-record.js';
import { PageRequests } from '../page-requests.js';

const E = EcsPageRequest.f;
const PAGE_BYTES = 4096;
const DEVFN_BITS = 8;

/** An entry of the extended-context mode (vtd.md 4.2). Its answer repeats 23 bits of private data. */
export function readExtendedRequest(words: Uint32Array): WrittenRequest {
  const last = E.lpig.get(words) === 1;
  const data = E.private.get(words);
  return {
    rid: requesterId(E.bus.get(words), E.devfn.get(words)),
    pasid: E.pp.get(words) === 1 ? E.pasid.get(words) : null,
    group: E.prgi.get(words),
    page: E.addr.get(words) / PAGE_BYTES,
    perm: rightsOf(E.rd.get(words), E.wr.get(words), E.exe.get(words), E.priv.get(words)),
    last,
    // A stream response is for requests that are not the last of their group.
    single: !last && E.srr.get(words) === 1,
    echo: data === 0 ? null : [data],
  };
}

/** The page request thread of the extended-context mode: it handles requests itself, and answers streams (VTD-39). */
export class EcsPageRequests extends PageRequests {
  override get entryBytes(): number {
    return ECS_PAGE_REQUEST_BYTES;
  }

  override read(words: Uint32Array): WrittenRequest {
    return readExtendedRequest(words);
  }

  override get inThread(): boolean {
    return true;
  }

  /** The overflow bit is in FSTS (vtd.md 1.8). */
  override *overflowed(): Coroutine<boolean> {
    return FSTS.f.pro.of(yield* this.mmio.read32(FSTS.offset)) === 1;
  }

  /** A fault event that came while the bit was set has not been sent: the fault thread looks again. */
  override *clearOverflow(): Coroutine<void> {
    yield* this.mmio.write32(FSTS.offset, FSTS.pack({ pro: 1 }));
    this.vtd.device.irq('fault').pulse();
  }

  /** The last of a group has a group response (vtd.md 3.10), others a stream response (vtd.md 3.11). */
  override answer(request: WrittenRequest, code: number): Coroutine<void> {
    return request.last ? super.answer(request, code) : this.answerStream(request, code);
  }

  override sendResponse(
    rid: number,
    pasid: number | null,
    group: number,
    code: number,
    echo: readonly number[] | null,
  ): Coroutine<void> {
    const named = pasid === null ? {} : { pp: 1, pasid };
    const rc = this.responseCode(code);
    return this.send(EcsPageGroupResponse.make({ ...named, rid, rc, prgi: group, private: echo?.[0] ?? 0 }));
  }

  answerStream({ rid, pasid, group, page, echo }: WrittenRequest, code: number): Coroutine<void> {
    return this.send(
      EcsPageStreamResponse.make({
        pasid: pasid ?? 0,
        bus: rid >>> DEVFN_BITS,
        devfn: rid & 0xff,
        private: echo?.[0] ?? 0,
        prgi: group,
        rc: this.responseCode(code),
        addr: page * PAGE_BYTES,
      }),
    );
  }

  send(descriptor: Uint32Array): Coroutine<void> {
    const { queue } = this.vtd;
    const batch = queue.batch();
    batch.add(descriptor);
    return queue.submit(batch);
  }
}
