import { AcpiTable } from './acpi-table.js';
import type {
  Iort,
  IortMapping,
  IortMemoryAccess,
  IortNode,
  IortNodeBase,
  IortRootComplex,
  IortSmmuV3,
} from './iort.js';
import type { AddressRange } from './platform-description.js';

const TABLE_BYTES = 48;
const NODE_BYTES = 16;
const MAPPING_BYTES = 20;
const KINDS = ['its-group', 'named-component', 'root-complex', 'smmu', 'smmuv3', 'pmcg', 'reserved'] as const;
type Kind = IortNode['kind'];

/** Bytes that a node of each kind has at least, its header included. */
const LEAST: Readonly<Record<Kind, number>> = {
  'its-group': 20,
  'named-component': 30,
  'root-complex': 32,
  smmu: 60,
  smmuv3: 60,
  pmcg: 32,
  reserved: 28,
  unknown: NODE_BYTES,
};

/** The kinds of nodes that a kind's mappings may lead to. */
const OUTPUTS: Readonly<Partial<Record<Kind, readonly Kind[]>>> = {
  'named-component': ['its-group', 'smmu', 'smmuv3'],
  'root-complex': ['its-group', 'smmu', 'smmuv3'],
  smmu: ['its-group'],
  smmuv3: ['its-group'],
  pmcg: ['its-group'],
  reserved: ['smmu', 'smmuv3'],
};

/**
 * Reads an IORT (smmuv3.md 7.3; Arm DEN 0049E). Every offset, count and reference is checked; nodes of newer kinds are
 * kept as `unknown`.
 * @throws FirmwareError EBADMAGIC, ETRUNCATED, EBADHEADER, ECHECKSUM, EBADSTRUCT, EBADNAME, EBADPROPERTY, EBADREFERENCE, ERANGE
 */
export function parseIort(bytes: Uint8Array): Iort {
  return new IortReader(new AcpiTable(bytes, 'IORT')).read();
}

/** One node as it stands in the table. */
interface Place {
  readonly at: number;
  readonly length: number;
  readonly kind: Kind;
  readonly type: number;
  /** For errors: `node 2 (root-complex)`. */
  readonly where: string;
}

class IortReader {
  readonly kinds = new Map<number, Kind>();

  constructor(readonly table: AcpiTable) {}

  read(): Iort {
    const { revision, maker, length } = this.table.header;
    if (length < TABLE_BYTES) {
      const problem = `0x${length.toString(16)} bytes hold no node array`;
      throw this.table.error('EBADHEADER', 'length', 4, problem, 'an IORT has 48 bytes at least');
    }
    const places = this.places();
    for (const { at, kind } of places) this.kinds.set(at, kind);
    const nodes = places.map((place) => this.node(place));
    for (const [i, node] of nodes.entries()) this.checkReferences(node, places[i]);
    return { revision, maker, nodes };
  }

  /** Where the nodes are: one behind the other. */
  places(): Place[] {
    const count = this.table.u32(36, 'node count');
    let at = this.table.u32(40, 'node offset');
    const { length } = this.table.header;
    if (at < TABLE_BYTES || (count > 0 && at >= length)) {
      const problem = `nodes from 0x${at.toString(16)} on are not between the header and the end at 0x${length.toString(16)}`;
      throw this.table.error('EBADHEADER', 'node offset', 40, problem, 'they begin at 0x30 or later');
    }
    const places: Place[] = [];
    for (let i = 0; i < count; i++) {
      places.push(this.place(at, i));
      at += places[i].length;
    }
    return places;
  }

  place(at: number, i: number): Place {
    const type = this.table.u8(at, `node ${i}`);
    const kind = KINDS[type] ?? 'unknown';
    const where = `node ${i} (${kind})`;
    const length = this.table.u16(at + 1, where);
    if (length < LEAST[kind]) {
      const problem = `${length} bytes are too few: it has ${LEAST[kind]} at least`;
      throw this.table.error('EBADSTRUCT', where, at + 1, problem, 'correct its length');
    }
    this.table.inside(at, length, where);
    return { at, length, kind, type, where };
  }

  // ── nodes ──────────────────────────────────────────────────────────────────────────────────────────────────────

