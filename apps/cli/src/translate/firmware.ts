import {
  type AcpiSurroundings,
  acpiSignature,
  type McfgEntry,
  type PlatformDescription,
  type PlatformIommu,
  parseDevicetree,
  parseDmar,
  parseIort,
  platformFromDevicetree,
  platformFromDmar,
  platformFromIort,
} from '@iommukit/firmware';
import { readBytes } from '../files.js';
import { told } from '../platform.js';

/** Where a function's requests go. */
export interface Route {
  /** Base of the IOMMU's registers; null: they pass every IOMMU. */
  readonly base: number | null;
  readonly stream: number;
}

/** Configuration spaces are not looked at: any place that nothing else has will do. */
const NOWHERE = 2 ** 50;
const ECAM_BYTES = 2 ** 28;
const NOTHING: PlatformDescription = { source: 'acpi', model: '', cpus: 1, memory: [], reserved: [], nodes: [] };

/** What firmware says about who is behind which IOMMU. */
export class Firmware {
  readonly platform: PlatformDescription;
  readonly iommus: readonly PlatformIommu[];

  constructor(platform: PlatformDescription) {
    this.platform = platform;
    this.iommus = platform.nodes.filter((node) => node.kind === 'iommu');
  }

  /** Bits of a physical address, where a DMAR says so. */
  get addressBits(): number | null {
    const bits = this.iommus[0]?.properties['host-address-width'];
    return typeof bits === 'number' ? bits : null;
  }

  /** Null: the description does not say. */
  route(segment: number, requester: number): Route | null {
    const hosts = this.platform.nodes
      .filter((node) => node.kind === 'pci-host')
      .filter((node) => node.segment === segment);
    for (const { iommuMap, iommuMapMask } of hosts) {
      const id = (requester & iommuMapMask) >>> 0;
      const entry = iommuMap.find(({ ridBase, length }) => id >= ridBase && id < ridBase + length);
      const iommu = this.iommus.find(({ path }) => path === entry?.iommu);
      if (entry !== undefined && iommu !== undefined) {
        return { base: iommu.base, stream: entry.streamBase + (id - entry.ridBase) };
      }
    }
    // A DMAR names bridges whose buses only configuration space knows, so it cannot say that a function is behind no unit.
    const silent = hosts.length === 0 || this.addressBits !== null;
    return silent ? null : { base: null, stream: requester };
  }
}

/** Reads a flattened devicetree, an IORT or a DMAR. @throws UsageError naming the file, the place in it and the remedy */
export async function firmwareOf(file: string): Promise<Firmware> {
  const bytes = await readBytes(file);
  const signature = acpiSignature(bytes);
  return told(file, () => {
    if (signature === null) return new Firmware(platformFromDevicetree(parseDevicetree(bytes)));
    if (signature === 'DMAR') {
      const dmar = parseDmar(bytes);
      const units = dmar.structures.filter((structure) => structure.kind === 'drhd');
      return new Firmware(platformFromDmar(dmar, surroundings(units.map(({ segment }) => segment))));
    }
    const iort = parseIort(bytes);
    const complexes = iort.nodes.filter((node) => node.kind === 'root-complex');
    return new Firmware(platformFromIort(iort, surroundings(complexes.map(({ segment }) => segment))));
  });
}

function surroundings(segments: readonly number[]): AcpiSurroundings {
  const mcfg = [...new Set(segments)].map(
    (segment, i): McfgEntry => ({
      segment,
      busRange: [0, 255],
      ecam: { base: NOWHERE + i * ECAM_BYTES, bytes: ECAM_BYTES },
    }),
  );
  return { base: NOTHING, mcfg };
}
