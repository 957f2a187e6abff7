import { PageDescriptor } from '@iommukit/paging';
import { CD, L1STD, STE } from '@iommukit/smmuv3-spec';
import { CaseBuilder } from '../case-builder.js';
import type { CaseDevice, CompareCase } from '../case-format.js';
import { bitsOf } from '../field-bits.js';
import type { CompareMachine } from '../machine.js';
import {
  badSync,
  ILLEGAL,
  illegalCommand,
  invalidateConfiguration,
  invalidateSmmuMapping,
  randomCommand,
  sync,
} from './commands.js';
import { changedSmmuStructure } from './configuration-changes.js';
import { changedDescriptor } from './entry-changes.js';
import {
  GRANULE_NAMES,
  granuleOf,
  mapSmmuPage,
  newTables,
  putDescriptor,
  type SmmuMapping,
  type SmmuTables,
} from './tables.js';

const NG = bitsOf(PageDescriptor.f.ng);
const CMDQEN = 8;
const EVENTQEN = 4;
const SMMUEN = 1;
const TG0 = { '4K': 0n, '16K': 2n, '64K': 1n } as const;
const TG1 = { '4K': 2n, '16K': 1n, '64K': 3n } as const;
/** Input bits that a granule may be asked for, with and without a level less. */
const INPUT_BITS = {
  '4K': [48, 48, 39, 36, 30, 25],
  '16K': [48, 48, 47, 36, 25],
  '64K': [48, 42, 42, 29, 25],
} as const;
/** log2 of the stream table's entries: both devices are within. */
const STREAMS = 6;
/** Cases that have stream tables of one kind. */
const BLOCK = 25;
/** Entries of the command queue, as log2. */
const COMMANDS = 8;

/** One stream: its entries, and its tables. */
export interface SmmuStream {
  readonly device: CaseDevice;
  readonly sid: number;
  readonly asid: number;
  readonly ste: number;
  readonly cd: number;
  readonly bypass: boolean;
  readonly halves: readonly SmmuTables[];
  readonly mappings: SmmuMapping[];
}

/** A random machine with an SMMUv3, and what is done to it: a function of (machine, identification, seed, index). */
export function generateSmmuV3(
  machine: CompareMachine,
  identification: Readonly<Record<string, bigint>>,
  seed: number,
  index: number,
): CompareCase {
  // One block of cases in eight has stream tables of two levels: a performer may have to start its hardware anew in between.
  const levels = Math.floor(index / BLOCK) % 8 === 7 ? 2 : 1;
  const b = new CaseBuilder(machine, identification, seed, index);
  return new SmmuGenerator(b, levels).generate(`seed ${seed}, case ${index}`);
}

/** Makes one case. */
export class SmmuGenerator {
  readonly b: CaseBuilder;
  readonly commands: number;
  readonly events: number;
  readonly table: number;
  readonly data: readonly number[];
  readonly streams: SmmuStream[] = [];

  /** Of the stream table. */
  readonly levels: 1 | 2;

  constructor(b: CaseBuilder, levels: 1 | 2) {
    this.b = b;
    this.levels = levels;
    // Where a block leads that is taken for a table, there is nothing.
    b.frames(16);
    this.commands = b.frames();
    this.events = b.frames();
    this.table = b.frames();
    this.data = [b.frames(), b.frames(), b.frames()];
  }

  generate(note: string): CompareCase {
    const { b } = this;
    this.data.forEach((frame, i) => {
      b.put('data', `data ${i}`, frame, [0x1111_2222_3333_4440n + BigInt(i), 0x5555_6666_7777_8880n]);
    });
    this.streams.push(this.stream('testdev', 5), this.stream('edu', 6));
    if (b.chance(25)) this.changeConfiguration(false);
    for (const { mappings } of this.streams) {
      for (const mapping of mappings) if (b.chance(35)) this.changeMapping(mapping, false);
    }
    this.start();
    const count = 3 + b.below(8);
    for (let n = 0; n < count; n++) this.act();
    if (b.chance(30)) this.readBack();
    if (b.chance(1)) b.queue(...badSync());
    return b.done(note);
  }

  // ── the machine ────────────────────────────────────────────────────────────────────────────────────────────────

  stream(device: CaseDevice, asid: number): SmmuStream {
    const { b } = this;
    const sid = b.machine.devices[device];
    const cd = b.frames();
    const bypass = b.chance(8);
    const halves = bypass ? [] : this.halves();
    const stream: SmmuStream = { device, sid, asid, ste: this.table + sid * 64, cd, bypass, halves, mappings: [] };
    b.put(STE, `STE of ${device}`, stream.ste, [
      bypass ? 9n : BigInt(cd) | 0xbn,
      // SHCFG: as incoming.
      1n << 44n,
      0n,
      0n,
      0n,
      0n,
      0n,
      0n,
    ]);
    if (!bypass) this.context(stream);
    const count = bypass ? 0 : 1 + b.below(4);
    for (let i = 0, last = 0n; i < count; i++) {
      const tables = b.pick(halves);
      if (b.room < 4 * 2 ** (tables.granule.shift - 12)) break;
      const leaf = this.leafOf(tables);
      const target = b.pick(this.data);
      const iova = this.freshIova(tables, leaf, target, last);
      last = iova;
      if (stream.mappings.some((other) => other.tables === tables && overlaps(other, iova, leaf))) continue;
      stream.mappings.push(mapSmmuPage(b, tables, iova, leaf, target));
    }
    return stream;
  }

