/** AT field of a memory request (pcie-ats.md 2.1). */
export const AT = { UNTRANSLATED: 0, TRANSLATION_REQUEST: 1, TRANSLATED: 2 } as const;

/** PRG Response codes on the wire (pcie-ats.md 2.5). */
export const PRG_RESPONSE = { SUCCESS: 0, INVALID_REQUEST: 1, FAILURE: 15 } as const;

/**
 * A message from a device to the root complex. Addresses are a page (address / 4096, exact as a number) and an offset.
 * `pasid` is -1 without a PASID prefix.
 */
export type Upstream =
  | {
      /** A write, posted unless it has a tag. `at` is {@link AT}.UNTRANSLATED or .TRANSLATED (then `page` is a frame). */
      readonly kind: 'write';
      readonly at: number;
      /** The writer wants a completion with this tag and no data (a platform bus' write response). Absent: posted. */
      readonly tag?: number;
      readonly pasid: number;
      /** Privileged Mode Requested, of the PASID prefix. Absent: not. */
      readonly priv?: boolean;
      readonly page: number;
      readonly offset: number;
      readonly data: Uint8Array;
      /** For oracles only: the generation of the frame when the address was translated (0: not translated). */
      readonly witness: number;
    }
  | {
      /** A non-posted read of `bytes`, all within the page. */
      readonly kind: 'read';
      readonly at: number;
      readonly tag: number;
      readonly pasid: number;
      /** Privileged Mode Requested, of the PASID prefix. Absent: not. */
      readonly priv?: boolean;
      readonly page: number;
      readonly offset: number;
      readonly bytes: number;
      readonly witness: number;
    }
  | {
      /** A translation request for `count` consecutive STUs from `page`. */
      readonly kind: 'translation-request';
      readonly tag: number;
      readonly pasid: number;
      readonly page: number;
      readonly count: number;
      readonly noWrite: boolean;
      readonly exec: boolean;
      readonly priv: boolean;
    }
  | {
      /** `perm`: 1 read, 2 write, 4 execute, 8 privileged. A stop marker has `last`, perm 0 and a PASID. */
      readonly kind: 'page-request';
      readonly pasid: number;
      readonly prgi: number;
      readonly page: number;
      readonly perm: number;
      readonly last: boolean;
    }
  | { readonly kind: 'invalidate-completion'; readonly itags: number; readonly count: number }
  | {
      /** An INTx message: posted, so it never overtakes data. */
      readonly kind: 'interrupt';
    };

/** A message from the root complex to a device. */
export type Downstream =
  | {
      /** Answers a read, or a write that has a tag. `data` is what was read; empty for a write or unless `status` is ok. */
      readonly kind: 'completion';
      readonly tag: number;
      readonly status: CompletionStatus;
      readonly data: Uint8Array;
    }
  | {
      /** Answers a translation request: pairs [lo, hi] of translation completion entries (pcie-ats.md 2.4). */
      readonly kind: 'translation-completion';
      readonly tag: number;
      readonly status: CompletionStatus;
      readonly entries: Uint32Array;
      /** For oracles only: the step at which the walk began. */
      readonly born: number;
    }
  | {
      /** The 8-byte body as [lo, hi] (pcie-ats.md 2.4 size encoding). */
      readonly kind: 'invalidate-request';
      readonly itag: number;
      readonly pasid: number;
      readonly lo: number;
      readonly hi: number;
    }
  | { readonly kind: 'prg-response'; readonly pasid: number; readonly prgi: number; readonly code: number };

/** ok: Successful; ur: Unsupported Request; ca: Completer Abort. */
export type CompletionStatus = 'ok' | 'ur' | 'ca';
