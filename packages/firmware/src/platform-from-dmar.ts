import {
  type AcpiSurroundings,
  type ConfigSpace,
  checkApart,
  checkPaths,
  keptNodes,
  spacesOf,
} from './acpi-surroundings.js';
import type { Dmar, DmarAndd, DmarDrhd, DmarScope, DmarStructure } from './dmar.js';
import { FirmwareError, type FirmwareErrorCode } from './firmware-error.js';
import type {
  PlatformDescription,
  PlatformDevice,
  PlatformInterrupt,
  PlatformIommu,
  PlatformIommuMapping,
  PlatformNode,
  PlatformPciHost,
} from './platform-description.js';
import { mergedRanges, otherRanges, type RequesterRange } from './requester-ranges.js';

/** A PCI bridge as its configuration space describes it: a DMAR names bridges, but not the buses below them. */
export interface DmarBridge {
  readonly segment: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number;
  /** First and last bus below it. */
  readonly buses: readonly [number, number];
}

/** What a DMAR does not say about its machine. */
export interface DmarSurroundings extends AcpiSurroundings {
  /** The bridges whose functions are to be found; without them the buses below bridges are behind no unit that names them. */
  readonly bridges?: readonly DmarBridge[];
}

/**
 * What a DMAR says about a machine, as `platformFromDevicetree` says it: VT-d units with their registers, root complexes with
 * the units of their functions, ACPI devices with their streams. A stream is a requester ID. Units interrupt by messages:
 * their lines have the names `fault`, `invalidation` and `page-request` and numbers that only count them.
 * @throws FirmwareError ENOPROPERTY (a segment without a configuration space), EOVERLAP, EDUPLICATE
 */
export function platformFromDmar(dmar: Dmar, surroundings: DmarSurroundings): PlatformDescription {
  return new DmarPlatform(dmar, surroundings).describe();
}

const EVENTS = ['fault', 'invalidation', 'page-request'] as const;

type Kinds<K extends DmarStructure['kind']> = Extract<DmarStructure, { kind: K }>;

/** Some requester IDs of a segment, and the unit they are behind. */
interface Claim extends RequesterRange {
  readonly unit: DmarDrhd;
}

const complain = (
  code: FirmwareErrorCode,
  where: string,
  offset: number | null,
  problem: string,
  remedy: string,
): FirmwareError => new FirmwareError(code, `DMAR ${where}`, offset, problem, remedy);

const nameOf = ({ base }: DmarDrhd): string => `dmar@${base.toString(16)}`;
const ridOf = (bus: number, device: number, fn: number): number => (bus << 8) | (device << 3) | fn;

class DmarPlatform {
  constructor(
    readonly dmar: Dmar,
    readonly surroundings: DmarSurroundings,
  ) {}

  describe(): PlatformDescription {
    const { base } = this.surroundings;
    const units = this.all('drhd');
    const nodes: PlatformNode[] = units.map((unit, i) => this.iommu(unit, i));
    for (const segment of new Set(units.map((unit) => unit.segment))) nodes.push(...this.hosts(segment));
    nodes.push(...this.all('andd').flatMap((device) => this.device(device)));
    checkPaths(nodes, complain);
    checkApart(this.surroundings, nodes, complain);
    return {
      source: 'acpi',
      model: this.dmar.maker,
      cpus: base.cpus,
      memory: base.memory,
      reserved: [...base.reserved, ...this.all('rmrr').map((rmrr) => ({ base: rmrr.base, bytes: rmrr.bytes }))],
      nodes: [...nodes, ...keptNodes(this.surroundings)],
    };
  }

  all<K extends DmarStructure['kind']>(kind: K): Kinds<K>[] {
    return this.dmar.structures.filter((structure): structure is Kinds<K> => structure.kind === kind);
  }

  // ── units ──────────────────────────────────────────────────────────────────────────────────────────────────────

  iommu(unit: DmarDrhd, index: number): PlatformIommu {
    const name = nameOf(unit);
    const { addressBits, x2apicOptOut } = this.dmar;
    const proximity = this.all('rhsa').find((rhsa) => rhsa.base === unit.base)?.proximity;
    return {
      kind: 'iommu',
      name,
      path: `/${name}`,
      compatible: ['intel,vtd'],
      base: unit.base,
      bytes: unit.bytes,
      interrupts: EVENTS.map((event, i) => interrupt(event, EVENTS.length * index + i)),
      coherent: true,
      properties: {
        'host-address-width': addressBits,
        segment: unit.segment,
        ...(unit.includePciAll && { 'include-pci-all': true as const }),
        ...(x2apicOptOut && { 'x2apic-opt-out': true as const }),
        ...(proximity !== undefined && { 'numa-node-id': proximity }),
      },
    };
  }

  // ── root complexes ─────────────────────────────────────────────────────────────────────────────────────────────

  hosts(segment: number): PlatformPciHost[] {
    const own = this.all('drhd').filter((unit) => unit.segment === segment);
    const at = { where: `unit of segment ${segment}`, offset: own[0].offset };
    const iommuMap = this.iommuMap(own);
    const atsSupported = this.passesAts(segment);
    return spacesOf(this.surroundings, segment, at, complain).map((space) => this.host(space, iommuMap, atsSupported));
  }

