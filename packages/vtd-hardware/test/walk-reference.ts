/**
 * What vtd.md 2.2 to 2.12 and 5.2 say about one request, as a flat map of entries by level and prefix of the address. Written from
 * the fact sheet alone, bit positions as it has them: nothing of the model is used here.
 */

/** Capabilities that matter. */
export interface Has {
  readonly sagaw: number;
  readonly mgaw: number;
  readonly haw: number;
  readonly fl5lp: boolean;
  readonly fl1gp: boolean;
  readonly sllps: number;
  readonly sc: boolean;
  readonly slads: boolean;
  readonly srs: boolean;
  readonly ers: boolean;
  readonly eafs: boolean;
  readonly smpwcs: boolean;
  readonly rprivs: boolean;
  readonly pt: boolean;
  readonly flts: boolean;
  readonly slts: boolean;
}

/** What the entry of a PASID, or a context entry of legacy mode, says. `mode` as RADDR.TTM. */
export interface EntryCase {
  /** PGTT: 1 first stage, 2 second stage, 3 nested, 4 pass-through. */
  readonly pgtt: number;
  readonly aw: number;
  readonly flpm: number;
  readonly sre: number;
  readonly ere: number;
  readonly wpe: number;
  readonly eafe: number;
  readonly pwsnp: number;
  readonly slade: number;
  /** The first table is no RAM. */
  readonly far: boolean;
}

export const READ = 1;
export const WRITE = 2;
export const EXEC = 4;
export const PRIV = 8;
const bit = (word: bigint, n: number): boolean => ((word >> BigInt(n)) & 1n) === 1n;
const ADDRESS = 0xf_ffff_ffff_f000n;

/** A table entry as it stands in memory; flags change it. `far`: it leads to what is no RAM. */
export interface Word {
  word: bigint;
  readonly far: boolean;
}

/** What becomes of a request. */
export type Verdict =
  | { readonly reason: number; readonly level: number }
  | { readonly address: bigint; readonly perm: number; readonly log2Size: number; readonly level: number };

const fault = (reason: number, level = 0): Verdict => ({ reason, level });
/** log2 of the bytes that an entry of a level covers. */
export const shiftOf = (level: number): number => 12 + 9 * (level - 1);

/** The table entries, and what a context does with requests. */
export class FlatEntry {
  /** By `level:prefix`. */
  readonly entries = new Map<string, Word>();

  constructor(
    readonly c: EntryCase,
    readonly has: Has,
    /** 0 legacy, 1 scalable, 2 extended. */
    readonly mode: number,
  ) {}

  static key(level: number, prefix: bigint): string {
    return `${level}:${prefix}`;
  }

  get legacy(): boolean {
    return this.mode === 0;
  }

  /** Levels of the tables. */
  get levels(): number {
    return this.c.pgtt === 1 ? (this.c.flpm === 1 ? 5 : 4) : this.c.aw + 2;
  }

  /** Bits of the address that index tables. */
  get bits(): number {
    return 12 + 9 * this.levels;
  }

  /** The entry is wrong: its fault, or null (5.2: SPT.3, SPT.4; legacy: LCT.4). */
  get error(): number | null {
    const { c, has } = this;
    const width = c.aw >= 1 && c.aw <= 3 && (has.sagaw & (1 << c.aw)) !== 0;
    if (this.mode === 0) return (c.pgtt === 4 && !has.pt) || !width ? 0x03 : null;
    if (this.mode === 2) return c.flpm === 1 && !has.fl5lp ? 0x5b : null;
    const old = c.ere === 1 && !has.ers;
    const reserved =
      (c.slade === 1 && !has.slads) ||
      (c.pwsnp === 1 && !has.smpwcs) ||
      (c.sre === 1 && !has.srs) ||
      (c.eafe === 1 && !has.eafs);
    if (old || reserved) return 0x5a;
    if (c.pgtt === 1) return has.flts && (c.flpm === 0 || (c.flpm === 1 && has.fl5lp)) ? null : 0x5b;
    if (c.pgtt === 2) return has.slts && width ? null : 0x5b;
    return c.pgtt === 4 && has.pt ? null : 0x5b;
  }

  /** `want`: rights and PRIV; `soft`: the right to write is welcome. */
  judge(va: bigint, want: number, soft: boolean): Verdict {
    const { c, has, legacy } = this;
    if (this.error !== null) return fault(this.error);
    if (c.pgtt === 4) {
      if (va >> BigInt(has.haw) !== 0n) return fault(legacy ? 0x04 : 0x83);
      if (isInterrupt(va)) return fault(legacy ? 0x0e : 0x87);
      return { address: va, perm: 7, log2Size: 12, level: 0 };
    }
    if (c.pgtt === 1) {
      if ((want & EXEC) !== 0 && has.ers && c.ere === 0) return fault(0x5c);
      if ((want & PRIV) !== 0 && c.sre === 0) return fault(0x5d);
      const top = BigInt.asIntN(64, va) >> BigInt(this.bits - 1);
      if (top !== 0n && top !== -1n) return fault(0x80);
      return this.first(va & ((1n << BigInt(this.bits)) - 1n), want, soft);
    }
    const limit = Math.min(has.mgaw + 1, 30 + 9 * c.aw);
    if (va >> BigInt(limit) !== 0n) return fault(legacy ? 0x04 : 0x84);
    return this.second(va, want, soft);
  }

  /** Bits [51:HAW], and `more`. */
  reserved(word: bigint, more: bigint): boolean {
    const beyond = ADDRESS & ~((1n << BigInt(this.has.haw)) - 1n);
    return (word & (beyond | more)) !== 0n;
  }

