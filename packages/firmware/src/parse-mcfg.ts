import { AcpiTable } from './acpi-table.js';
import type { AddressRange } from './platform-description.js';

const TABLE_BYTES = 44;
const ENTRY_BYTES = 16;
const BUS_BYTES = 2 ** 20;

/** The configuration space of some buses of a PCI segment. */
export interface McfgEntry {
  readonly segment: number;
  /** First and last bus. */
  readonly busRange: readonly [number, number];
  /** 1 MiB a bus, the first bus of `busRange` at `base`. */
  readonly ecam: AddressRange;
}

/**
 * Reads an MCFG: where the configuration spaces of PCI segments are (PCI Firmware Specification 4.1.2). The table gives
 * the address of bus 0; entries here begin at their first bus.
 * @throws FirmwareError EBADMAGIC, ETRUNCATED, EBADHEADER, ECHECKSUM, EBADSTRUCT, EBADPROPERTY, EDUPLICATE, ERANGE
 */
export function parseMcfg(bytes: Uint8Array): McfgEntry[] {
  const table = new AcpiTable(bytes, 'MCFG');
  const { length } = table.header;
  if (length < TABLE_BYTES || (length - TABLE_BYTES) % ENTRY_BYTES !== 0) {
    const problem = `${length} bytes are no list of 16-byte entries`;
    throw table.error('EBADSTRUCT', 'length', 4, problem, 'correct the length');
  }
  const entries: McfgEntry[] = [];
  for (let at = TABLE_BYTES; at < length; at += ENTRY_BYTES) entries.push(entry(table, at, entries.length));
  checkApart(table, entries);
  return entries;
}

function entry(table: AcpiTable, at: number, n: number): McfgEntry {
  const where = `entry ${n}`;
  const [first, last] = [table.u8(at + 10, where), table.u8(at + 11, where)];
  if (first > last) {
    throw table.error('EBADPROPERTY', where, at + 10, `buses ${first} to ${last}`, 'give the first one first');
  }
  const ecam = { base: table.u64(at, where) + first * BUS_BYTES, bytes: (last - first + 1) * BUS_BYTES };
  if (ecam.base + ecam.bytes > Number.MAX_SAFE_INTEGER) {
    throw table.error('ERANGE', where, at, 'the configuration space runs past 2^53', 'addresses go up to 2^53 here');
  }
  return { segment: table.u16(at + 8, where), busRange: [first, last], ecam };
}

function checkApart(table: AcpiTable, entries: readonly McfgEntry[]): void {
  const sorted = [...entries.entries()].sort(([, a], [, b]) => a.segment - b.segment || a.busRange[0] - b.busRange[0]);
  for (let i = 1; i < sorted.length; i++) {
    const [[, before], [n, { segment, busRange }]] = [sorted[i - 1], sorted[i]];
    if (before.segment !== segment || before.busRange[1] < busRange[0]) continue;
    const problem = `bus ${busRange[0]} of segment ${segment} is there twice`;
    throw table.error('EDUPLICATE', `entry ${n}`, TABLE_BYTES + n * ENTRY_BYTES, problem, 'leave one entry');
  }
}
