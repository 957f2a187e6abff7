/**
 * What smmuv3.md 2.2 to 3.5 says about one request, as a flat map of table entries by level and prefix of the address. Written from the
 * specification alone: nothing of the model is used here.
 */

/** Capabilities that matter. */
export interface Has {
  readonly granule4K: boolean;
  readonly granule16K: boolean;
  readonly granule64K: boolean;
  readonly vax: number;
  readonly ds: boolean;
  readonly oas: number;
  readonly httu: string;
  readonly hyp: boolean;
  readonly permsOverride: boolean;
  readonly stall: string;
  readonly ssidBits: number;
  readonly cd2l: boolean;
}

/** STE fields, raw. */
export interface SteCase {
  readonly v: number;
  readonly config: number;
  readonly s1cdMax: number;
  readonly s1dss: number;
  readonly s1stalld: number;
  readonly eats: number;
  readonly strw: number;
  readonly privcfg: number;
  readonly instcfg: number;
}

/** One half of a CD: `g` is 12, 14, 16, or 0 for a reserved TG. */
export interface HalfCase {
  readonly g: number;
  readonly size: number;
  readonly epd: number;
  readonly tbi: number;
  readonly had: number;
  /** TTB is no RAM: 1 within the addresses of 32 bits, 2 beyond those of 52. */
  readonly far: number;
}

/** CD fields, raw; `halves` are TTB0's and TTB1's. */
export interface CdCase {
  readonly v: number;
  readonly endi: number;
  readonly aa64: number;
  readonly ips: number;
  readonly affd: number;
  readonly wxn: number;
  readonly pan: number;
  readonly hd: number;
  readonly ha: number;
  readonly s: number;
  readonly ds: number;
  readonly halves: readonly [HalfCase, HalfCase];
}

/** A table entry as it was written. */
export type Entry =
  | { readonly kind: 'table'; readonly attributes: number }
  | { readonly kind: 'far'; readonly address: bigint }
  | { readonly kind: 'bad' }
  | Leaf;
export interface Leaf {
  readonly kind: 'leaf';
  readonly oa: bigint;
  /** log2 of the entries in its contiguous group; 0 without one. */
  readonly group: number;
  ap: number;
  af: boolean;
  readonly dbm: boolean;
  readonly pxn: boolean;
  readonly uxn: boolean;
}

export const READ = 1;
export const WRITE = 2;
export const EXEC = 4;
export const PRIV = 8;
const OAS_OF_IPS = [32, 36, 40, 42, 44, 48, 52, 56];

export const bitsOf = (g: number): number => g - 3;
/** log2 of the bytes that an entry covers. */
export const covers = (g: number, level: number): number => g + (3 - level) * bitsOf(g);
/** Start level (3.1). */
export const startOf = (half: HalfCase): number => 4 - Math.ceil((64 - half.size - half.g) / bitsOf(half.g));
/** Whether a block may stand at a level (3.1). */
export function blockAllowed(g: number, level: number, ds: boolean, oas: number): boolean {
  if (g === 12) return level === 1 || level === 2 || (ds && level === 0);
  if (g === 14) return level === 2 || (ds && level === 1);
  return level === 2 || (oas === 52 && level === 1);
}
/** log2 of the entries in a contiguous group (3.1). */
export function groupAt(g: number, level: number): number {
  if (g === 12) return level >= 1 ? 4 : 0;
  if (g === 14) return level === 3 ? 7 : level === 2 ? 5 : 0;
  return level >= 2 ? 5 : 0;
}
/** CD.DS counts for 4K and 16K where it is implemented. */
export const usesDs = (cd: CdCase, g: number, has: Has): boolean => cd.ds === 1 && has.ds && g !== 16;
/** min(IPS, OAS), and 48 bits where descriptors hold no more. */
export const outputBits = (cd: CdCase, g: number, has: Has): number =>
  Math.min(OAS_OF_IPS[cd.ips], has.oas, g === 16 || usesDs(cd, g, has) ? 52 : 48);

