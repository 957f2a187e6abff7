import type { Setting } from '@iommukit/kernel';
import { smmuV3Hardware, capabilitiesFrom as smmuv3Capabilities } from '@iommukit/smmuv3-hardware';
import { capabilitiesFrom as vtdCapabilities, vtdHardware } from '@iommukit/vtd-hardware';
import {
  type ByteSource,
  bytesSource,
  InspectedUnit,
  parseRegisters,
  readElfCore,
  smmuv3Sequence,
  vtdSequence,
} from '../src/index.js';
import { type ElfShape, elfCore } from './elf-writer.js';
import { type Mapping, Ram } from './memory.js';

/** A machine that a test made: its files, what it maps, and how its model is asked. */
export interface Made {
  readonly backend: 'vtd' | 'smmuv3';
  readonly rams: readonly Ram[];
  readonly registers: string;
  readonly base: number;
  /** The one device that has mappings. */
  readonly requester: number;
  readonly mappings: readonly Mapping[];
  /** Reasons for an address that is not mapped, and for a write that is not allowed. */
  readonly absent: number;
  readonly readOnly: number;
  /** Beside what the registers say. */
  readonly extra?: Readonly<Record<string, Setting>>;
}

/** The image of a machine as a file. */
export const imageOf = ({ rams }: Made, shape?: ElfShape): Uint8Array =>
  elfCore(
    rams.map(({ segment }) => segment),
    shape,
  );

/** The model of a machine, by its files. */
export function open(
  made: Made,
  source: ByteSource = bytesSource(imageOf(made), 'mem.elf'),
  text = made.registers,
): InspectedUnit {
  const registers = parseRegisters([{ name: 'registers.txt', text }]);
  const read = registers.unit(made.base);
  const known = made.backend === 'vtd' ? vtdCapabilities(read) : smmuv3Capabilities(read);
  return new InspectedUnit({
    image: readElfCore(source),
    registers,
    base: made.base,
    hardware: made.backend === 'vtd' ? vtdHardware : smmuV3Hardware,
    sequence: made.backend === 'vtd' ? vtdSequence : smmuv3Sequence,
    capabilities: { ...known, ...made.extra },
  });
}

/** 32-bit words as `xp` prints them, four a line, zeros left in. */
function dump(base: number, bytes: number, words: Readonly<Record<number, number | bigint>>): string {
  const values = new Map<number, number>();
  for (const [offset, word] of Object.entries(words)) {
    values.set(Number(offset), Number(BigInt(word) & 0xffff_ffffn));
    if (typeof word === 'bigint') values.set(Number(offset) + 4, Number(word >> 32n));
  }
  const lines: string[] = [];
  for (let at = 0; at < bytes; at += 16) {
    const four = [0, 4, 8, 12].map((i) => `0x${(values.get(at + i) ?? 0).toString(16).padStart(8, '0')}`);
    lines.push(`${(base + at).toString(16).padStart(16, '0')}: ${four.join(' ')}`);
  }
  return `${lines.join('\n')}\n`;
}

// ── VT-d ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const VTD = 0xfed9_0000;
const REQUESTER = 0x0118;
/** ND 6, SAGAW 39 and 48 bits, MGAW 48, FRO 0x22, pages of 2 MiB and 1 GiB, page-selective invalidation. */
const CAP = 0x00d2_008c_222f_0606n;
/** The same with 39 bits alone. */
const CAP39 = 0x00d2_008c_2226_0206n;
const QI_SC = 0x0000_0f4an | 0x80n;
const SMTS_SLTS = (1n << 43n) | (1n << 46n);
/** PASIDs of 20 bits, scalable mode, first stage. */
const PASIDS_FLTS = (19n << 35n) | (1n << 40n) | (1n << 43n) | (1n << 47n);
const TES_RTPS = 0xc000_0000;

const vtdRegisters = (cap: bigint, ecap: bigint, root: number, ttm = 0): string =>
  dump(VTD, 0x230, { 0: 0x10, 8: cap, 16: ecap, 28: TES_RTPS, 32: BigInt(root) | BigInt(ttm << 10) });

/** Addresses near both ends of what so many bits reach, a large page, one that may only be read, one that may only be written. */
function spread(bits: number, target: bigint): Mapping[] {
  const top = 1n << BigInt(bits);
  const page = { bytes: 0x1000n, read: true, write: true };
  return [
    { iova: 0x1000n, pa: target, ...page },
    { iova: 0x2000n, pa: target + 0x5000n, ...page, write: false },
    { iova: 0x3000n, pa: target + 0x9000n, ...page, read: false },
    { iova: 0x20_0000n, pa: (target & ~0x1f_ffffn) + 0x40_0000n, bytes: 0x20_0000n, read: true, write: true },
    { iova: top - 0x1000n, pa: target + 0xd000n, ...page },
  ];
}