  node(place: Place): IortNode {
    const { at, kind, type, where } = place;
    const base: IortNodeBase = {
      offset: at,
      revision: this.table.u8(at + 3, where),
      identifier: this.table.u32(at + 4, where),
      mappings: this.mappings(place),
    };
    switch (kind) {
      case 'its-group':
        return { kind, ...base, ids: this.words(place, 16, 20) };
      case 'named-component':
        return { kind, ...base, ...this.namedComponent(place) };
      case 'root-complex':
        return { kind, ...base, ...this.rootComplex(place, base.revision) };
      case 'smmu':
        return { kind, ...base, ...this.smmu(place) };
      case 'smmuv3':
        return { kind, ...base, ...this.smmuV3(place, base.revision) };
      case 'pmcg':
        return { kind, ...base, ...this.pmcg(place) };
      case 'reserved':
        return { kind, ...base, ...this.reserved(place) };
      case 'unknown':
        return { kind, ...base, type };
    }
  }

  mappings(place: Place): IortMapping[] {
    const { at, where } = place;
    const count = this.table.u32(at + 8, where);
    if (count === 0) return [];
    const from = at + this.array(place, this.table.u32(at + 12, where), count, MAPPING_BYTES, 'id mappings');
    return Array.from({ length: count }, (_, i) => this.mapping(from + i * MAPPING_BYTES, `${where} mapping ${i}`));
  }

  mapping(at: number, where: string): IortMapping {
    const { table } = this;
    const mapping = {
      inputBase: table.u32(at, where),
      // The field is the number of ids less one.
      count: table.u32(at + 4, where) + 1,
      outputBase: table.u32(at + 8, where),
      output: table.u32(at + 12, where),
      single: (table.u32(at + 16, where) & 1) === 1,
    };
    const { inputBase, count, outputBase, single } = mapping;
    if (!single && (inputBase + count > 2 ** 32 || outputBase + count > 2 ** 32)) {
      throw table.error('EBADPROPERTY', where, at, 'its ids run past 2^32', 'correct its bases or its count');
    }
    return mapping;
  }

  namedComponent(place: Place) {
    const { at, length, where } = place;
    const flags = this.table.u32(at + 16, where);
    const pasidBits = (flags >>> 1) & 0x1f;
    this.checkPasidBits(pasidBits, at + 16, where);
    return {
      name: this.table.text(at + 29, at + length, where),
      stall: (flags & 1) === 1,
      pasidBits,
      memory: this.memoryAccess(at + 20, where),
      addressBits: this.table.u8(at + 28, where),
    };
  }

  rootComplex({ at, length, where }: Place, revision: number): Omit<IortRootComplex, keyof IortNodeBase | 'kind'> {
    const ats = this.table.u32(at + 24, where);
    const segment = this.table.u32(at + 28, where);
    if (segment > 0xffff) {
      const problem = `segment 0x${segment.toString(16)}`;
      throw this.table.error('EBADPROPERTY', where, at + 28, problem, 'segments have 16 bits');
    }
    const pasidBits = revision >= 3 && length >= 36 ? this.table.u16(at + 33, where) & 0x1f : null;
    this.checkPasidBits(pasidBits ?? 0, at + 33, where);
    return {
      segment,
      ats: (ats & 1) !== 0,
      pri: (ats & 2) !== 0,
      pasidForwarding: (ats & 4) !== 0,
      pasidBits,
      memory: this.memoryAccess(at + 16, where),
      addressBits: revision >= 1 && length >= 36 ? this.table.u8(at + 32, where) : null,
    };
  }

  smmu(place: Place) {
    const { at, where } = place;
    const { table } = this;
    const count = table.u32(at + 44, where);
    const first = count === 0 ? 0 : this.array(place, table.u32(at + 48, where), count, 8, 'context interrupts');
    return {
      ...this.window(at + 16, table.u64(at + 24, where), where),
      model: table.u32(at + 32, where),
      coherent: (table.u32(at + 36, where) & 2) !== 0,
      contextInterrupts: Array.from({ length: count }, (_, i) => table.u32(at + first + 8 * i, where)),
    };
  }

