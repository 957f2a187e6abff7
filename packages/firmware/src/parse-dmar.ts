import { AcpiTable } from './acpi-table.js';
import type { Dmar, DmarDrhd, DmarHop, DmarScope, DmarStructure, DmarStructureBase } from './dmar.js';
import type { AddressRange } from './platform-description.js';

const TABLE_BYTES = 48;
const STRUCTURE_BYTES = 4;
const SCOPE_BYTES = 8;
const PAGE = 4096;
const MOST_ADDRESS_BITS = 64;
const KINDS = ['drhd', 'rmrr', 'atsr', 'rhsa', 'andd', 'satc'] as const;
type Kind = DmarStructure['kind'];

/** Bytes that a structure of each kind has at least, without scopes. */
const LEAST: Readonly<Record<Kind, number>> = {
  drhd: 16,
  rmrr: 24,
  atsr: 8,
  rhsa: 20,
  andd: 10,
  satc: 8,
  unknown: STRUCTURE_BYTES,
};

const SCOPE_KINDS = ['unknown', 'endpoint', 'bridge', 'ioapic', 'hpet', 'namespace'] as const;

/**
 * Reads a DMAR (VT-d specification, chapter 8). Every length, count, address and reference is checked; structures and scopes of
 * newer kinds are kept as `unknown`.
 * @throws FirmwareError EBADMAGIC, ETRUNCATED, EBADHEADER, ECHECKSUM, EBADSTRUCT, EBADNAME, EBADPROPERTY, EBADREFERENCE,
 * EDUPLICATE, ERANGE
 */
export function parseDmar(bytes: Uint8Array): Dmar {
  return new DmarReader(new AcpiTable(bytes, 'DMAR')).read();
}

/** One structure as it stands in the table. */
interface Place {
  readonly at: number;
  readonly end: number;
  readonly kind: Kind;
  readonly type: number;
  /** For errors: `structure 2 (rmrr)`. */
  readonly where: string;
}

class DmarReader {
  constructor(readonly table: AcpiTable) {}

  read(): Dmar {
    const { revision, maker, length } = this.table.header;
    if (length < TABLE_BYTES) {
      const problem = `0x${length.toString(16)} bytes hold no structures`;
      throw this.table.error('EBADHEADER', 'length', 4, problem, 'a DMAR has 48 bytes at least');
    }
    const addressBits = this.table.u8(36, 'host address width') + 1;
    if (addressBits > MOST_ADDRESS_BITS) {
      const problem = `addresses of ${addressBits} bits`;
      throw this.table.error('EBADPROPERTY', 'host address width', 36, problem, 'an address has at most 64');
    }
    const flags = this.table.u8(37, 'flags');
    const places = this.places();
    const structures = places.map((place) => this.structure(place));
    this.checkReferences(structures, places);
    return {
      revision,
      maker,
      addressBits,
      interruptRemapping: (flags & 1) !== 0,
      x2apicOptOut: (flags & 2) !== 0,
      dmaOptIn: (flags & 4) !== 0,
      structures,
    };
  }

  /** Where the structures are: one behind the other up to the end. */
  places(): Place[] {
    const places: Place[] = [];
    for (let at = TABLE_BYTES; at < this.table.header.length; at = places[places.length - 1].end) {
      places.push(this.place(at, places.length));
    }
    return places;
  }

  place(at: number, i: number): Place {
    const type = this.table.u16(at, `structure ${i}`);
    const kind = KINDS[type] ?? 'unknown';
    const where = `structure ${i} (${kind})`;
    const length = this.table.u16(at + 2, where);
    if (length < LEAST[kind]) {
      const problem = `${length} bytes are too few: it has ${LEAST[kind]} at least`;
      throw this.table.error('EBADSTRUCT', where, at + 2, problem, 'correct its length');
    }
    this.table.inside(at, length, where);
    return { at, end: at + length, kind, type, where };
  }

  // ── structures ─────────────────────────────────────────────────────────────────────────────────────────────────

  structure(place: Place): DmarStructure {
    const { at, end, kind, type, where } = place;
    const base: DmarStructureBase = { offset: at };
    switch (kind) {
      case 'drhd':
        return { kind, ...base, ...this.drhd(place) };
      case 'rmrr':
        return { kind, ...base, segment: this.table.u16(at + 6, where), ...this.rmrr(place) };
      case 'atsr': {
        const allPorts = (this.table.u8(at + 4, where) & 1) !== 0;
        return { kind, ...base, segment: this.table.u16(at + 6, where), allPorts, scopes: this.scopes(place, 8) };
      }
      case 'rhsa':
        return {
          kind,
          ...base,
          base: this.table.u64(at + 8, where),
          proximity: this.table.u32(at + 16, where),
        };
      case 'andd':
        return {
          kind,
          ...base,
          number: this.table.u8(at + 7, where),
          name: this.table.text(at + 8, end, where),
        };
      case 'satc': {
        const required = (this.table.u8(at + 4, where) & 1) !== 0;
        return { kind, ...base, segment: this.table.u16(at + 6, where), required, scopes: this.scopes(place, 8) };
      }
      case 'unknown':
        return { kind, ...base, type };
    }
  }

