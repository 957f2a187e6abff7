import type { Core } from '../core.js';
import type { Mm } from './mm.js';

/** One entry that maps a page. */
export interface Place {
  readonly mm: Mm;
  /** Address / 4096. */
  readonly page: number;
}

/**
 * From a page's frame to the entries that map it, for those who come from outside (MM-10). The tables of every address
 * space are looked at in one step: nothing has to be kept where pages are made, and nothing can be out of date.
 */
export class ReverseMap {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /** Every entry that maps the page of `frame`, in order of address spaces and addresses. */
  placesOf(frame: number): Place[] {
    const places: Place[] = [];
    for (const mm of this.core.mms.live) {
      for (const { first, end, backing } of mm.vmas) {
        if (backing === 'device') continue;
        for (const page of this.pagesOf(mm, first, end, frame)) places.push({ mm, page });
      }
    }
    return places;
  }

  pagesOf(mm: Mm, first: number, end: number, frame: number): number[] {
    const { leaves } = this.core;
    return leaves.select(mm, first, end, (page) => leaves.find(mm, page)?.frame === frame);
  }
}