  host(
    { segment, busRange, ecam, windows }: ConfigSpace,
    iommuMap: readonly PlatformIommuMapping[],
    atsSupported: boolean,
  ): PlatformPciHost {
    const name = `pcie@${ecam.base.toString(16)}`;
    return {
      kind: 'pci-host',
      name,
      path: `/${name}`,
      compatible: ['pci-host-ecam-generic'],
      segment,
      busRange,
      ecam: { base: ecam.base, bytes: ecam.bytes },
      windows,
      iommuMap,
      iommuMapMask: 0xffffffff,
      atsSupported,
      coherent: true,
    };
  }

  /** Somebody of the segment passes ATS: all root ports, some, or functions of the chip set. */
  passesAts(segment: number): boolean {
    const ports = this.all('atsr').some(
      (atsr) => atsr.segment === segment && (atsr.allPorts || atsr.scopes.length > 0),
    );
    return ports || this.all('satc').some((satc) => satc.segment === segment && satc.scopes.length > 0);
  }

  /** Streams are requester IDs. A unit for the whole segment has those that no other one names. */
  iommuMap(units: readonly DmarDrhd[]): PlatformIommuMapping[] {
    const rest = units.find(({ includePciAll }) => includePciAll);
    const named = units.filter((unit) => unit !== rest).flatMap((unit) => this.claimsOf(unit));
    this.checkClaims(named);
    const others = rest === undefined ? [] : otherRanges(named).map((range) => ({ ...range, unit: rest }));
    const all = [...named, ...others].sort((a, b) => a.first - b.first);
    return all.map(({ first, end, unit }) => ({
      ridBase: first,
      iommu: `/${nameOf(unit)}`,
      streamBase: first,
      length: end - first,
    }));
  }

  claimsOf(unit: DmarDrhd): Claim[] {
    return mergedRanges(unit.scopes.flatMap((scope) => this.rangesOf(scope, unit))).map((range) => ({
      ...range,
      unit,
    }));
  }

  /** Requester IDs of a scope. I/O APICs and timers send interrupts only; they are in no map. */
  rangesOf(scope: DmarScope, { segment }: DmarDrhd): RequesterRange[] {
    if (scope.kind !== 'endpoint' && scope.kind !== 'bridge') return [];
    const rid = this.requesterOf(scope, segment);
    if (rid === null) return [];
    const own = { first: rid, end: rid + 1 };
    const below = scope.kind === 'bridge' ? this.busesBelow(segment, rid) : null;
    return below === null ? [own] : [own, { first: below[0] << 8, end: (below[1] + 1) << 8 }];
  }

  /** Where a path ends; null when it leads through a bridge that is not known. */
  requesterOf({ bus, path }: DmarScope, segment: number): number | null {
    let at: number | null = null;
    let next: number | null = bus;
    for (const hop of path) {
      if (next === null) return null;
      at = ridOf(next, hop.device, hop.function);
      next = this.busesBelow(segment, at)?.[0] ?? null;
    }
    return at;
  }

  busesBelow(segment: number, rid: number): readonly [number, number] | null {
    const is = (bridge: DmarBridge) =>
      bridge.segment === segment && ridOf(bridge.bus, bridge.device, bridge.function) === rid;
    return this.surroundings.bridges?.find(is)?.buses ?? null;
  }

  checkClaims(claims: readonly Claim[]): void {
    const sorted = [...claims].sort((a, b) => a.first - b.first);
    for (let i = 1; i < sorted.length; i++) {
      const [before, { first, unit }] = [sorted[i - 1], sorted[i]];
      if (before.end <= first) continue;
      const problem = `the requester ID 0x${first.toString(16)} belongs to ${nameOf(before.unit)} too`;
      throw complain('EOVERLAP', nameOf(unit), unit.offset, problem, 'name each function in one unit');
    }
  }

  // ── ACPI devices ───────────────────────────────────────────────────────────────────────────────────────────────

  /** A namespace device, if some unit names it: with the streams that it has there. */
  device({ number, name }: DmarAndd): PlatformDevice[] {
    const iommus = this.all('drhd').flatMap((unit) => {
      const own = unit.scopes.filter(({ kind, enumeration }) => kind === 'namespace' && enumeration === number);
      const rids = own.map((scope) => this.requesterOf(scope, unit.segment)).filter((rid) => rid !== null);
      return rids.length === 0 ? [] : [{ iommu: `/${nameOf(unit)}`, streams: [...new Set(rids)] }];
    });
    if (iommus.length === 0) return [];
    const none = { compatible: [], base: 0, bytes: 0, regions: [], interrupts: [] };
    return [
      {
        kind: 'device',
        name: name.slice(name.lastIndexOf('.') + 1),
        path: name,
        ...none,
        iommus,
        pasidBits: 0,
        canStall: false,
        coherent: true,
        properties: {},
      },
    ];
  }
}

const interrupt = (name: string, number: number): PlatformInterrupt => ({
  name,
  type: 'line',
  number,
  trigger: 'edge',
});