  halves(): SmmuTables[] {
    const { b } = this;
    const make = (upper: boolean): SmmuTables => {
      const name = b.pick(GRANULE_NAMES);
      return newTables(b, granuleOf(name), b.pick(INPUT_BITS[name]), upper);
    };
    const which = b.below(10);
    if (which < 6) return [make(false)];
    return which < 8 ? [make(true)] : [make(false), make(true)];
  }

  leafOf({ granule, bits }: SmmuTables): number {
    const { b } = this;
    const wanted = b.pick(granule.name === '4K' ? [3, 3, 3, 2, 2, 1] : [3, 3, 2]);
    return granule.levelShift[wanted]! < bits ? wanted : 3;
  }

  freshIova({ granule, bits, upper }: SmmuTables, leaf: number, target: number, before: bigint): bigint {
    const { b } = this;
    const size = 1n << BigInt(granule.levelShift[leaf]!);
    const random = (BigInt(b.rng.next()) << 32n) | BigInt(b.rng.next());
    const near = before !== 0n && b.chance(50);
    const base = near ? before ^ (size << BigInt(b.below(3))) : b.chance(30) ? random & 0x3fff_ffffn : random;
    const within = BigInt.asUintN(bits, (base & ~(size - 1n)) | (BigInt(target) & (size - 1n)));
    return upper ? (((1n << 64n) - 1n) ^ ((1n << BigInt(bits)) - 1n)) | within : within;
  }

  context({ device, asid, cd, halves }: SmmuStream): void {
    const [lower, upper] = [halves.find((half) => !half.upper), halves.find((half) => half.upper)];
    // V, AA64, IPS 44 bits, A, R; walks write-back and inner shareable.
    let dw0 =
      (BigInt(asid) << 48n) |
      (1n << 31n) |
      (1n << 41n) |
      (4n << 32n) |
      (3n << 45n) |
      (this.b.chance(50) ? 1n << 47n : 0n);
    const half = (tables: SmmuTables | undefined, tg: bigint): bigint =>
      tables === undefined ? 1n << 14n : BigInt(64 - tables.bits) | (tg << 6n) | 0x3500n;
    dw0 |=
      half(lower, lower ? TG0[lower.granule.name] : 0n) | (half(upper, upper ? TG1[upper.granule.name] : 0n) << 16n);
    const words = [dw0, BigInt(lower?.root ?? 0), BigInt(upper?.root ?? 0), 0xf404_ff44n, 0n, 0n, 0n, 0n];
    this.b.put(CD, `CD of ${device}`, cd, words);
  }

  start(): void {
    const { b } = this;
    b.write('CR2', b.chance(80) ? 2 : 0);
    if (this.levels === 2) this.twoLevel();
    else {
      b.write('STRTAB_BASE', BigInt(this.table));
      b.write('STRTAB_BASE_CFG', b.chance(95) ? STREAMS : 5);
    }
    b.write('CMDQ_BASE', BigInt(this.commands + COMMANDS));
    b.write('CMDQ_PROD', 0);
    b.write('CMDQ_CONS', 0);
    b.write('EVENTQ_BASE', BigInt(this.events + 7));
    b.write('EVENTQ_PROD', 0);
    b.write('EVENTQ_CONS', 0);
    b.write('CR0', CMDQEN);
    b.write('CR0', CMDQEN + EVENTQEN);
    b.write('CR0', CMDQEN + EVENTQEN + SMMUEN);
  }

  /** The same STEs behind a table of level-1 descriptors, of 64 entries each. */
  twoLevel(): void {
    const { b } = this;
    // Aligned to the largest table.
    const first = b.frames(2);
    const span = b.pick([7n, 7n, 7n, 7n, 6n, 0n, 1n]);
    b.put(L1STD, 'streams 0 to 63', first, [BigInt(this.table) | span]);
    b.write('STRTAB_BASE', BigInt(first));
    b.write('STRTAB_BASE_CFG', 0x1_0000 | (6 << 6) | b.pick([7, 8, 8, 16]));
  }

  // ── what is done to it ─────────────────────────────────────────────────────────────────────────────────────────

  act(): void {
    const { b } = this;
    const dice = b.below(100);
    if (dice < 62) this.access();
    else if (dice < 72) this.changeSomeMapping();
    else if (dice < 76) this.stale();
    else if (dice < 82) this.changeConfiguration(true);
    else if (dice < 95) b.queue(...randomCommand(this));
    else if (dice < 96) this.failedCommand();
    else if (dice < 99) b.queue(...sync());
    else this.disable();
  }

