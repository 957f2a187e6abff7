import { COMMANDS, OPCODE } from '@iommukit/smmuv3-spec';
import type { SmmuGenerator, SmmuStream } from './generate.js';
import type { SmmuMapping } from './tables.js';

/** Opcodes that are none. */
export const ILLEGAL: readonly number[] = [0x00, 0x08, 0x14, 0x1f, 0x2f, 0x47, 0x7f, 0xff];

/** A command: its name and its words. */
export type SmmuCommand = [name: string, words: bigint[]];

const nameOf = (opcode: number): string => COMMANDS[opcode]?.name ?? `opcode 0x${opcode.toString(16)}`;
const command = (opcode: number, dw0 = 0n, dw1 = 0n): SmmuCommand => [nameOf(opcode), [BigInt(opcode) | dw0, dw1]];
const ofStream = (sid: number): bigint => BigInt(sid) << 32n;
const ofAsid = (asid: number): bigint => BigInt(asid) << 48n;

const configAll = (): SmmuCommand => command(OPCODE.CFGI_STE_RANGE, 0n, 31n);
const nonSecureAll = (): SmmuCommand => command(OPCODE.TLBI_NSNH_ALL);
const stage1All = (): SmmuCommand => command(OPCODE.TLBI_NH_ALL);
const asid = (one: number): SmmuCommand => command(OPCODE.TLBI_NH_ASID, ofAsid(one));

/** CMD_SYNC without a signal. */
export const sync = (): SmmuCommand => command(OPCODE.SYNC);

/** By address, of a leaf: with or without the ASID, for leaves only or not. */
function address(g: SmmuGenerator, one: number, iova: bigint): SmmuCommand {
  const leaf = g.b.chance(50) ? 1n : 0n;
  const page = (iova & ~0xfffn) | leaf;
  return g.b.chance(60) ? command(OPCODE.TLBI_NH_VA, ofAsid(one), page) : command(OPCODE.TLBI_NH_VAA, 0n, page);
}

/** By range: at least the mapping's pages. */
function range(g: SmmuGenerator, one: number, mapping: SmmuMapping): SmmuCommand {
  const { granule } = mapping.tables;
  const pages = Math.min(31, granule.levelShift[mapping.leaf]! - granule.shift);
  const tg = { '4K': 1n, '16K': 2n, '64K': 3n }[granule.name];
  const size = 1n << BigInt(granule.shift + pages);
  const num = g.b.chance(30) ? 1n : 0n;
  // NUM=0, SCALE=0 and TTL=0 is illegal: a page is TTL 3 then.
  const ttl = pages === 0 && num === 0n ? 3n : 0n;
  const dw0 = (num << 12n) | (BigInt(pages) << 20n) | ofAsid(one);
  return command(OPCODE.TLBI_NH_VA, dw0, (((mapping.iova / size) * size) & ~0xfffn) | (tg << 10n) | (ttl << 8n));
}

/** What software must do after it changed a descriptor of a mapping: one of several ways, each wide enough. */
export function invalidateSmmuMapping(
  g: SmmuGenerator,
  stream: SmmuStream,
  mapping: SmmuMapping,
  leafOnly: boolean,
  global: boolean,
): void {
  // The CD's present one.
  const tag = Number(g.b.load(stream.cd) >> 48n);
  const ways: (() => SmmuCommand)[] = [
    nonSecureAll,
    stage1All,
    () => asid(tag),
    () => address(g, tag, mapping.iova),
    () => range(g, tag, mapping),
  ];
  // A table is in front of other addresses too.
  g.b.queue(...g.b.pick(ways.slice(0, global ? 2 : leafOnly ? ways.length : 3))());
  if (g.b.chance(50)) g.b.queue(...sync());
}

/** What software must do after it changed the STE or the CD of a stream. */
export function invalidateConfiguration(g: SmmuGenerator, stream: SmmuStream, kind: 'ste' | 'cd'): void {
  const { b } = g;
  const sid = ofStream(stream.sid);
  const ways: (() => SmmuCommand)[] = [
    configAll,
    () => command(OPCODE.CFGI_STE, sid, 1n),
    () => command(OPCODE.CFGI_STE_RANGE, sid, 1n),
  ];
  if (kind === 'cd')
    ways.push(
      () => command(OPCODE.CFGI_CD, sid, 1n),
      () => command(OPCODE.CFGI_CD_ALL, sid),
    );
  b.queue(...b.pick(ways)());
  b.queue(...nonSecureAll());
  if (b.chance(50)) b.queue(...sync());
}

/** Any command: of every granularity, sometimes for others. */
export function randomCommand(g: SmmuGenerator): SmmuCommand {
  const { b } = g;
  const stream = b.pick(g.streams);
  const mapping = stream.mappings.length > 0 ? b.pick(stream.mappings) : null;
  const sid = ofStream(stream.sid);
  const list: (() => SmmuCommand)[] = [
    configAll,
    nonSecureAll,
    stage1All,
    sync,
    () => asid(b.chance(70) ? stream.asid : b.below(16)),
    () => command(OPCODE.CFGI_STE, sid, BigInt(b.below(2))),
    () => command(OPCODE.CFGI_STE_RANGE, sid, BigInt(b.below(8))),
    () => command(OPCODE.CFGI_CD, sid, BigInt(b.below(2))),
    () => command(OPCODE.CFGI_CD_ALL, sid),
    () => command(OPCODE.TLBI_S12_VMALL),
    () => command(OPCODE.PREFETCH_CONFIG, sid),
  ];
  if (mapping !== null) {
    list.push(
      () => address(g, stream.asid, mapping.iova),
      () => address(g, stream.asid + 1, mapping.iova),
      () => range(g, stream.asid, mapping),
    );
  }
  return b.pick(list)();
}

/** A command that is refused: CERROR_ILL. */
export const illegalCommand = (g: SmmuGenerator): SmmuCommand => command(g.b.pick(ILLEGAL));

/** CMD_SYNC with a signal that does not exist. */
export const badSync = (): SmmuCommand => command(OPCODE.SYNC, 3n << 12n);
