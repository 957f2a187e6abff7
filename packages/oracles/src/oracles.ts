import { type CacheLines, type FrameMemory, type Kernel, Observer } from '@iommukit/kernel';
import { Coherence } from './coherence.js';
import { EarlyReuse } from './early-reuse.js';
import { EndlessFaults } from './endless-faults.js';
import { FreedFrames } from './freed-frames.js';
import { LegalTrace } from './legal-trace.js';
import { QuietDeath } from './quiet-death.js';
import { Responses } from './responses.js';
import { RightMm } from './right-mm.js';
import { WholeEntries } from './whole-entries.js';

/** What a machine looks like between runs: counts by name (frames in use, live slab objects, PASIDs …). */
export type Census = readonly (readonly [what: string, count: number])[];

/**
 * Every invariant that watches a run from its start: INV-1, -2, -3, -4, -5, -6, -7, -14, -18 and -19 here; INV-9 (touch after free, double
 * free), INV-10 and INV-11 are the kernel's own, and INV-9's leaks are compared at the end.
 */
export class Oracles extends Observer {
  readonly kernel: Kernel;
  readonly frames: FreedFrames;
  readonly coherence: Coherence;
  readonly responses: Responses;
  readonly quietDeath: QuietDeath;
  readonly endlessFaults: EndlessFaults;
  readonly legalTrace: LegalTrace;
  readonly rightMm: RightMm;
  readonly earlyReuse: EarlyReuse;
  readonly wholeEntries: WholeEntries;
  /** PASID → streams that are bound to it. */
  readonly bonds = new Map<number, number>();
  /** The same of each unit, by `unit/PASID`. */
  readonly bondsOfUnit = new Map<string, number>();

  /** Watches `kernel`; made before the machine's hardware, so that caches announce themselves. */
  constructor(kernel: Kernel, memory: FrameMemory) {
    super();
    this.kernel = kernel;
    this.frames = new FreedFrames(kernel, memory);
    this.coherence = new Coherence(kernel);
    this.responses = new Responses(kernel);
    this.quietDeath = new QuietDeath(kernel);
    this.endlessFaults = new EndlessFaults(kernel);
    this.legalTrace = new LegalTrace(kernel);
    this.rightMm = new RightMm(kernel);
    this.earlyReuse = new EarlyReuse(kernel, memory, this.rightMm);
    this.wholeEntries = new WholeEntries(kernel);
    kernel.trace.add(this.legalTrace);
    kernel.checkpoints.keepMap(this.bonds);
    kernel.checkpoints.keepMap(this.bondsOfUnit);
  }

  override cache(lines: CacheLines): void {
    this.coherence.cache(lines);
    this.earlyReuse.caches.push(lines);
  }

  override filled(lines: CacheLines, i: number): void {
    this.coherence.filled(lines, i);
  }

  override used(lines: CacheLines, i: number): void {
    this.coherence.used(lines, i);
    this.frames.used(lines, i);
  }

  override fetched(agent: string, pfn: number, what: string, _stream: number, pasid: number): void {
    this.frames.fetched(agent, pfn, what, pasid);
  }

  override dma(device: string, _stream: number, pasid: number, pfn: number, witness: number, write: boolean): void {
    this.frames.dma(device, pasid, pfn, witness, write);
  }

  override event(agent: string, stream: number, pasid: number, name: string, stalled: boolean): void {
    this.quietDeath.event(agent, stream, pasid, name, stalled);
  }

  override bound(_stream: number, pasid: number, space: string, device = '', unit = ''): void {
    this.bonds.set(pasid, (this.bonds.get(pasid) ?? 0) + 1);
    const key = `${unit}/${pasid}`;
    this.bondsOfUnit.set(key, (this.bondsOfUnit.get(key) ?? 0) + 1);
    this.endlessFaults.bound(pasid, space);
    this.rightMm.bound(device, pasid, space);
    this.earlyReuse.bound(pasid, space);
  }

  override mapped(space: string, page: number): void {
    this.endlessFaults.mapped(space, page);
  }