  access(): void {
    const { b } = this;
    const stream = b.pick([this.streams[0]!, this.streams[0]!, this.streams[0]!, this.streams[1]!]);
    const mapping = stream.mappings.length > 0 && b.chance(80) ? b.pick(stream.mappings) : null;
    const base = mapping === null ? this.wildIova(stream) : mapping.iova;
    const access = stream.device === 'edu' && b.chance(70) ? 'read' : 'write';
    b.dma(stream.device, access, base + BigInt(b.below(16) * 64), 4);
  }

  wildIova(stream: SmmuStream): bigint {
    const { b } = this;
    const mapping = stream.mappings.length > 0 ? b.pick(stream.mappings) : null;
    const base = mapping?.iova ?? BigInt(b.pick(this.data));
    const bits = mapping?.tables.bits ?? 44;
    // Where nothing translates, the machine has other things than RAM: flash memory, PCI.
    if (mapping === null) return base ^ (1n << BigInt(b.pick([29, 43, 44, 45, 48, 55, 56, 63])));
    // Within the page lie the queues and tables of the case.
    const leaf = mapping.tables.granule.levelShift[mapping.leaf]!;
    const beside = [14, 16, 25, 29, 30, 38, 39, 40, bits - 1, bits, bits + 1, 55, 56, 63];
    const iova = base ^ (1n << BigInt(b.pick(beside.filter((bit) => bit >= leaf))));
    return stream.mappings.find((other) => overlaps(other, iova, other.leaf))?.iova ?? iova;
  }

  changeMapping(mapping: SmmuMapping, later: boolean): number {
    const { b } = this;
    const level = b.chance(60) ? mapping.leaf : b.pick([...mapping.entries.keys()]);
    putDescriptor(b, mapping, level, changedDescriptor(b, mapping, level), later);
    return level;
  }

  changeSomeMapping(): void {
    const { b } = this;
    const stream = b.pick(this.streams);
    if (stream.mappings.length === 0) return;
    const mapping = b.pick(stream.mappings);
    // What was cached as global before is told as global, too; a table may be in front of any.
    const global = stream.mappings.some(({ entries, leaf }) => (b.load(entries.get(leaf)!) & NG) === 0n);
    const level = this.changeMapping(mapping, true);
    invalidateSmmuMapping(this, stream, mapping, level === mapping.leaf, global);
  }

  /** The descriptor of a page that was used changes, and nobody tells the SMMU: what is cached still counts. */
  stale(): void {
    const { b } = this;
    const stream = this.streams[0]!;
    const mapping = stream.mappings.find((one) => one.leaf === 3 && one.tables.granule.shift === 12);
    if (mapping === undefined) return;
    b.dma('testdev', 'write', mapping.iova, 4);
    const before = b.load(mapping.entries.get(3)!);
    putDescriptor(b, mapping, 3, (before & ~0xffff_ffff_f000n) | BigInt(b.pick(this.data)), true);
    b.dma('testdev', 'write', mapping.iova + 64n, 4);
    invalidateSmmuMapping(this, stream, mapping, true, (before & NG) === 0n);
    b.dma('testdev', 'write', mapping.iova + 128n, 4);
  }

  changeConfiguration(later: boolean): void {
    const { b } = this;
    const stream = b.pick(this.streams);
    const kind = stream.bypass || b.chance(40) ? 'ste' : 'cd';
    const address = kind === 'ste' ? stream.ste : stream.cd;
    const words = changedSmmuStructure(b, kind, address);
    b.put(kind === 'ste' ? STE : CD, `${kind.toUpperCase()} of ${stream.device}`, address, words, later);
    if (later) invalidateConfiguration(this, stream, kind);
  }

  /** A command that is refused stops the queue; software puts a CMD_SYNC in its place and goes on (4.4). */
  failedCommand(): void {
    const { b } = this;
    b.queue(...illegalCommand(this));
    if (b.chance(50)) b.queue(...randomCommand(this));
    const failed = b.steps.findLastIndex((step) => step.do === 'queue' && isIllegal(step.words));
    const slot = b.steps.slice(0, failed).filter((step) => step.do === 'queue').length;
    b.put('CMD_SYNC', 'in place of what was refused', this.commands + slot * 16, [0x46n, 0n], true);
    b.write('GERRORN', 1);
  }

  /** Off and on; while it is off, GBPA counts. */
  disable(): void {
    const { b } = this;
    b.write('CR0', CMDQEN + EVENTQEN);
    if (b.chance(50)) b.write('GBPA', 0x8010_1000);
    b.dma('testdev', 'write', BigInt(b.pick(this.data)) + 0x100n, 4);
    b.write('CR0', CMDQEN + EVENTQEN + SMMUEN);
  }

  /** What edu read last becomes visible in memory. */
  readBack(): void {
    const { mappings } = this.streams[1]!;
    if (mappings.length > 0) this.b.dma('edu', 'write', this.b.pick(mappings).iova + 0x800n, 4);
  }
}

const isIllegal = (words: readonly bigint[]): boolean => ILLEGAL.includes(Number(words[0]! & 0xffn));

function overlaps(other: SmmuMapping, iova: bigint, leaf: number): boolean {
  const { levelShift } = other.tables.granule;
  const shift = BigInt(Math.max(levelShift[other.leaf]!, levelShift[leaf]!));
  return other.iova >> shift === iova >> shift;
}
