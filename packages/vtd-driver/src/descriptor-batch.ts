/** Descriptors that go to the queue together, at most (vtd.md 3.13). */
export const BATCH_DESCRIPTORS = 16;

/** 32-bit words of the longest descriptor. */
export const DESCRIPTOR_WORDS = 8;

/** Up to {@link BATCH_DESCRIPTORS} descriptors. Those of 128 bits leave the upper half of their place empty. */
export class DescriptorBatch {
  readonly words = new Uint32Array(BATCH_DESCRIPTORS * DESCRIPTOR_WORDS);
  count = 0;

  /** True when the next descriptor must wait for a batch of its own. */
  get full(): boolean {
    return this.count >= BATCH_DESCRIPTORS;
  }

  /** Appends a copy of a descriptor. Returns the index of its first word, for the caller to fill in the rest. */
  add(descriptor: Uint32Array): number {
    const at = this.count * DESCRIPTOR_WORDS;
    for (let i = 0; i < DESCRIPTOR_WORDS; i++) this.words[at + i] = descriptor[i] ?? 0;
    this.count++;
    return at;
  }

  /** Takes a descriptor out. */
  remove(index: number): void {
    this.words.copyWithin(index * DESCRIPTOR_WORDS, (index + 1) * DESCRIPTOR_WORDS, this.count * DESCRIPTOR_WORDS);
    this.count--;
  }

  clear(): void {
    this.count = 0;
  }
}
