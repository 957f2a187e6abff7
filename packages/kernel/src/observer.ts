import type { CacheLines } from './cache-lines.js';

/**
 * What oracles are told. Every method of {@link NO_OBSERVER} does nothing; an observer extends it and overrides what it
 * watches. Pages and frames are numbers (address / 4096); `pasid` is -1 where there is none.
 */
export class Observer {
  /** A translation cache exists: an IOTLB, a device's ATC. */
  cache(_lines: CacheLines): void {}

  /** A line was filled: `lines` at `i` holds the translation of (`stream`, `pasid`). */
  filled(_lines: CacheLines, _i: number, _stream: number, _pasid: number): void {}

  /** A cached line is used for an access. */
  used(_lines: CacheLines, _i: number): void {}

  /** Hardware fetches a table entry of kind `what` from `pfn`. */
  fetched(_agent: string, _pfn: number, _what: string, _stream: number, _pasid: number): void {}

  /**
   * Hardware is about to act on a whole entry of kind `what` at `pa`, fetched 64 bits at a time: `words` is what it saw, as
   * [lo, hi] pairs, and is reused. Pieces may be of different times (INV-14).
   */
  entry(_agent: string, _what: string, _pa: number, _words: Uint32Array, _stream: number, _pasid: number): void {}

  /**
   * Software is about to store the first of these versions of the entry at `pa`; hardware may see it and the others (INV-14). `used` has the bits that
   * hardware looks at in each; null: all of them. Of an entry that is not valid that is one bit.
   */
  versions(_pa: number, _words: readonly Uint32Array[], _used: readonly (Uint32Array | null)[]): void {}

  /** A number was handed out: a `PASID` of the machine, an `ASID` of `unit`. `space`: the address space that has it now. */
  handedOut(_kind: 'PASID' | 'ASID', _number: number, _space: string, _unit = ''): void {}

  /** A device asks for a page, by a page request or by an access that stalls: `group` is what its answer will name. */
  asked(_device: string, _pasid: number, _group: number, _page: number): void {}

  /** The device has the answer, or waits for it no more. */
  settled(_device: string, _pasid: number, _group: number): void {}

  /** A request for a page is about to be handled in the address space `space`. */
  handling(_pasid: number, _group: number, _page: number, _space: string): void {}

  /**
   * A device's access reaches memory. `witness` is the generation of the frame when it was translated
   * ({@link PhysicalMemory.generationOf}).
   */
  dma(_device: string, _stream: number, _pasid: number, _pfn: number, _witness: number, _write: boolean): void {}

  /** Hardware recorded an event or fault that it cannot recover from. `stalled` ones can be recovered from. */
  event(_agent: string, _stream: number, _pasid: number, _name: string, _stalled: boolean): void {}

  /**
   * An entry for (`stream`, `pasid`) is about to go live for the address space `space` (owner of its frames). `device` and
   * `unit`: whose stream it is, and behind which IOMMU; another unit may have a stream of the same number.
   */
  bound(_stream: number, _pasid: number, _space: string, _device = '', _unit = ''): void {}

  /** The last bond of (`stream`, `pasid`) is gone: nothing may use it any more. */
  unbound(_stream: number, _pasid: number, _device = '', _unit = ''): void {}

  /** The notifier's release callback for the PASID begins. */
  releasing(_pasid: number): void {}

  /** It returned: nothing that was cached before may be used. */
  released(_pasid: number): void {}

  /** An invalidation callback for pages [first, last] begins. */
  invalidating(_pasid: number, _first: number, _last: number): void {}

  /** It returned: no translation of these pages that is older than its beginning may be used. */
  invalidated(_pasid: number, _first: number, _last: number): void {}

  /** The entry that maps `page` of an address space was stored: made, changed or cleared. */
  mapped(_space: string, _page: number): void {}

  /** A page request was accepted for handling. `last`: it closes its group. */
  faultAccepted(_device: string, _pasid: number, _group: number, _last: boolean, _page: number): void {}

  /** A group is answered. */
  faultAnswered(_device: string, _pasid: number, _group: number, _code: number): void {}

  /** Frames were allocated, or freed (`owner` then is the last owner). */
  frame(_pfn: number, _owner: string, _allocated: boolean): void {}
}

/** Watches nothing. */
export const NO_OBSERVER: Observer = new Observer();
