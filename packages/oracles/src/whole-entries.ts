import type { Kernel } from '@iommukit/kernel';

/** Bytes of a frame. */
const FRAME = 4096;

/** A value of an entry that hardware may see, and the bits of it that count; null: all. */
interface Version {
  readonly words: Uint32Array;
  readonly used: Uint32Array | null;
}

/**
 * INV-14: hardware never acts on a table entry that mixes fields of two versions. Software names what it means to be seen whole;
 * an entry that hardware has fetched in pieces must be one of these. What nobody has named is not judged.
 */
export class WholeEntries {
  readonly kernel: Kernel;
  /** Physical address → what may be seen there. */
  readonly named = new Map<number, readonly Version[]>();
  /** Frame → addresses in it that have versions. */
  readonly inFrame = new Map<number, readonly number[]>();

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    kernel.checkpoints.keepMap(this.named);
    kernel.checkpoints.keepMap(this.inFrame);
  }

  versions(pa: number, words: readonly Uint32Array[], used: readonly (Uint32Array | null)[]): void {
    this.named.set(
      pa,
      words.map((value, i) => ({ words: value.slice(), used: used[i]?.slice() ?? null })),
    );
    const pfn = Math.floor(pa / FRAME);
    const others = this.inFrame.get(pfn) ?? [];
    if (!others.includes(pa)) this.inFrame.set(pfn, [...others, pa]);
  }

  /** What is in a frame says nothing any more when it changes hands. */
  frame(pfn: number): void {
    const addresses = this.inFrame.get(pfn);
    if (addresses === undefined) return;
    for (const pa of addresses) this.named.delete(pa);
    this.inFrame.delete(pfn);
  }

  entry(agent: string, what: string, pa: number, words: Uint32Array, pasid: number): void {
    const versions = this.named.get(pa);
    if (versions === undefined || versions.some((version) => isSeen(version, words))) return;
    this.kernel.violate(
      'INV-14',
      `${agent} acts on the ${what} of PASID ${pasid} at 0x${pa.toString(16)} as ${textOf(words)}: it mixes fields of ${versions.map(({ words: whole }) => textOf(whole)).join(' and ')}`,
    );
  }
}

function isSeen({ words, used }: Version, seen: Uint32Array): boolean {
  return words.every((word, i) => ((word ^ seen[i]!) & (used?.[i] ?? -1)) === 0);
}

/** 64-bit pieces in hexadecimal, without zeros at the end. */
function textOf(words: Uint32Array): string {
  const pieces: string[] = [];
  for (let i = 0; i < words.length; i += 2) {
    pieces.push(((BigInt(words[i + 1]!) << 32n) | BigInt(words[i]!)).toString(16));
  }
  while (pieces.length > 1 && pieces.at(-1) === '0') pieces.pop();
  return `[${pieces.join(' ')}]`;
}