/** The event of an STE that is illegal, 0 of one that aborts silently, or null (2.2). */
export function steError(ste: SteCase, has: Has): number | null {
  if (ste.v === 0) return 0x04;
  if (ste.config < 4) return 0;
  if (ste.config === 6 || ste.config === 7) return 0x04;
  if (ste.config === 4) return null;
  if (ste.s1stalld === 1 && has.stall !== 'optional') return 0x04;
  if (has.ssidBits !== 0 && ste.s1cdMax > has.ssidBits) return 0x04;
  return (has.hyp && ste.strw % 2 === 1) || ste.eats === 2 ? 0x04 : null;
}

/** The event that a request gets before its CD is looked at; 'bypass'; or null: look at the CD (2.2, 2.3, 5.3). */
export function steVerdict(ste: SteCase, ssid: number, has: Has): number | 'bypass' | null {
  const error = steError(ste, has);
  if (error !== null) return error;
  const cds = has.ssidBits === 0 ? 0 : ste.s1cdMax;
  if (ssid >= 0 && (ste.config === 4 || cds === 0 || ssid >= 2 ** cds)) return 0x08;
  if (ste.config === 4) return 'bypass';
  if (cds === 0) return null;
  if (ssid < 0) return ste.s1dss === 1 ? 'bypass' : ste.s1dss === 2 ? null : 0x06;
  return ssid === 0 && ste.s1dss === 2 ? 0x06 : null;
}

/** EL2 without E2H: one range, one privilege. */
export const isEl2 = (ste: SteCase, has: Has, e2h: boolean): boolean => has.hyp && ste.strw === 2 && !e2h;

/** The CD is ILLEGAL (2.4). */
export function cdIllegal(cd: CdCase, ste: SteCase, has: Has, el2: boolean): boolean {
  if (cd.v === 0 || cd.endi === 1 || cd.aa64 === 0) return true;
  if (cd.s === 1 && (ste.s1stalld === 1 || has.stall === 'none')) return true;
  if (cd.s === 0 && has.stall === 'forced') return true;
  if ((cd.ha === 1 && has.httu === 'none') || (cd.hd === 1 && has.httu !== 'dirty')) return true;
  const bad = (half: HalfCase): boolean => {
    const offered = { 12: has.granule4K, 14: has.granule16K, 16: has.granule64K }[half.g] ?? false;
    const least = (half.g === 16 ? has.vax === 52 : usesDs(cd, half.g, has)) ? 12 : 16;
    return !offered || half.size < least || half.size > 39 || half.far === 2;
  };
  return el2
    ? bad(cd.halves[0])
    : (cd.halves[0].epd === 0 && bad(cd.halves[0])) || (cd.halves[1].epd === 0 && bad(cd.halves[1]));
}

/** Rights of a leaf for the unprivileged and the privileged (3.2); `tables` are the attributes above it, or-ed: bit 0 is PXNTable. */
function rights(leaf: Leaf, readOnly: boolean, tables: number, cd: CdCase, el2: boolean): readonly [number, number] {
  const writable = !readOnly && (tables & 8) === 0;
  const uxn = leaf.uxn || (tables & 2) !== 0;
  if (el2) {
    const all = READ | (writable ? WRITE : 0) | (!uxn && !(cd.wxn === 1 && writable) ? EXEC : 0);
    return [all, all];
  }
  const user = (leaf.ap & 1) !== 0 && (tables & 4) === 0;
  const userExec = !uxn && !(cd.wxn === 1 && user && writable);
  const exec = !leaf.pxn && (tables & 1) === 0 && !(user && writable) && !(cd.wxn === 1 && writable);
  const data = !(cd.pan === 1 && user);
  return [
    (user ? READ : 0) | (user && writable ? WRITE : 0) | (userExec ? EXEC : 0),
    (data ? READ : 0) | (data && writable ? WRITE : 0) | (exec ? EXEC : 0),
  ];
}

