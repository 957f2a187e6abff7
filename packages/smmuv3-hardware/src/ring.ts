import { powerOfTwo } from '@iommukit/kernel';
import { type CMDQ_BASE, type EVENTQ_BASE, PAGE1, QUEUE_ALIGN } from '@iommukit/smmuv3-spec';
import type { RegisterFile } from './registers.js';

/** A queue in memory as its registers describe it (smmuv3.md 1.7, 5.6). Indexes carry a wrap bit above LOG2SIZE. */
export class Ring {
  readonly registers: RegisterFile;
  /** The queue's BASE register. */
  readonly base: typeof CMDQ_BASE | typeof EVENTQ_BASE;
  /** Offsets of PROD and CONS within their page. */
  readonly prodAt: number;
  readonly consAt: number;
  readonly entryBytes: number;
  /** log2 of the largest size (IDR1). */
  readonly maxBits: number;
  /** The halves of BASE that {@link wrapMask} and {@link start} are made of. */
  sizedBy = -1;
  placedBy = -1;
  wrapMask = 0;
  /** Physical address of the first entry. */
  start = 0;

  constructor(
    registers: RegisterFile,
    base: typeof CMDQ_BASE | typeof EVENTQ_BASE,
    prodAt: number,
    consAt: number,
    entryBytes: number,
    maxBits: number,
  ) {
    this.registers = registers;
    this.base = base;
    this.prodAt = prodAt % PAGE1;
    this.consAt = consAt % PAGE1;
    this.entryBytes = entryBytes;
    this.maxBits = maxBits;
  }

  /** Entries + 1 wrap bit, as a mask of an index. */
  get mask(): number {
    const { registers, base } = this;
    if (registers.get(base.offset) !== this.sizedBy || registers.get(base.offset + 4) !== this.placedBy) this.place();
    return this.wrapMask;
  }

  /** BASE was written. */
  place(): void {
    const { registers, base } = this;
    this.sizedBy = registers.get(base.offset);
    this.placedBy = registers.get(base.offset + 4);
    const entries = powerOfTwo(Math.min(base.f.log2size.of(this.sizedBy), this.maxBits));
    this.wrapMask = 2 * entries - 1;
    const address = registers.address(base);
    this.start = address - (address % Math.max(entries * this.entryBytes, QUEUE_ALIGN));
  }

  /** Number of entries. */
  get entries(): number {
    return (this.mask + 1) / 2;
  }

  get prod(): number {
    return this.registers.get(this.prodAt) & this.mask;
  }

  get cons(): number {
    return this.registers.get(this.consAt) & this.mask;
  }

  get empty(): boolean {
    return this.prod === this.cons;
  }

  /** Same index, different wrap. An index that software moved beyond the other counts as full too. */
  get full(): boolean {
    return ((this.prod - this.cons) & this.mask) >= this.entries;
  }

  /** The index after `index`: the carry out of the index bits is the wrap. */
  after(index: number): number {
    return (index + 1) & this.mask;
  }

  /** The index before `index`. */
  before(index: number): number {
    return (index - 1) & this.mask;
  }

  /** Physical address of the entry at an index. */
  address(index: number): number {
    const place = index & (this.mask >>> 1);
    return this.start + place * this.entryBytes;
  }
}