  override unbound(_stream: number, pasid: number, device = '', unit = ''): void {
    const ofUnit = lessOne(this.bondsOfUnit, `${unit}/${pasid}`);
    this.rightMm.unbound(device, pasid);
    if (ofUnit === 0) this.earlyReuse.unbound(unit, pasid);
    // Other devices use the PASID still: what they may share with this one is left to them.
    if (lessOne(this.bonds, pasid) > 0) {
      this.coherence.forgetOf(device, pasid);
      if (ofUnit === 0) this.coherence.forgetOf(unit, pasid);
      return;
    }
    this.endlessFaults.unbound(pasid);
    this.quietDeath.unbound(pasid);
    this.coherence.forget(pasid);
  }

  override releasing(pasid: number): void {
    this.quietDeath.releasing(pasid);
  }

  override released(pasid: number): void {
    this.coherence.forget(pasid);
  }

  override invalidating(pasid: number, first: number, last: number): void {
    this.coherence.begin(pasid, first, last);
  }

  override invalidated(pasid: number, first: number, last: number): void {
    this.coherence.end(pasid, first, last);
  }

  override faultAccepted(device: string, pasid: number, group: number, last: boolean, page: number): void {
    this.responses.accepted(device, pasid, group, last);
    this.endlessFaults.accepted(device, pasid, group, page);
    this.rightMm.accepted(device, pasid, group, page);
  }

  override faultAnswered(device: string, pasid: number, group: number, code: number): void {
    this.responses.answered(device, pasid, group);
    this.endlessFaults.answered(device, pasid, group, code);
    this.rightMm.answered(device, pasid, group);
  }

  override asked(device: string, pasid: number, group: number, page: number): void {
    this.rightMm.asked(device, pasid, group, page);
  }

  override settled(device: string, pasid: number, group: number): void {
    this.rightMm.settled(device, pasid, group);
  }

  override handling(pasid: number, group: number, page: number, space: string): void {
    this.rightMm.handling(pasid, group, page, space);
  }

  override handedOut(kind: 'PASID' | 'ASID', number: number, space: string, unit = ''): void {
    this.earlyReuse.handedOut(kind, number, space, unit);
  }

  override versions(pa: number, words: readonly Uint32Array[], used: readonly (Uint32Array | null)[]): void {
    this.wholeEntries.versions(pa, words, used);
    this.earlyReuse.stored(pa, words[0]!, this.bonds);
  }

  override entry(agent: string, what: string, pa: number, words: Uint32Array, _stream: number, pasid: number): void {
    this.wholeEntries.entry(agent, what, pa, words, pasid);
    this.earlyReuse.entry(agent, what, pa, pasid);
  }

  override frame(pfn: number): void {
    this.wholeEntries.frame(pfn);
  }

  /** After a run that finished: INV-3 (nothing unanswered), and INV-9 (every count is back at its baseline). */
  atEnd(baseline: Census, now: Census): readonly Finding[] {
    return [
      ...this.responses.unanswered().map((group) => ({ invariant: 'INV-3', story: `${group} was never answered` })),
      ...leaks(baseline, now).map((story) => ({ invariant: 'INV-9', story })),
    ];
  }
}

/** Counts one less; what is counted down to 0 is not kept. */
function lessOne<K>(counts: Map<K, number>, key: K): number {
  const left = (counts.get(key) ?? 1) - 1;
  if (left > 0) counts.set(key, left);
  else counts.delete(key);
  return left;
}

/** A broken invariant that shows only when a run is over. */
export interface Finding {
  readonly invariant: string;
  readonly story: string;
}

/** What is not as it was, in words. Of rows with one name, as units of one kind have, the first is compared with the first, and so on. */
export function leaks(baseline: Census, now: Census): readonly string[] {
  const before = new Map<string, number[]>();
  for (const [what, count] of baseline) before.set(what, [...(before.get(what) ?? []), count]);
  return now.flatMap(([what, count]) => {
    const was = before.get(what)?.shift() ?? 0;
    return count === was ? [] : [`${what}: ${count} at the end, ${was} after boot`];
  });
}
