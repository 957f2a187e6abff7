import {
  ContextEntry,
  LegacyContextEntry,
  LegacyRootEntry,
  PasidDirEntry,
  PasidEntry,
  PGTT,
  RootEntry,
} from '@iommukit/vtd-spec';
import { CaseBuilder, wordsOf } from '../case-builder.js';
import type { CaseDevice, CompareCase } from '../case-format.js';
import type { CompareMachine } from '../machine.js';
import { changedConfiguration } from './configuration-changes.js';
import { invalidateAll, invalidateMapping, randomDescriptor, wait, wideRange } from './descriptors.js';
import { changedEntry } from './entry-changes.js';
import { mapPage, putEntry, shiftOfLevel, type VtdMapping, type VtdStage } from './tables.js';

const PAGE = 4096n;
/** Bits that lead out of the memory of cases, where an address is not translated. */
const BEYOND = [21, 22, 39, 47, 48, 52, 63] as const;
const TE = 0x8000_0000;
const SRTP = 0x4000_0000;
const QIE = 0x0400_0000;

/** What one device's requests go through. */
export interface VtdDomain {
  readonly id: number;
  readonly stage: VtdStage;
  readonly root: number;
  /** 3 or 4. */
  readonly levels: number;
  readonly passThrough: boolean;
  readonly mappings: VtdMapping[];
}

/** A structure of the configuration: what it is, and where. */
export interface VtdStructure {
  readonly kind: 'root' | 'context' | 'directory' | 'pasid';
  readonly address: number;
  readonly what: string;
  readonly device: CaseDevice | null;
}

/** A random machine with VT-d, and what is done to it: a function of (machine, identification, seed, index). */
export function generateVtd(
  machine: CompareMachine,
  identification: Readonly<Record<string, bigint>>,
  seed: number,
  index: number,
): CompareCase {
  return new VtdGenerator(new CaseBuilder(machine, identification, seed, index)).generate(
    `seed ${seed}, case ${index}`,
  );
}

/** Makes one case. */
export class VtdGenerator {
  readonly b: CaseBuilder;
  readonly scalable: boolean;
  readonly stage: VtdStage;
  readonly root: number;
  readonly queue: number;
  /** Where waits write. */
  readonly status: number;
  readonly data: readonly number[];
  readonly structures: VtdStructure[] = [];
  /** Domains whose number may be another one by now. */
  readonly renamed = new Set<VtdDomain>();
  readonly domains = new Map<CaseDevice, VtdDomain>();
  ordinal = 0;

  constructor(b: CaseBuilder) {
    this.b = b;
    this.scalable = b.machine.kind !== 'vtd-legacy';
    this.stage = b.machine.kind === 'vtd-scalable' ? 'first' : 'second';
    this.root = b.frames();
    this.queue = b.frames();
    this.status = b.frames();
    this.data = [b.frames(), b.frames(), b.frames()];
  }

  generate(note: string): CompareCase {
    const { b } = this;
    this.configure();
    if (b.chance(20)) this.changeConfiguration(false);
    for (const { mappings } of this.domains.values()) {
      for (const mapping of mappings) if (b.chance(35)) this.changeEntry(mapping, false);
    }
    this.start();
    const count = 3 + b.below(8);
    for (let n = 0; n < count; n++) this.act();
    if (b.chance(30)) this.readBack();
    if (this.stage === 'first' && b.chance(1)) b.queue(...wideRange());
    return b.done(note);
  }

  // ── the machine ────────────────────────────────────────────────────────────────────────────────────────────────

  configure(): void {
    const { b } = this;
    const contexts = b.frames();
    const pointer = BigInt(contexts) | 1n;
    b.put(this.scalable ? RootEntry : LegacyRootEntry, 'bus 0', this.root, [pointer, 0n]);
    this.structures.push({ kind: 'root', address: this.root, what: 'bus 0', device: null });
    this.data.forEach((frame, i) => {
      b.put('data', `data ${i}`, frame, [0x1111_2222_3333_4440n + BigInt(i), 0x5555_6666_7777_8880n, 0n]);
    });
    const shared = b.chance(30);
    for (const device of ['testdev', 'edu'] as const) {
      const first = this.domains.get('testdev');
      const domain = shared && first !== undefined ? first : this.domain(device === 'edu' ? 6 : 5);
      this.domains.set(device, domain);
      if (this.scalable) this.scalableContext(device, contexts, domain);
      else this.legacyContext(device, contexts, domain);
    }
  }

