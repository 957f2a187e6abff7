import type { AddressRange, PlatformDescription } from '@iommukit/firmware';
import { IommuError, type MemoryRegion } from '@iommukit/kernel';

const CHUNK = 2 * 1024 * 1024;

/**
 * RAM that may be handed out: the description's, less what firmware keeps, in whole 2 MiB blocks, ascending.
 * @throws IommuError ENODEV when nothing is left
 */
export function usableMemory(platform: PlatformDescription): readonly MemoryRegion[] {
  const { memory, reserved, model } = platform;
  const holes = reserved.filter(({ bytes }) => bytes > 0);
  const regions = merged(memory)
    .flatMap((range) => without(range, holes))
    .flatMap(inChunks);
  if (regions.length > 0) return regions;
  throw new IommuError('ENODEV', `the platform '${model}' has no usable RAM`, {
    remedy: 'describe at least 2 MiB of memory, aligned to 2 MiB',
  });
}

/** Ascending, with ranges that touch or overlap as one: a block may lie across the border of two. */
function merged(ranges: readonly AddressRange[]): readonly AddressRange[] {
  const result: { base: number; bytes: number }[] = [];
  for (const { base, bytes } of [...ranges].sort((a, b) => a.base - b.base)) {
    const last = result.at(-1);
    if (last === undefined || base > last.base + last.bytes) result.push({ base, bytes });
    else last.bytes = Math.max(last.bytes, base + bytes - last.base);
  }
  return result;
}

function without(range: AddressRange, holes: readonly AddressRange[]): readonly AddressRange[] {
  let parts = [range];
  for (const hole of holes) parts = parts.flatMap((part) => pieces(part, hole));
  return parts;
}

function pieces(part: AddressRange, hole: AddressRange): AddressRange[] {
  const end = part.base + part.bytes;
  const holeEnd = hole.base + hole.bytes;
  if (hole.base >= end || holeEnd <= part.base) return [part];
  const low = { base: part.base, bytes: hole.base - part.base };
  const high = { base: holeEnd, bytes: end - holeEnd };
  return [low, high].filter((piece) => piece.bytes > 0);
}

function inChunks({ base, bytes }: AddressRange): readonly MemoryRegion[] {
  const first = Math.ceil(base / CHUNK) * CHUNK;
  const end = Math.floor((base + bytes) / CHUNK) * CHUNK;
  return end > first ? [{ base: first, bytes: end - first }] : [];
}