/** Writes mappings as second-stage entries of VT-d (vtd.md 2.12). */
function mapSecond(ram: Ram, root: number, levels: number, mappings: readonly Mapping[]): void {
  for (const { iova, pa, bytes, read, write } of mappings) {
    const level = bytes === 0x1000n ? 1 : 2;
    const flags = (read ? 1n : 0n) | (write ? 2n : 0n) | (level === 2 ? 0x80n : 0n);
    ram.store(ram.entry(root, levels, level, iova, 3n), pa | flags);
  }
}

/** A machine in legacy mode (vtd.md 2.1, 2.2), with tables of 3 or 4 levels. */
export function legacyVtd(levels: 3 | 4, base = 0x10_0000): Made {
  const ram = new Ram(base, 64);
  const [root, context, table] = [ram.frames(), ram.frames(), ram.frames()];
  const mappings = spread(levels === 3 ? 39 : 48, BigInt(base) + 0x20_0000n);
  ram.store(root + (REQUESTER >> 8) * 16, BigInt(context) | 1n);
  ram.store(context + (REQUESTER & 0xff) * 16, BigInt(table) | 1n, (5n << 8n) | BigInt(levels - 2));
  mapSecond(ram, table, levels, mappings);
  const registers = vtdRegisters(levels === 3 ? CAP39 : CAP, QI_SC, root);
  // Legacy second stage: an address that is not there cannot be read, or written (5.1).
  return { backend: 'vtd', rams: [ram], registers, base: VTD, requester: REQUESTER, mappings, absent: 6, readOnly: 5 };
}

/** A machine in scalable mode with second-stage tables (vtd.md 2.7 to 2.10). */
export function scalableSecondStage(base = 0x10_0000): Made {
  const ram = new Ram(base, 64);
  const [root, context, directory, pasids, table] = [0, 0, 0, 0, 0].map(() => ram.frames()) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const mappings = spread(48, BigInt(base) + 0x20_0000n);
  ram.store(root + (REQUESTER >> 8) * 16, BigInt(context) | 1n);
  ram.store(context + (REQUESTER & 0x7f) * 32, BigInt(directory) | 1n);
  ram.store(directory, BigInt(pasids) | 1n);
  // PGTT 2, AW 2, DID 5.
  ram.store(pasids, BigInt(table) | 0x89n, 5n);
  mapSecond(ram, table, 4, mappings);
  const registers = vtdRegisters(CAP, QI_SC | SMTS_SLTS, root, 1);
  return {
    backend: 'vtd',
    rams: [ram],
    registers,
    base: VTD,
    requester: REQUESTER,
    mappings,
    absent: 0x79,
    readOnly: 0x85,
  };
}

/** The PASID that has mappings on the machines that have PASIDs. */
export const PASID = 0x45;

/** Two pages: one that may be written, and one that may only be read. */
function twoPages(target: bigint): Mapping[] {
  const page = { bytes: 0x1000n, read: true };
  return [
    { iova: 0x7fff_0000_1000n, pa: target, ...page, write: true },
    { iova: 0x7fff_0000_2000n, pa: target + 0x5000n, ...page, write: false },
  ];
}

/** A machine in scalable mode with the first-stage tables of one process (vtd.md 2.8 to 2.11, 4.1). */
export function scalableFirstStage(base = 0x10_0000): Made {
  const ram = new Ram(base, 64);
  const [root, context, directory, pasids, table] = [0, 0, 0, 0, 0].map(() => ram.frames()) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const mappings = twoPages(BigInt(base) + 0x20_0000n);
  ram.store(root + (REQUESTER >> 8) * 16, BigInt(context) | 1n);
  // PASIDE; the directory has 128 entries.
  ram.store(context + (REQUESTER & 0x7f) * 32, BigInt(directory) | 9n);
  ram.store(directory + (PASID >> 6) * 8, BigInt(pasids) | 1n);
  // PGTT 1, DID 5, four levels.
  ram.store(pasids + (PASID & 0x3f) * 64, 0x41n, 5n, BigInt(table));
  // P, U/S, A, D, and R/W where it is so.
  for (const { iova, pa, write } of mappings)
    ram.store(ram.entry(table, 4, 1, iova, 0x27n), pa | 0x65n | (write ? 2n : 0n));
  const registers = vtdRegisters(CAP, QI_SC | PASIDS_FLTS, root, 1);
  const reasons = { absent: 0x71, readOnly: 0x85 };
  return { backend: 'vtd', rams: [ram], registers, base: VTD, requester: REQUESTER, mappings, ...reasons };
}

/** RAM below and above 4 GiB: the tables, and what they map, lie above. */
export function highRam(): Made {
  const made = legacyVtd(4, 0x1_2345_6000);
  return { ...made, rams: [new Ram(0, 16), ...made.rams], extra: { haw: 39 } };
}