  domain(id: number): VtdDomain {
    const { b, stage } = this;
    const passThrough = b.chance(10);
    const levels = stage === 'second' && b.chance(40) ? 3 : 4;
    const domain: VtdDomain = { id, stage, root: b.frames(), levels, passThrough, mappings: [] };
    const count = passThrough ? 0 : 1 + b.below(4);
    let last = 0n;
    for (let i = 0; i < count && b.room > 8; i++) {
      const leaf = b.pick([1, 1, 1, 2, 2, 3]);
      const target = b.pick(this.data);
      last = this.freshIova(domain, leaf, target, last);
      if (domain.mappings.some((other) => overlaps(other, last, leaf))) continue;
      domain.mappings.push(mapPage(b, stage, domain.root, levels, last, leaf, target));
    }
    return domain;
  }

  /** An address whose offset within its page leads to `target`; often near the one before. */
  freshIova(domain: VtdDomain, leaf: number, target: number, before: bigint): bigint {
    const { b } = this;
    const bits = BigInt(domain.levels === 3 ? 39 : 48);
    const size = 1n << shiftOfLevel(leaf);
    const random = (BigInt(b.rng.next()) << 32n) | BigInt(b.rng.next());
    const near = before !== 0n && b.chance(50);
    const base = near ? before ^ (size << BigInt(b.below(3))) : b.chance(30) ? random & 0x3fff_ffffn : random;
    const within = BigInt.asUintN(Number(bits), base & ~(size - 1n)) | (BigInt(target) & (size - 1n));
    const iova = within >> 20n === 0xfeen ? within ^ 0x1_0000_0000n : within;
    return domain.stage === 'first' ? BigInt.asUintN(64, BigInt.asIntN(48, iova)) : iova;
  }

  legacyContext(device: CaseDevice, table: number, domain: VtdDomain): void {
    const { b } = this;
    const rid = b.machine.devices[device];
    const words = wordsOf(LegacyContextEntry, {
      p: 1,
      tt: domain.passThrough ? 2 : 0,
      slptptr: domain.root,
      aw: domain.levels - 2,
      did: domain.id,
    });
    b.put(LegacyContextEntry, `context of ${device}`, table + rid * 16, words);
    this.structures.push({ kind: 'context', address: table + rid * 16, what: `context of ${device}`, device });
  }

  scalableContext(device: CaseDevice, table: number, domain: VtdDomain): void {
    const { b } = this;
    const rid = b.machine.devices[device];
    const directory = b.frames();
    const pasids = b.frames();
    b.put(
      ContextEntry,
      `context of ${device}`,
      table + rid * 32,
      wordsOf(ContextEntry, { p: 1, pasiddirptr: directory }),
    );
    b.put(
      PasidDirEntry,
      `PASID directory of ${device}`,
      directory,
      wordsOf(PasidDirEntry, { p: 1, smptblptr: pasids }),
    );
    const first = domain.stage === 'first';
    const pgtt = domain.passThrough ? PGTT.PASS_THROUGH : first ? PGTT.FIRST_STAGE : PGTT.SECOND_STAGE;
    const words = wordsOf(PasidEntry, {
      p: 1,
      aw: domain.levels - 2,
      pgtt,
      slptptr: first ? 0 : domain.root,
      did: domain.id,
      pwsnp: first && b.chance(95) ? 1 : 0,
      flptptr: first ? domain.root : 0,
    });
    b.put(PasidEntry, `PASID 0 of ${device}`, pasids, words);
    this.structures.push(
      { kind: 'context', address: table + rid * 32, what: `context of ${device}`, device },
      { kind: 'directory', address: directory, what: `PASID directory of ${device}`, device },
      { kind: 'pasid', address: pasids, what: `PASID 0 of ${device}`, device },
    );
  }

  start(): void {
    const { b } = this;
    b.write('RTADDR', BigInt(this.root) | (this.scalable ? 0x400n : 0n));
    b.write('GCMD', SRTP);
    b.write('IQT', 0);
    const wide = this.scalable || b.chance(0);
    b.write('IQA', BigInt(this.queue) | (wide ? 0x800n : 0n));
    b.write('GCMD', QIE);
    b.write('GCMD', QIE + TE);
  }

  // ── what is done to it ─────────────────────────────────────────────────────────────────────────────────────────

  act(): void {
    const { b } = this;
    const dice = b.below(100);
    if (dice < 62) this.access();
    else if (dice < 72) this.changeEntryOfSome();
    else if (dice < 76) this.stale();
    else if (dice < 82) this.changeConfiguration(true);
    else if (dice < 92) b.queue(...randomDescriptor(this));
    else if (dice < 96) b.queue(...wait(this));
    else if (dice < 98) this.acknowledge();
    else {
      b.write('GCMD', QIE);
      b.write('GCMD', QIE + TE);
    }
  }

