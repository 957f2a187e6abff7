import {
  type AcpiSurroundings,
  type ConfigSpace,
  checkApart,
  checkPaths,
  keptNodes,
  spacesOf,
} from './acpi-surroundings.js';
import { FirmwareError, type FirmwareErrorCode } from './firmware-error.js';
import type { Iort, IortMapping, IortNamedComponent, IortNode, IortRootComplex, IortSmmu, IortSmmuV3 } from './iort.js';
import type {
  AddressRange,
  PlatformDescription,
  PlatformDevice,
  PlatformInterrupt,
  PlatformIommu,
  PlatformIommuMapping,
  PlatformNode,
  PlatformPciHost,
} from './platform-description.js';

/** What an IORT does not say about its machine. */
export type IortSurroundings = AcpiSurroundings;

const REQUESTER_IDS = 2 ** 16;
const MOST_STREAMS = 1024;
const CN99XX = 2;
const HI161X = 1;

const SMMU_COMPATIBLE: Readonly<Record<number, string>> = { 0: 'arm,smmu-v1', 2: 'arm,mmu-400', 3: 'arm,mmu-500' };

/**
 * What an IORT says about a machine, as `platformFromDevicetree` says it: SMMUs with registers and interrupts, root complexes
 * with the streams of their functions, platform devices with their streams. Registers and interrupts of platform devices are
 * not in the table, so they have none here.
 * @throws FirmwareError ENOPROPERTY (a segment without a configuration space), EBADPROPERTY, EOVERLAP, EDUPLICATE, ENOTSUP
 */
export function platformFromIort(iort: Iort, surroundings: IortSurroundings): PlatformDescription {
  return new IortPlatform(iort, surroundings).describe();
}

const complain = (
  code: FirmwareErrorCode,
  where: string,
  offset: number | null,
  problem: string,
  remedy: string,
): FirmwareError => new FirmwareError(code, `IORT ${where}`, offset, problem, remedy);

class IortPlatform {
  readonly nodes: ReadonlyMap<number, IortNode>;

  constructor(
    readonly iort: Iort,
    readonly surroundings: IortSurroundings,
  ) {
    this.nodes = new Map(iort.nodes.map((node) => [node.offset, node]));
  }

  describe(): PlatformDescription {
    const { base } = this.surroundings;
    const nodes: PlatformNode[] = [];
    for (const node of this.iort.nodes)
      if (node.kind === 'smmuv3' || node.kind === 'smmu') nodes.push(this.iommu(node));
    nodes.push(...this.hosts());
    for (const node of this.iort.nodes) if (node.kind === 'named-component') nodes.push(this.device(node));
    checkPaths(nodes, complain);
    checkApart(this.surroundings, nodes, complain);
    return {
      source: 'acpi',
      model: this.iort.maker,
      cpus: base.cpus,
      memory: base.memory,
      reserved: [...base.reserved, ...this.reserved()],
      nodes: [...nodes, ...keptNodes(this.surroundings)],
    };
  }

  reserved(): AddressRange[] {
    return this.iort.nodes.flatMap((node) => (node.kind === 'reserved' ? node.ranges : []));
  }

  // ── IOMMUs ─────────────────────────────────────────────────────────────────────────────────────────────────────

  iommu(node: IortSmmuV3 | IortSmmu): PlatformIommu {
    const name = nameOf(node);
    const { base, coherent } = node;
    const common = { kind: 'iommu', name, path: `/${name}`, base, coherent } as const;
    if (node.kind === 'smmu') {
      const compatible = [SMMU_COMPATIBLE[node.model] ?? 'arm,smmu-v2'];
      const interrupts = node.contextInterrupts.map((gsiv) => interrupt('', gsiv));
      return { ...common, compatible, bytes: node.bytes, interrupts, properties: { model: node.model } };
    }
    const cavium = node.model === CN99XX;
    return {
      ...common,
      compatible: ['arm,smmu-v3'],
      bytes: cavium ? 0x10000 : 0x20000,
      interrupts: wires(node),
      properties: {
        ...(node.httu !== 0 && { 'httu-override': node.httu }),
        ...(node.proximity !== null && { 'numa-node-id': node.proximity }),
        ...(node.model === HI161X && { 'hisilicon,broken-prefetch-cmd': true as const }),
        ...(cavium && { 'cavium,cn9900-broken-page1-regspace': true as const }),
      },
    };
  }

  // ── root complexes ─────────────────────────────────────────────────────────────────────────────────────────────

  /** One a configuration space of each segment that the table has a root complex of. */
  hosts(): PlatformPciHost[] {
    const complexes = this.iort.nodes.filter((node) => node.kind === 'root-complex');
    const segments = [...new Set(complexes.map(({ segment }) => segment))];
    return segments.flatMap((segment) => {
      const own = complexes.filter((node) => node.segment === segment);
      return this.spacesOf(own[0]).map((space) => this.host(own, space));
    });
  }

  spacesOf({ segment, offset }: IortRootComplex): ConfigSpace[] {
    const at = { where: `root complex of segment ${segment}`, offset };
    return spacesOf(this.surroundings, segment, at, complain);
  }

