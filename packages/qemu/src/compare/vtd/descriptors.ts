import type { AnyLayout } from '@iommukit/bitfield';
import { ContextCacheInv, InvWait, IotlbInv, PasidCacheInv, PasidIotlbInv } from '@iommukit/vtd-spec';
import type { VtdDomain, VtdGenerator, VtdStructure } from './generate.js';
import { shiftOfLevel, type VtdMapping } from './tables.js';

/** A descriptor: what it is, and its words. */
export type Descriptor = [layout: AnyLayout, words: bigint[]];

/** CAP.MAMV: the largest range that type 2 takes. */
const MAMV = 18;
const CONTEXT_GLOBAL = 0x11n;
const IOTLB_GLOBAL = 0x12n;
const PASID_GLOBAL = 0x37n;

const contextGlobal = (): Descriptor => [ContextCacheInv, [CONTEXT_GLOBAL, 0n]];
const contextOfDevice = (rid: number, did: number, mask: number): Descriptor => [
  ContextCacheInv,
  [0x31n | (BigInt(did) << 16n) | (BigInt(rid) << 32n) | (BigInt(mask) << 48n), 0n],
];
const iotlbGlobal = (): Descriptor => [IotlbInv, [IOTLB_GLOBAL, 0n]];
const iotlbOfDomain = (did: number): Descriptor => [IotlbInv, [0xe2n | (BigInt(did) << 16n), 0n]];
const iotlbOfPages = (did: number, iova: bigint, am: number): Descriptor => [
  IotlbInv,
  [0xf2n | (BigInt(did) << 16n), (iova & ~0xfffn) | BigInt(am)],
];
const pasidGlobal = (): Descriptor => [PasidCacheInv, [PASID_GLOBAL, 0n]];
const pasidOne = (did: number): Descriptor => [PasidCacheInv, [0x17n | (BigInt(did) << 16n), 0n]];
const pasidOfDomain = (did: number): Descriptor => [PasidCacheInv, [0x07n | (BigInt(did) << 16n), 0n]];
const pasidIotlb = (did: number): Descriptor => [PasidIotlbInv, [0x26n | (BigInt(did) << 16n), 0n]];
const pasidIotlbOfPages = (did: number, iova: bigint, am: number): Descriptor => [
  PasidIotlbInv,
  [0x36n | (BigInt(did) << 16n), (iova & ~0xfffn) | BigInt(am)],
];

/** A wait that writes a number, or sets ICS.IWC. */
export function wait(g: VtdGenerator): Descriptor {
  const { b } = g;
  const ordinal = ++g.ordinal;
  const flags = b.pick([0x20n, 0x10n, 0x30n, 0x60n]);
  const status = BigInt(g.status + 8 * ordinal);
  return [InvWait, [5n | flags | (BigInt(ordinal) << 32n), (flags & 0x20n) === 0n ? 0n : status]];
}

/** The address mask that covers a mapping. */
const maskOf = (mapping: VtdMapping): number => Number(shiftOfLevel(mapping.leaf)) - 12;

/** What software must do after it changed a mapping's entry of a level: one of several ways, each as wide as the entry. */
export function invalidateMapping(g: VtdGenerator, domain: VtdDomain, mapping: VtdMapping, level: number): void {
  const { b } = g;
  const am = Number(shiftOfLevel(level)) - 12;
  const iova = (mapping.iova >> BigInt(12 + am)) << BigInt(12 + am);
  const ways: (() => Descriptor)[] = [iotlbGlobal];
  // An invalidation of another domain leaves tables cached that QEMU does not cache.
  if (g.renamed.has(domain)) return b.queue(...b.pick(ways)());
  if (domain.stage === 'first') {
    ways.push(() => pasidIotlb(domain.id));
    if (am <= MAMV) ways.push(() => pasidIotlbOfPages(domain.id, iova, am));
  } else {
    ways.push(() => iotlbOfDomain(domain.id));
    if (am <= MAMV) ways.push(() => iotlbOfPages(domain.id, iova, am));
  }
  b.queue(...b.pick(ways)());
}

/** What software must do after it changed a structure of the configuration, whose domain was `did`. */
export function invalidateAll(g: VtdGenerator, structure: VtdStructure, did: number): void {
  const { b } = g;
  const rid = structure.device === null ? null : b.machine.devices[structure.device];
  if (rid === null || b.chance(50)) b.queue(...contextGlobal());
  else b.queue(...contextOfDevice(rid, did, b.below(4)));
  if (g.scalable) b.queue(...pasidGlobal());
  b.queue(...iotlbGlobal());
}

/** A range of type 6 beyond MAMV, which is of type 2 alone. */
export const wideRange = (): Descriptor => pasidIotlbOfPages(5, 0n, 27);

/** Any descriptor: of every granularity, sometimes wrong. */
export function randomDescriptor(g: VtdGenerator): Descriptor {
  const { b } = g;
  const domain = g.domains.get(b.pick(['testdev', 'edu'] as const))!;
  const did = b.chance(80) ? domain.id : b.below(16);
  const mapping = domain.mappings.length > 0 ? b.pick(domain.mappings) : null;
  const am = mapping === null ? b.below(19) : maskOf(mapping);
  const iova = mapping?.iova ?? 0x1000_0000n;
  const base = (iova >> BigInt(12 + am)) << BigInt(12 + am);
  const list: (() => Descriptor)[] = [
    contextGlobal,
    () => contextOfDevice(b.machine.devices[b.pick(['testdev', 'edu'] as const)], did, b.below(4)),
    iotlbGlobal,
    () => iotlbOfDomain(did),
    () => iotlbOfPages(did, base, Math.min(am, MAMV)),
  ];
  if (g.scalable) {
    list.push(
      pasidGlobal,
      () => pasidOne(did),
      () => pasidOfDomain(did),
    );
    if (domain.stage === 'first')
      list.push(
        () => pasidIotlb(did),
        () => pasidIotlbOfPages(did, base, am),
      );
  }
  const [layout, words] = b.pick(list)();
  return [layout, words];
}