  access(): void {
    const { b } = this;
    const device: CaseDevice = b.chance(75) ? 'testdev' : 'edu';
    const domain = this.domains.get(device)!;
    const bytes = b.chance(80) ? 4 : b.pick([1, 2, 8, 16, 64]);
    const mapping = domain.mappings.length > 0 && b.chance(80) ? b.pick(domain.mappings) : null;
    const base = mapping === null ? this.wildIova(domain) : mapping.iova;
    const offset = BigInt(b.below(16) * 64);
    const access = device === 'edu' && b.chance(70) ? 'read' : 'write';
    b.dma(device, access, base + offset, bytes);
    if (b.chance(85)) this.acknowledge();
  }

  /** An address that is mapped by chance only: beside a mapping, too wide, not canonical. */
  wildIova(domain: VtdDomain): bigint {
    const { b } = this;
    const mapping = domain.mappings.length > 0 ? b.pick(domain.mappings) : null;
    const base = mapping === null ? BigInt(b.pick(this.data)) : mapping.iova;
    const bits = domain.levels === 3 ? 39 : 48;
    const beside = [12, 13, 21, 30, 38, 39, 40, bits - 1, bits, bits + 1, 55, 63];
    const choices = mapping === null ? BEYOND : beside.filter((bit) => bit >= shiftOfLevel(mapping.leaf));
    const iova = (base ^ (1n << BigInt(b.pick(choices)))) & ~(PAGE - 1n);
    if (iova >> 20n === 0xfeen) return iova ^ 0x1_0000_0000n;
    // Another page may be large, and lead out of the memory of cases.
    return domain.mappings.find((other) => overlaps(other, iova, other.leaf))?.iova ?? iova;
  }

  acknowledge(): void {
    this.b.write('FRCD_F', 0x8000_0000);
    this.b.write('FSTS', 1);
  }

  /** @returns the level whose entry changed */
  changeEntry(mapping: VtdMapping, later: boolean): number {
    const { b } = this;
    const level = b.chance(60) ? mapping.leaf : b.pick([...mapping.entries.keys()]);
    putEntry(b, mapping, level, changedEntry(b, mapping, level), later);
    return level;
  }

  changeEntryOfSome(): void {
    const { b } = this;
    const device = b.pick(['testdev', 'edu'] as const);
    const domain = this.domains.get(device)!;
    if (domain.mappings.length === 0) return;
    const mapping = b.pick(domain.mappings);
    invalidateMapping(this, domain, mapping, this.changeEntry(mapping, true));
  }

  /** The leaf of a page that was used changes, and nobody tells the IOMMU: what is cached still counts. */
  stale(): void {
    const { b } = this;
    const device: CaseDevice = 'testdev';
    const domain = this.domains.get(device)!;
    const mapping = domain.mappings.find((one) => one.leaf === 1);
    if (mapping === undefined) return;
    b.dma(device, 'write', mapping.iova, 4);
    const at = mapping.entries.get(1)!;
    const other = (b.load(at) & ~0xf_ffff_ffff_f000n) | BigInt(b.pick(this.data));
    putEntry(b, mapping, 1, other, true);
    b.dma(device, 'write', mapping.iova + 64n, 4);
    invalidateMapping(this, domain, mapping, 1);
    b.dma(device, 'write', mapping.iova + 128n, 4);
    this.acknowledge();
  }

  changeConfiguration(later: boolean): void {
    const { b } = this;
    // What devices share has one set of tables, or results are undefined (one domain id).
    const shared = this.domains.get('edu') === this.domains.get('testdev');
    const structure = b.pick(shared ? this.structures.slice(0, 1) : this.structures);
    const words = changedConfiguration(b, this.scalable, structure);
    const did = Number((b.load(structure.address + 8) >> 8n) & 0xffffn);
    const layouts = {
      root: this.scalable ? RootEntry : LegacyRootEntry,
      context: this.scalable ? ContextEntry : LegacyContextEntry,
      directory: PasidDirEntry,
      pasid: PasidEntry,
    } as const;
    if (structure.device !== null && words.length > 1 && words[1] !== b.load(structure.address + 8)) {
      this.renamed.add(this.domains.get(structure.device)!);
    }
    b.put(layouts[structure.kind], structure.what, structure.address, words, later);
    if (later) invalidateAll(this, structure, did);
  }

  /** What edu read last becomes visible in memory. */
  readBack(): void {
    const domain = this.domains.get('edu')!;
    if (domain.mappings.length > 0) this.b.dma('edu', 'write', this.b.pick(domain.mappings).iova + 0x800n, 8);
  }
}

function overlaps(other: VtdMapping, iova: bigint, leaf: number): boolean {
  const shift = shiftOfLevel(Math.max(other.leaf, leaf));
  return other.iova >> shift === iova >> shift;
}
