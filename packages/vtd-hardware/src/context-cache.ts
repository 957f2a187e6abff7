import { ConfigLines } from './config-lines.js';
import type { Vtd } from './device.js';
import { CONTEXT_REGIMES, CONTEXT_SLOTS } from './regimes.js';

/** 32-bit words of the largest context entry. */
const WORDS = 8;

/**
 * The context cache: context entries by requester, tagged with their domain in the modes where they have one. In scalable mode they
 * have none, and invalidations do not look at it (vtd.md 3.1).
 */
export class ContextCache extends ConfigLines {
  constructor(vtd: Vtd) {
    super(vtd, 'context cache', CONTEXT_SLOTS, WORDS, CONTEXT_REGIMES);
  }

  /** The line of a requester, or -1. */
  find(stream: number): number {
    const line = stream % CONTEXT_SLOTS;
    return this.tags[line] === stream ? line : -1;
  }

  /** Keeps a context entry, whose fetch began at step `born`. Returns its line. */
  keep(stream: number, did: number, words: Uint32Array, born: number): number {
    const line = stream % CONTEXT_SLOTS;
    this.fill(line, stream, did, words, stream, -1, born);
    this.kernel.observer.filled(this.lines, line, stream, -1);
    return line;
  }

  /** Drops the entries of a domain (CIRG, G = 2). */
  dropDomain(did: number): void {
    this.dropWhere((line) => this.dids[line] === did);
  }

  /** Drops the entries of a requester, the function bits in `mask` not compared; `did` -1: whatever their domain (scalable mode). */
  dropDevice(stream: number, mask: number, did: number): void {
    this.dropWhere((line) => ((this.tags[line] ^ stream) & ~mask) === 0 && (did < 0 || this.dids[line] === did));
  }
}
