import { acpiTable, packed } from './acpi-writer.js';

/** A device scope: its type, enumeration id, start bus, and path. */
export function scope(
  type: number,
  id: number,
  bus: number,
  ...path: readonly (readonly [number, number])[]
): Uint8Array {
  const hops = path.map(([device, fn]) => packed([1, device], [1, fn]));
  return packed([1, type], [1, 6 + 2 * path.length], [2, 0], [1, id], [1, bus], ...hops);
}

/** One structure: its type, and what follows its type and length. */
export function structure(type: number, ...data: readonly Uint8Array[]): Uint8Array {
  const body = packed(...data);
  return packed([2, type], [2, 4 + body.length], body);
}

/** A unit: where its registers are, its segment, flags, and log2 of its register pages. */
export function drhd(
  base: number,
  scopes: readonly Uint8Array[] = [],
  { segment = 0, flags = 0, size = 0 }: { segment?: number; flags?: number; size?: number } = {},
): Uint8Array {
  return structure(0, packed([1, flags], [1, size], [2, segment], [8, base]), ...scopes);
}

/** Memory that stays mapped, its last address included. */
export const rmrr = (base: number, last: number, ...scopes: readonly Uint8Array[]): Uint8Array =>
  structure(1, packed([2, 0], [2, 0], [8, base], [8, last]), ...scopes);

/** Root ports with ATS. */
export const atsr = (segment: number, flags: number, ...scopes: readonly Uint8Array[]): Uint8Array =>
  structure(2, packed([1, flags], [1, 0], [2, segment]), ...scopes);

/** The proximity domain of a unit. */
export const rhsa = (base: number, proximity: number): Uint8Array =>
  structure(3, packed([4, 0], [8, base], [4, proximity]));

/** A namespace device. */
export const andd = (number: number, name: string): Uint8Array =>
  structure(4, packed([2, 0], [1, 0], [1, number], name, [1, 0]));

/** Functions with a translation cache. */
export const satc = (segment: number, flags: number, ...scopes: readonly Uint8Array[]): Uint8Array =>
  structure(5, packed([1, flags], [1, 0], [2, segment]), ...scopes);

/** A table of these structures. */
export function dmar(structures: readonly Uint8Array[], { width = 47, flags = 1 } = {}): Uint8Array {
  const reserved = new Uint8Array(10);
  return acpiTable('DMAR', packed([1, width], [1, flags], reserved, ...structures), 1);
}
