import type { AddressRange, PlatformDescription, PlatformNode } from '@iommukit/firmware';
import { IommuError } from '@iommukit/kernel';

/** Register windows begin at a multiple of this. */
const ALIGNMENT = 0x10000;
/** Physical addresses have at most so many bits. */
const END = 2 ** 52;

/**
 * The lowest place from `from` on for `bytes` of registers where a description has nothing.
 * @throws IommuError ENOSPC when there is none
 */
export function freeWindow(platform: PlatformDescription, from: number, bytes: number): number {
  const { memory, reserved, nodes } = platform;
  const taken = [...memory, ...reserved, ...nodes.flatMap(rangesOf)];
  const step = Math.min(bytes, ALIGNMENT);
  const up = (address: number): number => Math.ceil(address / step) * step;
  let base = up(from);
  for (;;) {
    const other = taken.find((range) => base < range.base + range.bytes && range.base < base + bytes);
    if (other === undefined) break;
    base = up(other.base + other.bytes);
  }
  if (base + bytes <= END) return base;
  throw new IommuError(
    'ENOSPC',
    `no room for 0x${bytes.toString(16)} bytes of registers above 0x${from.toString(16)}`,
    {
      remedy: 'choose another platform',
    },
  );
}

function rangesOf(node: PlatformNode): readonly AddressRange[] {
  switch (node.kind) {
    case 'iommu':
    case 'msi-controller':
      return [node];
    case 'pci-host':
      return [node.ecam, ...node.windows.map(({ cpu, bytes }) => ({ base: cpu, bytes }))];
    default:
      return node.regions;
  }
}
