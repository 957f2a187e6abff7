import { IommuError } from '@iommukit/kernel';
import type { AddressSpaceFormat } from './address-space-format.js';

/** Pages [first, end): address / 4096, multiples of the CPU's page. */
export interface PageRange {
  readonly first: number;
  readonly end: number;
}

/** Bytes as whole pages of the CPU's size, counted in 4 KiB. @throws IommuError EINVAL for none */
export function pagesOf(bytes: number, { pageFrames }: AddressSpaceFormat): number {
  const pages = Math.ceil(bytes / (4096 * pageFrames)) * pageFrames;
  if (pages > 0) return pages;
  throw invalid(`${bytes} bytes are no pages`);
}

/** The pages of [address, address + bytes). @throws IommuError EINVAL for an address inside a page, or no bytes */
export function rangeOf(address: bigint, bytes: number, format: AddressSpaceFormat): PageRange {
  const first = Number(address >> 12n);
  if ((address & 0xfffn) !== 0n || first % format.pageFrames !== 0)
    throw invalid(`0x${address.toString(16)} is not aligned to ${format.pageFrames * 4} KiB`);
  return { first, end: first + pagesOf(bytes, format) };
}

/** The bytes of pages [first, end). */
export function bytesOf({ first, end }: PageRange): { readonly start: bigint; readonly end: bigint } {
  return { start: BigInt(first) << 12n, end: BigInt(end) << 12n };
}

/** What a caller asked for is no range of pages. */
export function invalid(message: string): IommuError {
  return new IommuError('EINVAL', message, { rule: 'VMA-1', remedy: 'give whole pages' });
}