  smmuV3({ at, length, where }: Place, revision: number): Omit<IortSmmuV3, keyof IortNodeBase | 'kind'> {
    const { table } = this;
    const flags = table.u32(at + 24, where);
    const knowsProximity = (flags & 8) !== 0 && revision >= 1 && length >= 64;
    return {
      base: this.window(at + 16, 0x20000, where).base,
      model: table.u32(at + 40, where),
      coherent: (flags & 1) !== 0,
      httu: (flags >>> 1) & 3,
      vatos: table.u64(at + 32, where),
      interrupts: {
        event: table.u32(at + 44, where),
        pri: table.u32(at + 48, where),
        gerror: table.u32(at + 52, where),
        sync: table.u32(at + 56, where),
      },
      proximity: knowsProximity ? table.u32(at + 60, where) : null,
    };
  }

  pmcg({ at, where }: Place) {
    return {
      base: this.table.u64(at + 16, where),
      interrupt: this.table.u32(at + 24, where),
      of: this.table.u32(at + 28, where),
    };
  }

  reserved(place: Place) {
    const { at, where } = place;
    const flags = this.table.u32(at + 16, where);
    const count = this.table.u32(at + 20, where);
    const first = count === 0 ? 0 : this.array(place, this.table.u32(at + 24, where), count, 20, 'memory ranges');
    const range = (i: number): AddressRange => {
      const from = at + first + 20 * i;
      return this.window(from, this.table.u64(from + 8, where), where);
    };
    return {
      remappable: (flags & 1) !== 0,
      privileged: (flags & 2) !== 0,
      ranges: Array.from({ length: count }, (_, i) => range(i)),
    };
  }

  // ── fields ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** As many words of a node as the word at `count` says. */
  words(place: Place, count: number, first: number): number[] {
    const length = this.table.u32(place.at + count, place.where);
    if (length > 0) this.array(place, first, length, 4, 'ids');
    return Array.from({ length }, (_, i) => this.table.u32(place.at + first + 4 * i, place.where));
  }

  /** The offset in a node of an array that lies inside of it. */
  array({ at, length, where }: Place, offset: number, count: number, bytes: number, what: string): number {
    if (offset >= NODE_BYTES && offset + count * bytes <= length) return offset;
    const problem = `${count} ${what} at 0x${offset.toString(16)} of it do not fit in its ${length} bytes`;
    throw this.table.error('EBADSTRUCT', where, at, problem, 'correct their offset, their count or its length');
  }

  window(at: number, bytes: number, where: string): AddressRange {
    const base = this.table.u64(at, where);
    if (base + bytes <= Number.MAX_SAFE_INTEGER) return { base, bytes };
    throw this.table.error('ERANGE', where, at, 'the range runs past 2^53', 'addresses go up to 2^53 here');
  }

  memoryAccess(at: number, where: string): IortMemoryAccess {
    return {
      coherent: this.table.u32(at, where) === 1,
      hints: this.table.u8(at + 4, where),
      flags: this.table.u8(at + 7, where),
    };
  }

  checkPasidBits(bits: number, at: number, where: string): void {
    if (bits <= 20) return;
    throw this.table.error('EBADPROPERTY', where, at, `PASIDs of ${bits} bits`, 'a PASID has at most 20');
  }

  // ── references ─────────────────────────────────────────────────────────────────────────────────────────────────

  checkReferences(node: IortNode, { at, kind, where }: Place): void {
    for (const [i, { output }] of node.mappings.entries()) {
      this.checkReference(output, OUTPUTS[kind], at, `${where} mapping ${i}`);
    }
    if (node.kind === 'pmcg' && node.of !== 0) this.checkReference(node.of, undefined, at + 28, where);
  }

  checkReference(to: number, allowed: readonly Kind[] | undefined, at: number, where: string): void {
    const kind = this.kinds.get(to);
    if (kind !== undefined && (allowed === undefined || allowed.includes(kind))) return;
    const problem = kind === undefined ? 'no node begins there' : `a node of kind ${kind} is there`;
    const remedy = `name ${allowed?.join(', ') ?? 'a node'}`;
    throw this.table.error('EBADREFERENCE', where, at, `it leads to 0x${to.toString(16)}, but ${problem}`, remedy);
  }
}
