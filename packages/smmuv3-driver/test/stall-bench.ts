import type { Coroutine } from '@iommukit/kernel';
import { AT, type CompletionStatus, type PlatformDownstream, PlatformLink } from '@iommukit/pci-ats';
import { Bench, type BenchOptions, SID } from './bench.js';

/** A platform device whose transactions the SMMU holds back until their pages are there, beside {@link Bench}'s. */
export class StallBench extends Bench {
  readonly link: PlatformLink;
  /** Completions that the device got, by tag: status and data. */
  readonly got = new Map<number, { readonly status: CompletionStatus; readonly data: Uint8Array }>();

  constructor(options: BenchOptions = {}) {
    super(options);
    this.link = new PlatformLink(this.kernel, { name: 'accelerator', stream: SID });
    this.link.join({ receive: (tlp) => this.receive(tlp) }, this.hardware);
  }

  *receive(tlp: PlatformDownstream): Coroutine<void> {
    this.got.set(tlp.tag, tlp);
  }

  /** The device writes one byte; its write response carries the tag. */
  *write(tag: number, pasid: number, va: bigint, value: number): Coroutine<void> {
    const [page, offset] = [Number(va >> 12n), Number(va & 0xfffn)];
    const data = Uint8Array.of(value);
    yield* this.link.up({ kind: 'write', at: AT.UNTRANSLATED, tag, pasid, page, offset, data, witness: 0 });
  }

  /** The device reads one byte. */
  *read(tag: number, pasid: number, va: bigint): Coroutine<void> {
    const [page, offset] = [Number(va >> 12n), Number(va & 0xfffn)];
    yield* this.link.up({ kind: 'read', at: AT.UNTRANSLATED, tag, pasid, page, offset, bytes: 1, witness: 0 });
  }

  /** Waits until the device got the completion of `tag`. */
  *completed(tag: number): Coroutine<CompletionStatus> {
    while (!this.got.has(tag)) yield* this.kernel.clock.sleep(1000);
    return this.got.get(tag)!.status;
  }

  /** Commands in the ring from position `from` on, as pairs of 64-bit words. */
  commands(from: number): bigint[][] {
    const { state, ring } = this.driver.smmu.commands;
    return Array.from({ length: state.produced - from }, (_, i) => {
      const pa = state.pa + 16 * ring.index(from + i);
      return [this.word(pa), this.word(pa + 8)];
    });
  }
}