  host(complexes: readonly IortRootComplex[], { segment, busRange, ecam, windows }: ConfigSpace): PlatformPciHost {
    const name = `pcie@${ecam.base.toString(16)}`;
    const maps = complexes.map((node) => this.iommuMap(node));
    return {
      kind: 'pci-host',
      name,
      path: `/${name}`,
      compatible: ['pci-host-ecam-generic'],
      segment,
      busRange,
      ecam: { base: ecam.base, bytes: ecam.bytes },
      windows,
      iommuMap: this.apart(
        maps.flatMap(({ entries }) => entries),
        complexes[0],
      ),
      // Where every function has the same stream, no bit of its requester id counts.
      iommuMapMask: maps.some(({ single }) => single) ? 0 : 0xffffffff,
      atsSupported: complexes.every(({ ats }) => ats),
      coherent: complexes.every(({ memory }) => memory.coherent),
    };
  }

  /** Requester ids that reach an SMMU; those that go to an ITS directly pass every SMMU. */
  iommuMap(node: IortRootComplex): { entries: PlatformIommuMapping[]; single: boolean } {
    const where = `root complex of segment ${node.segment}`;
    const single = node.mappings.find((mapping) => mapping.single);
    if (single !== undefined) {
      if (node.mappings.length > 1) {
        const problem = 'one of its mappings is for every function, and there are others';
        throw complain('ENOTSUP', where, node.offset, problem, 'such root complexes are not read here');
      }
      const iommu = this.iommuOf(single);
      const entries = iommu === null ? [] : [{ ridBase: 0, iommu, streamBase: single.outputBase, length: 1 }];
      return { entries, single: true };
    }
    const entries = node.mappings.flatMap((mapping) => {
      const iommu = this.iommuOf(mapping);
      const length = Math.min(mapping.count, REQUESTER_IDS - mapping.inputBase);
      if (iommu === null || length <= 0) return [];
      return [{ ridBase: mapping.inputBase, iommu, streamBase: mapping.outputBase, length }];
    });
    return { entries, single: false };
  }

  /** The path of the SMMU that a mapping leads to, or null. */
  iommuOf({ output }: IortMapping): string | null {
    const node = this.nodes.get(output);
    return node?.kind === 'smmuv3' || node?.kind === 'smmu' ? `/${nameOf(node)}` : null;
  }

  apart(entries: PlatformIommuMapping[], { segment, offset }: IortRootComplex): PlatformIommuMapping[] {
    const sorted = [...entries].sort((a, b) => a.ridBase - b.ridBase);
    for (let i = 1; i < sorted.length; i++) {
      if (sorted[i - 1].ridBase + sorted[i - 1].length <= sorted[i].ridBase) continue;
      const problem = `two mappings hold the requester ID 0x${sorted[i].ridBase.toString(16)}`;
      throw complain('EOVERLAP', `root complex of segment ${segment}`, offset, problem, 'make them disjoint');
    }
    return entries;
  }

  // ── platform devices ───────────────────────────────────────────────────────────────────────────────────────────

  device(node: IortNamedComponent): PlatformDevice {
    const streams = new Map<string, number[]>();
    for (const mapping of node.mappings) {
      const iommu = this.iommuOf(mapping);
      if (iommu !== null) streams.set(iommu, [...(streams.get(iommu) ?? []), ...this.streamsOf(mapping, node)]);
    }
    return {
      kind: 'device',
      name: node.name.slice(node.name.lastIndexOf('.') + 1),
      path: node.name,
      compatible: [],
      base: 0,
      bytes: 0,
      regions: [],
      interrupts: [],
      iommus: Array.from(streams, ([iommu, numbers]) => ({ iommu, streams: numbers })),
      pasidBits: node.pasidBits,
      canStall: node.stall,
      coherent: node.memory.coherent,
      properties: {},
    };
  }

  streamsOf({ single, outputBase, count }: IortMapping, { name, offset }: IortNamedComponent): number[] {
    const length = single ? 1 : count;
    if (length <= MOST_STREAMS) return Array.from({ length }, (_, i) => outputBase + i);
    const problem = `a mapping to ${length} streams`;
    throw complain('ENOTSUP', name, offset, problem, `a device has at most ${MOST_STREAMS} here`);
  }
}

/** As a devicetree would call it. */
function nameOf({ kind, base }: IortSmmuV3 | IortSmmu): string {
  return `${kind === 'smmu' ? 'iommu' : 'smmuv3'}@${base.toString(16)}`;
}

/** Its wired interrupts by the names that a devicetree gives them; 0 is none. */
function wires({ interrupts: { event, pri, gerror, sync }, model }: IortSmmuV3): PlatformInterrupt[] {
  if (model === CN99XX && event !== 0 && event === pri && event === gerror && event === sync) {
    return [interrupt('combined', event)];
  }
  const named = [
    interrupt('eventq', event),
    interrupt('priq', pri),
    interrupt('cmdq-sync', sync),
    interrupt('gerror', gerror),
  ];
  return named.filter((_, i) => [event, pri, sync, gerror][i] !== 0);
}

/** A GSIV is the GIC's INTID; SPIs count from 32 on, extended ones from 4096. SMMUs' are edge-triggered. */
function interrupt(name: string, gsiv: number): PlatformInterrupt {
  if (gsiv >= 4096) return { name, type: 'espi', number: gsiv - 4096, trigger: 'edge' };
  if (gsiv >= 32) return { name, type: 'spi', number: gsiv - 32, trigger: 'edge' };
  return { name, type: 'line', number: gsiv, trigger: 'edge' };
}
