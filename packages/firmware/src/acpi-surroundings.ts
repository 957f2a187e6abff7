import type { FirmwareError, FirmwareErrorCode } from './firmware-error.js';
import type { McfgEntry } from './parse-mcfg.js';
import type { PciWindow, PlatformDescription, PlatformNode } from './platform-description.js';

/** What an ACPI table of IOMMUs does not say about its machine. */
export interface AcpiSurroundings {
  /**
   * Where RAM, CPUs, interrupt controllers and the windows to PCI memory come from, and, without `mcfg`, configuration
   * spaces. Its IOMMUs and devices are not taken.
   */
  readonly base: PlatformDescription;
  /** Configuration spaces, as the machine's MCFG gives them. */
  readonly mcfg?: readonly McfgEntry[];
}

/** A configuration space, and the windows of its root complex. */
export interface ConfigSpace extends McfgEntry {
  readonly windows: readonly PciWindow[];
}

/** Makes the error of one table, at a byte of it or at none. */
export type Complain = (
  code: FirmwareErrorCode,
  where: string,
  offset: number | null,
  problem: string,
  remedy: string,
) => FirmwareError;

/** The configuration spaces of a segment. @throws FirmwareError ENOPROPERTY when nothing says where one is */
export function spacesOf(
  { base, mcfg }: AcpiSurroundings,
  segment: number,
  at: { readonly where: string; readonly offset: number },
  complain: Complain,
): ConfigSpace[] {
  const known = base.nodes.filter((node) => node.kind === 'pci-host').filter((node) => node.segment === segment);
  const given: readonly McfgEntry[] = mcfg?.filter((entry) => entry.segment === segment) ?? known;
  if (given.length > 0) return given.map((entry) => ({ ...entry, windows: known[0]?.windows ?? [] }));
  const remedy = mcfg === undefined ? "give the machine's MCFG too" : 'give the MCFG of the same machine';
  const problem = `nothing says where the configuration space of segment ${segment} is`;
  throw complain('ENOPROPERTY', at.where, at.offset, problem, remedy);
}

/** The nodes of the base that stay: what interrupts go to. */
export function keptNodes({ base }: AcpiSurroundings): PlatformNode[] {
  return base.nodes.filter(({ kind }) => kind === 'interrupt-controller' || kind === 'msi-controller');
}

/** @throws FirmwareError EDUPLICATE when two nodes have one path */
export function checkPaths(nodes: readonly PlatformNode[], complain: Complain): void {
  const paths = new Set<string>();
  for (const { path } of nodes) {
    if (paths.has(path)) throw complain('EDUPLICATE', path, null, 'it is there twice', 'leave one of them');
    paths.add(path);
  }
}

/** RAM, IOMMUs and configuration spaces must be apart from one another. @throws FirmwareError EOVERLAP */
export function checkApart({ base }: AcpiSurroundings, nodes: readonly PlatformNode[], complain: Complain): void {
  const claims = base.memory.map((range) => ({ ...range, what: 'RAM' }));
  for (const node of nodes) {
    if (node.kind === 'iommu') claims.push({ base: node.base, bytes: node.bytes, what: node.path });
    if (node.kind === 'pci-host') claims.push({ ...node.ecam, what: node.path });
  }
  claims.sort((a, b) => a.base - b.base);
  for (let i = 1; i < claims.length; i++) {
    const [before, { base: start, what }] = [claims[i - 1], claims[i]];
    if (before.base + before.bytes <= start) continue;
    const problem = `0x${start.toString(16)} belongs to ${before.what} too`;
    throw complain('EOVERLAP', what, null, problem, 'describe RAM and configuration spaces of the same machine');
  }
}