  drhd(place: Place): Omit<DmarDrhd, 'kind' | 'offset'> {
    const { at, where } = place;
    const base = this.table.u64(at + 8, where);
    const bytes = PAGE * 2 ** (this.table.u8(at + 5, where) & 0xf);
    if (base === 0 || base % PAGE !== 0) {
      const problem = `registers at 0x${base.toString(16)}`;
      throw this.table.error('EBADPROPERTY', where, at + 8, problem, 'registers stand at a multiple of 4 KiB');
    }
    if (base + bytes > Number.MAX_SAFE_INTEGER) {
      throw this.table.error('ERANGE', where, at + 8, 'the registers run past 2^53', 'addresses go up to 2^53 here');
    }
    return {
      segment: this.table.u16(at + 6, where),
      base,
      bytes,
      includePciAll: (this.table.u8(at + 4, where) & 1) !== 0,
      scopes: this.scopes(place, 16),
    };
  }

  rmrr(place: Place): AddressRange & { readonly scopes: readonly DmarScope[] } {
    const { at, where } = place;
    const base = this.table.u64(at + 8, where);
    const last = this.table.u64(at + 16, where);
    if (last < base) {
      const problem = `memory from 0x${base.toString(16)} to 0x${last.toString(16)}`;
      throw this.table.error('EBADPROPERTY', where, at + 16, problem, 'give the first address first');
    }
    return { base, bytes: last - base + 1, scopes: this.scopes(place, 24) };
  }

  // ── scopes ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** What stands between `first` and the end of a structure. */
  scopes({ at, end, where }: Place, first: number): DmarScope[] {
    const scopes: DmarScope[] = [];
    let next = at + first;
    while (next < end) {
      const scope = this.scope(next, end, `${where} scope ${scopes.length}`);
      scopes.push(scope);
      next += SCOPE_BYTES - 2 + 2 * scope.path.length;
    }
    return scopes;
  }

  scope(at: number, end: number, where: string): DmarScope {
    if (at + SCOPE_BYTES > end) {
      const problem = `${end - at} bytes are too few: it has ${SCOPE_BYTES} at least`;
      throw this.table.error('EBADSTRUCT', where, at, problem, 'correct the length of its structure');
    }
    const length = this.table.u8(at + 1, where);
    if (length < SCOPE_BYTES || length % 2 !== 0 || at + length > end) {
      const problem = `${length} bytes, of which its structure has ${end - at}`;
      throw this.table.error('EBADSTRUCT', where, at + 1, problem, 'give it 6 bytes and 2 a step of its path');
    }
    const type = this.table.u8(at, where);
    const hops = (length - SCOPE_BYTES + 2) / 2;
    return {
      offset: at,
      kind: SCOPE_KINDS[type] ?? 'unknown',
      type,
      enumeration: this.table.u8(at + 4, where),
      bus: this.table.u8(at + 5, where),
      path: Array.from({ length: hops }, (_, i) => this.hop(at + 6 + 2 * i, where)),
    };
  }

  hop(at: number, where: string): DmarHop {
    const hop = { device: this.table.u8(at, where), function: this.table.u8(at + 1, where) };
    if (hop.device < 32 && hop.function < 8) return hop;
    const problem = `device ${hop.device}, function ${hop.function}`;
    throw this.table.error('EBADPROPERTY', where, at, problem, 'there are devices 0 to 31 with functions 0 to 7');
  }

  // ── references ─────────────────────────────────────────────────────────────────────────────────────────────────

  checkReferences(structures: readonly DmarStructure[], places: readonly Place[]): void {
    const units = new Set<number>();
    const rest = new Set<number>();
    const devices = new Set<number>();
    for (const [i, structure] of structures.entries()) {
      const { at, where } = places[i];
      if (structure.kind === 'drhd') {
        this.once(units, structure.base, at + 8, where, 'a unit with these registers');
        if (structure.includePciAll) this.once(rest, structure.segment, at + 4, where, 'a unit for the whole segment');
      }
      if (structure.kind === 'andd') this.once(devices, structure.number, at + 7, where, 'a device of this number');
    }
    for (const [i, structure] of structures.entries()) {
      const { at, where } = places[i];
      if (structure.kind === 'rhsa' && !units.has(structure.base)) {
        const problem = `no unit has its registers at 0x${structure.base.toString(16)}`;
        throw this.table.error('EBADREFERENCE', where, at + 8, problem, 'give the base of a unit');
      }
      if ('scopes' in structure) for (const scope of structure.scopes) this.checkScope(scope, devices, where);
    }
  }

  checkScope({ kind, enumeration, offset }: DmarScope, devices: ReadonlySet<number>, where: string): void {
    if (kind !== 'namespace' || devices.has(enumeration)) return;
    const problem = `no namespace device has the number ${enumeration}`;
    throw this.table.error('EBADREFERENCE', where, offset + 4, problem, 'give the number of one');
  }

  once(seen: Set<number>, value: number, at: number, where: string, what: string): void {
    if (seen.has(value)) {
      throw this.table.error('EDUPLICATE', where, at, `${what} is there already`, 'leave one of them');
    }
    seen.add(value);
  }
}
