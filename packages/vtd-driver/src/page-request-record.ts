import { type PageRequest, PERM } from '@iommukit/core';
import { PageRequest as Entry } from '@iommukit/vtd-spec';

const E = Entry.f;
const PAGE_BYTES = 4096;

/** A page request as the unit wrote it into its queue, in whatever layout (vtd.md 4.1, 4.2). */
export interface WrittenRequest {
  /** The requester. */
  readonly rid: number;
  readonly pasid: number | null;
  readonly group: number;
  /** The page number: 52 bits, exact as a number (VTD-34). */
  readonly page: number;
  /** {@link PERM} bits. */
  readonly perm: number;
  readonly last: boolean;
  /** It wants an answer of its own, last or not: it brought private data, or asks for a stream response (IOPF-30). */
  readonly single: boolean;
  /** What its answer repeats, besides its names; null: nothing. */
  readonly echo: readonly number[] | null;
}

/** The rights that four bits ask for. */
export function rightsOf(read: number, write: number, exec: number, privileged: number): number {
  return (
    (read === 1 ? PERM.READ : 0) |
    (write === 1 ? PERM.WRITE : 0) |
    (exec === 1 ? PERM.EXEC : 0) |
    (privileged === 1 ? PERM.PRIV : 0)
  );
}

/** An entry of scalable mode. Of private data, its answer repeats all words, and whether it was the last (D-3). */
export function readRequest(words: Uint32Array): WrittenRequest {
  const single = E.pdp.get(words) === 1;
  const last = E.lpig.get(words) === 1;
  return {
    rid: E.rid.get(words),
    pasid: E.pp.get(words) === 1 ? E.pasid.get(words) : null,
    group: E.prgi.get(words),
    page: E.addr.get(words) / PAGE_BYTES,
    perm: rightsOf(E.rdr.get(words), E.wrr.get(words), E.exr.get(words), E.pmr.get(words)),
    last,
    single,
    echo: single ? [...words.subarray(4, 8), last ? 1 : 0] : null,
  };
}

/** A written request as it is reported, at `address`: what wants an answer closes its group (IOPF-30). */
export function reported({ pasid, group, perm, last, single, echo }: WrittenRequest, address: bigint): PageRequest {
  return {
    pasid,
    group,
    address,
    perm,
    last: last || single,
    privateData: echo,
    // The unit's answers always carry the PASID (VTD-10, VTD-39).
    needsPasid: pasid !== null,
  };
}
