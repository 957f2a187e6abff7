import { ConfigLines } from './config-lines.js';
import type { Vtd } from './device.js';
import { PASID_SLOTS } from './regimes.js';

/** PASIDs have at most 20 bits. */
const PASIDS = 2 ** 20;

/**
 * The PASID cache: regimes of PASID entries by (requester, PASID), tagged with their domain. The tables are a device's own, so another
 * device with the same PASID has lines of its own.
 */
export class PasidCache extends ConfigLines {
  constructor(vtd: Vtd) {
    super(vtd, 'PASID cache', PASID_SLOTS, 0, 0);
  }

  slotOf(stream: number, pasid: number): number {
    return ((stream * 37 + pasid) >>> 0) % PASID_SLOTS;
  }

  /** The line of a PASID entry, or -1. */
  find(stream: number, pasid: number): number {
    const line = this.slotOf(stream, pasid);
    return this.tags[line] === stream * PASIDS + pasid ? line : -1;
  }

  /**
   * Keeps the regime of a PASID entry, whose fetch began at step `born`; `requested` is the PASID of the request, -1 for RID_PASID.
   * Returns its line.
   */
  keep(
    stream: number,
    pasid: number,
    requested: number,
    did: number,
    doubles: Float64Array,
    numbers: Int32Array,
    born: number,
  ): number {
    const line = this.slotOf(stream, pasid);
    this.fill(line, stream * PASIDS + pasid, did, this.words, stream, requested, born);
    this.regimes.put(this.regimeOf(line), doubles, numbers);
    this.kernel.observer.filled(this.lines, line, stream, requested);
    return line;
  }

  /** Drops the entries of a domain (3.7, G = 0). */
  dropDomain(did: number): void {
    this.dropWhere((line) => this.dids[line] === did);
  }

  /**
   * Drops the entries of one PASID of a domain (3.7, G = 1). One that was not present goes whatever the domain: the invalidation that
   * follows when it becomes present names the new one (VTD-12).
   */
  dropPasid(did: number, pasid: number): void {
    this.dropWhere((line) => this.tags[line] % PASIDS === pasid && (this.dids[line] === did || this.dids[line] === 0));
  }
}