// ── SMMUv3 ───────────────────────────────────────────────────────────────────────────────────────────────────────

const SMMU = 0x905_0000;
/** IDR0 of a machine with stage 2 alone: S2P, AArch64, coherent, ASID16, VMID16, little-endian, terminate only and aborting, 2 levels. */
const IDR0_S2 = 0x0d44_1019;
const IDR1 = 0x0273_0010;
const IDR5 = 0x74;

/** An SMMUv3 with stage 2 alone (smmuv3.md 2.1, 2.2), and a stream table of one or two levels; tables begin at level 1, two side by side. */
export function stage2Smmu(twoLevels = true): Made {
  const base = 0x4000_0000;
  const ram = new Ram(base, 64);
  const sid = REQUESTER;
  const strtab = ram.frames(16);
  const leaf = twoLevels ? ram.frames(4) : strtab;
  if (twoLevels) ram.store(strtab + (sid >> 8) * 8, BigInt(leaf) | 9n);
  const ste = leaf + (twoLevels ? sid & 0xff : sid) * 64;
  const table = ram.frames(2);
  const mappings = spread(40, BigInt(base) + 0x20_0000n);
  // VMID 3, 40 bits, start at level 1, 44-bit output, AArch64, S2R.
  const dw2 = 3n | (24n << 32n) | (1n << 38n) | (4n << 48n) | (1n << 51n) | (1n << 58n);
  ram.store(ste, 0xdn, 0n, dw2, BigInt(table));
  for (const { iova, pa, bytes, read, write } of mappings) {
    const level = bytes === 0x1000n ? 1 : 2;
    // The first table holds twice as many entries: bit 39 of the address chooses between the two that lie side by side.
    const root = table + Number(iova >> 39n) * 4096;
    const rights = (read ? 0x40n : 0n) | (write ? 0x80n : 0n);
    ram.store(ram.entry(root, 3, level, iova, 3n), pa | 0x73dn | rights | (level === 1 ? 2n : 0n));
  }
  const registers = dump(SMMU, 0xe0, {
    ...{ 0: IDR0_S2, 4: IDR1, 12: 0x1414, 20: IDR5, 32: 0xd, 36: 0xd, 40: 0xd75, 44: 6, 68: 0x1000 },
    128: BigInt(strtab),
    136: twoLevels ? 0x1_0210 : 9,
    160: BigInt(ram.frames(8)) | 10n,
  });
  return {
    backend: 'smmuv3',
    rams: [ram],
    registers,
    base: SMMU,
    requester: sid,
    mappings,
    absent: 0x10,
    readOnly: 0x13,
  };
}

/** IDR0 of a machine with stage 1 alone, and 20 bits of SubstreamID. */
const IDR0_S1 = (IDR0_S2 & ~1) | 2;
const IDR1_SUBSTREAMS = IDR1 | (20 << 6);

/** An SMMUv3 with stage 1 and a context descriptor for the substream of one process, in a linear table of 128 (smmuv3.md 2.2, 2.4). */
export function substreamSmmu(): Made {
  const base = 0x4000_0000;
  const ram = new Ram(base, 64);
  const [strtab, contexts, table] = [ram.frames(8), ram.frames(2), ram.frames()];
  const mappings = twoPages(BigInt(base) + 0x20_0000n);
  // Stage 1; S1CDMax 7; traffic without SSID is terminated.
  ram.store(strtab + REQUESTER * 64, BigInt(contexts) | 0xbn | (7n << 59n));
  // 48 bits, 4 KiB, the lower half alone, 44-bit output, AArch64, R, A, ASID 7.
  const cd = 0x10n | (1n << 30n) | (1n << 31n) | (4n << 32n) | (1n << 41n) | (3n << 45n) | (7n << 48n);
  ram.store(contexts + PASID * 64, cd, BigInt(table), 0n, 0xffn);
  // AF, inner shareable, AP[1], and AP[2] where it is read-only.
  for (const { iova, pa, write } of mappings)
    ram.store(ram.entry(table, 4, 1, iova, 3n), pa | 0x743n | (write ? 0n : 0x80n));
  const registers = dump(SMMU, 0xe0, {
    ...{ 0: IDR0_S1, 4: IDR1_SUBSTREAMS, 12: 0x1414, 20: IDR5, 32: 0xd, 36: 0xd, 40: 0xd75, 44: 6, 68: 0x1000 },
    128: BigInt(strtab),
    136: 9,
    160: BigInt(ram.frames(8)) | 10n,
  });
  const reasons = { absent: 0x10, readOnly: 0x13 };
  return { backend: 'smmuv3', rams: [ram], registers, base: SMMU, requester: REQUESTER, mappings, ...reasons };
}