  first(key: bigint, want: number, soft: boolean): Verdict {
    const { c, has } = this;
    const snooped = this.mode === 2 || c.pwsnp === 1;
    const used = 0x20n | (c.eafe === 1 ? 0x400n : 0n);
    let [user, write, exec] = [true, true, true];
    for (let level = this.levels; ; level--) {
      if (level === this.levels && c.far) return fault(0x73, level);
      const entry = this.entries.get(FlatEntry.key(level, key >> BigInt(shiftOf(level))));
      if (entry === undefined || !bit(entry.word, 0)) return fault(0x71, level);
      const leaf = level === 1 || (level <= 3 && bit(entry.word, 7));
      if (!leaf && this.reserved(entry.word, 0x80n)) return fault(0x72, level);
      if (leaf && this.reserved(entry.word, level === 2 ? 0x1f_e000n : level === 3 ? 0x3fff_e000n : 0n)) {
        return fault(0x72, level);
      }
      if (leaf && level === 3 && !has.fl1gp) return fault(0x72, level);
      user &&= bit(entry.word, 2);
      write &&= bit(entry.word, 1);
      exec &&= !bit(entry.word, 63);
      if (leaf) {
        const privileged = (want & PRIV) !== 0;
        const writable = privileged ? write || c.wpe === 0 : write;
        const perm = privileged || user ? READ | (writable ? WRITE : 0) | (exec ? EXEC : 0) : 0;
        const missing = want & 7 & ~perm;
        if (perm === 0) return fault(0x81, level);
        if (missing !== 0) return fault((missing & EXEC) !== 0 ? 0x82 : 0x85, level);
        return this.grant(entry, key, level, perm, want, soft, used, 0x40n, snooped, 0x90, 0x87);
      }
      if ((entry.word & used) !== used && !snooped) return fault(0x90, level);
      entry.word |= used;
      if (entry.far) return fault(0x70, level - 1);
    }
  }

  second(key: bigint, want: number, soft: boolean): Verdict {
    const { c, has, legacy } = this;
    const flags = this.mode === 1 && c.slade === 1;
    const snooped = c.pwsnp === 1;
    const nothing = legacy ? ((want & WRITE) !== 0 ? 0x05 : 0x06) : 0x79;
    let [read, write] = [true, true];
    for (let level = this.levels; ; level--) {
      if (level === this.levels && c.far) return fault(legacy ? 0x03 : 0x7b, level);
      const entry = this.entries.get(FlatEntry.key(level, key >> BigInt(shiftOf(level))));
      if (entry === undefined || (entry.word & 3n) === 0n) return fault(nothing, level);
      const leaf = level === 1 || (level <= 3 && bit(entry.word, 7));
      let more = 1n << 62n;
      if (!leaf) more |= 0x880n;
      else {
        if (!has.sc) more |= 0x800n;
        if (level === 2) more |= 0x1f_f000n | ((has.sllps & 1) === 0 ? 0x80n : 0n);
        if (level === 3) more |= 0x3fff_f000n | ((has.sllps & 2) === 0 ? 0x80n : 0n);
      }
      if (this.reserved(entry.word, more)) return fault(legacy ? 0x0c : 0x7a, level);
      read &&= bit(entry.word, 0);
      write &&= bit(entry.word, 1);
      if (!read && !write) return fault(nothing, level);
      if (leaf) {
        const perm = (read ? READ | EXEC : 0) | (write ? WRITE : 0);
        const missing = want & 7 & ~perm;
        const [noWrite, noRead] = legacy ? [0x05, 0x06] : [0x85, 0x86];
        if (missing !== 0) return fault((missing & WRITE) !== 0 ? noWrite : noRead, level);
        return this.grant(
          entry,
          key,
          level,
          perm,
          want,
          soft,
          flags ? 0x100n : 0n,
          flags ? 0x200n : 0n,
          snooped,
          0x7c,
          legacy ? 0x0e : 0x87,
        );
      }
      if (flags && !bit(entry.word, 8)) {
        if (!snooped) return fault(0x7c, level);
        entry.word |= 0x100n;
      }
      if (entry.far) return fault(legacy ? 0x07 : 0x78, level - 1);
    }
  }

  /** The leaf grants what is asked for: where it leads, and the flags that it gets. */
  grant(
    entry: Word,
    key: bigint,
    level: number,
    perm: number,
    want: number,
    soft: boolean,
    used: bigint,
    dirty: bigint,
    snooped: boolean,
    unsnooped: number,
    interrupt: number,
  ): Verdict {
    const size = 1n << BigInt(shiftOf(level));
    const base = entry.word & ADDRESS & ~(size - 1n);
    const address = base + (key & (size - 1n));
    if (isInterrupt(address)) return fault(interrupt, level);
    let flags = used;
    const clean = dirty !== 0n && (entry.word & dirty) === 0n;
    if ((want & WRITE) !== 0 || (soft && snooped && (perm & WRITE) !== 0)) flags |= dirty;
    if ((entry.word & flags) !== flags) {
      if (!snooped) return fault(unsnooped, level);
      entry.word |= flags;
    }
    const stillClean = clean && (entry.word & dirty) === 0n;
    const split = base <= 0xfeef_ffffn && base + size > 0xfee0_0000n;
    return {
      address,
      perm: stillClean ? perm & ~WRITE : perm,
      log2Size: split ? 12 : shiftOf(level),
      level: split ? 1 : level,
    };
  }
}

const isInterrupt = (address: bigint): boolean => address >> 20n === 0xfeen;
