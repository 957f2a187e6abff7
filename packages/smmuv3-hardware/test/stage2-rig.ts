import type { Setting } from '@iommukit/kernel';
import { Rig } from './rig.js';

/** S2TG, and the log2 of a page, by the granule's name (smmuv3.md 2.2, 3.1). */
export const S2TG = { '4K': 0n, '64K': 1n, '16K': 2n } as const;
const PAGE_SHIFT = { '4K': 12, '16K': 14, '64K': 16 } as const;

/** The granule of stage-2 tables. */
export type GranuleName = keyof typeof S2TG;

/** Fields of an STE that translates by stage 2 alone. What is left out is as Linux writes it: S2AA64, S2PTW, S2R. */
export interface Stage2Fields {
  readonly granule?: GranuleName;
  /** Bits of an intermediate physical address: 64 - S2T0SZ. */
  readonly bits?: number;
  readonly sl0?: number;
  readonly ps?: number;
  readonly vmid?: number;
  /** Bits of dw2 that are set, and cleared, beside. */
  readonly set?: bigint;
  readonly clear?: bigint;
  /** dw1. */
  readonly dw1?: bigint;
  /** Low bits of dw3. */
  readonly dw3?: bigint;
}

/** Bits of an STE's dw2 (smmuv3.md 2.2). */
export const DW2 = {
  AA64: 1n << 51n,
  ENDI: 1n << 52n,
  AFFD: 1n << 53n,
  PTW: 1n << 54n,
  HD: 1n << 55n,
  HA: 1n << 56n,
  S: 1n << 57n,
  R: 1n << 58n,
} as const;

/** A page or block at stage 2: valid, write-back, read and write, inner shareable, AF. */
export const RW = 0x7fdn;
/** Bits of a stage-2 leaf. */
export const LEAF = { READ: 1n << 6n, WRITE: 1n << 7n, AF: 1n << 10n, DBM: 1n << 51n, CONTIGUOUS: 1n << 52n } as const;

/** The stream of these tests. */
export const SID = 0x42;

/** A rig whose SMMU has stage 2, with one stream that it translates. */
export class Stage2Rig {
  readonly rig: Rig;
  readonly granule: GranuleName;
  readonly bits: number;
  readonly level: number;
  /** The first tables: room for 16 side by side. */
  readonly ttb: number;

  constructor(fields: Stage2Fields = {}, capabilities: Record<string, Setting> = {}, sid = SID, rig?: Rig) {
    this.rig = rig ?? new Rig({ stage2: true, ...capabilities }).enable();
    this.granule = fields.granule ?? '4K';
    this.bits = fields.bits ?? 48;
    const sl0 = fields.sl0 ?? 2;
    this.level = this.granule === '4K' ? 2 - sl0 : 3 - sl0;
    this.ttb = this.rig.frames(this.granule === '64K' ? 8 : this.granule === '16K' ? 6 : 4);
    this.ste(fields, sid);
  }

  /** Writes the STE. */
  ste(fields: Stage2Fields, sid = SID): void {
    const { granule = '4K', bits = 48, sl0 = 2, ps = 5, vmid = 7, set = 0n, clear = 0n, dw1 = 0n, dw3 = 0n } = fields;
    const linux = DW2.AA64 | DW2.PTW | DW2.R;
    const range = (BigInt(64 - bits) << 32n) | (BigInt(sl0) << 38n) | (S2TG[granule] << 46n) | (BigInt(ps) << 48n);
    this.rig.ste(sid, 0xdn, dw1, (BigInt(vmid) | range | linux | set) & ~clear);
    this.rig.store(this.rig.strtab + sid * 64 + 24, BigInt(this.ttb) | dw3);
  }

  /** Where the descriptor of `ipa` at `level` stands; tables on the way are made. */
  slot(ipa: bigint, level: number): number {
    const shift = PAGE_SHIFT[this.granule];
    const stride = shift - 3;
    let table = this.ttb;
    for (let at = this.level; ; at++) {
      const below = BigInt(shift + stride * (3 - at));
      // At the start level the index has what is left of the address: that is what concatenated tables are.
      const index = at === this.level ? ipa >> below : (ipa >> below) % (1n << BigInt(stride));
      const slot = table + Number(index) * 8;
      if (at === level) return slot;
      let entry = this.rig.load(slot);
      if ((entry & 1n) === 0n) {
        entry = BigInt(this.rig.frames(shift - 12)) | 3n;
        this.rig.store(slot, entry);
      }
      table = Number(entry & 0xffff_ffff_f000n);
    }
  }

  /** Maps `ipa` by a leaf at `level` with these bits (bit 1 is added for pages). */
  map(ipa: bigint, pa: bigint, leaf = RW, level = 3): void {
    this.rig.store(this.slot(ipa, level), pa | leaf | (level === 3 ? 2n : 0n));
  }

  /** The frame of `ipa`, or `event 0x…`. */
  translate(ipa: bigint, want = 1, sid = SID, ssid = -1): number | string {
    return this.rig.translate(sid, ssid, Number(ipa >> 12n), want);
  }

  /** Sends an access, and returns the events that it causes. */
  send(kind: 'read' | 'write', ipa: bigint, pasid = -1): string[][] {
    const access = { at: 0, pasid, page: Number(ipa >> 12n), offset: Number(ipa & 0xfffn), witness: 0 };
    const link = this.rig.link(SID);
    if (kind === 'read') this.rig.deliver(link, { kind, tag: 1, bytes: 4, ...access });
    else this.rig.deliver(link, { kind, data: new Uint8Array(4), ...access });
    return this.rig.events();
  }
}