/** What becomes of a request. Levels where the specification defines them, else -9. */
export type Verdict =
  | { readonly reason: number; readonly level: number }
  | { readonly address: bigint; readonly perm: number; readonly log2Size: number };

const fault = (reason: number, level = -9): Verdict => ({ reason, level });

/** Steps 10 and 11 of 5.3 for one context. `entries` are by half, level and prefix; HTTU changes them. */
export class FlatContext {
  readonly entries = new Map<string, Entry>();

  constructor(
    readonly cd: CdCase,
    readonly ste: SteCase,
    readonly has: Has,
    readonly el2: boolean,
  ) {}

  static key(half: number, level: number, prefix: bigint): string {
    return `${half}:${level}:${prefix}`;
  }

  /** `want`: rights and PRIV; `soft`: a translation request that takes W too. */
  judge(va: bigint, want: number, soft: boolean): Verdict {
    if (cdIllegal(this.cd, this.ste, this.has, this.el2)) return fault(0x0a);
    const upper = (va >> 55n) & 1n;
    const half = this.cd.halves[Number(upper)];
    if (this.el2 && upper === 1n) return fault(0x10, 0);
    if (half.epd === 1 && !this.el2) return fault(0x10, 0);
    const top = BigInt(half.tbi === 1 ? 56 : 64);
    const rest = (va & ((1n << top) - 1n)) >> BigInt(64 - half.size);
    if (rest !== (upper === 1n ? (1n << (top - BigInt(64 - half.size))) - 1n : 0n)) return fault(0x10, 0);
    return this.walk(va & ((1n << BigInt(64 - half.size)) - 1n), Number(upper), want, soft);
  }

  walk(offset: bigint, upper: number, want: number, soft: boolean): Verdict {
    const half = this.cd.halves[upper];
    const limit = 1n << BigInt(outputBits(this.cd, half.g, this.has));
    if (half.far === 1) return fault(0x0b);
    let tables = 0;
    for (let level = startOf(half); ; level++) {
      const shift = BigInt(covers(half.g, level));
      const entry = this.entries.get(FlatContext.key(upper, level, offset >> shift));
      if (entry === undefined || entry.kind === 'bad') return fault(0x10, level);
      if (entry.kind === 'far') return entry.address >= limit ? fault(0x11, level) : fault(0x0b);
      if (entry.kind === 'leaf') {
        if (entry.oa >= limit) return fault(0x11, level);
        return this.leaf(
          entry,
          entry.oa + (offset & ((1n << shift) - 1n)),
          Number(shift),
          level,
          half.had === 1 ? 0 : tables,
          want,
          soft,
        );
      }
      tables |= entry.attributes;
    }
  }

  leaf(
    leaf: Leaf,
    address: bigint,
    shift: number,
    level: number,
    tables: number,
    want: number,
    soft: boolean,
  ): Verdict {
    const { cd, el2 } = this;
    const mode = (want & PRIV) === 0 ? 0 : 1;
    const young = !leaf.af && cd.affd === 0;
    if (young && cd.ha === 0) return fault(0x12, level);
    const managed = cd.ha === 1 && cd.hd === 1 && leaf.dbm;
    const possible = rights(leaf, (leaf.ap & 2) !== 0 && !managed, tables, cd, el2)[mode];
    if ((want & 7 & ~possible) !== 0) return fault(0x13, level);
    if (young) leaf.af = true;
    if (managed && (possible & WRITE) !== 0 && ((want & WRITE) !== 0 || soft)) leaf.ap &= ~2;
    const clean = managed && (leaf.ap & 2) !== 0;
    return {
      address,
      perm: clean ? possible & ~WRITE : possible,
      log2Size: shift + (cd.ha === 1 ? 0 : leaf.group),
    };
  }
}
