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

  /** log2 of the number of entries. */
  get bits(): number {
    return Math.min(this.base.f.log2size.of(this.registers.get(this.base.offset)), this.maxBits);
  }

  /** Entries + 1 wrap bit, as a mask of an index. */
  get mask(): number {
    return 2 ** (this.bits + 1) - 1;
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
    const { mask } = this;
    return ((this.prod - this.cons) & mask) >= (mask + 1) / 2;
  }

  /** The index after `index`: the carry out of the index bits is the wrap. */
  after(index: number): number {
    return (index + 1) & this.mask;
  }

  /** Physical address of the entry at an index. */
  address(index: number): number {
    const { bits } = this;
    const base = this.registers.address(this.base);
    const align = Math.max(2 ** bits * this.entryBytes, QUEUE_ALIGN);
    return base - (base % align) + (index & (2 ** bits - 1)) * this.entryBytes;
  }
}
