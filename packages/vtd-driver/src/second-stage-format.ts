import { type AddressSpaceFormat, ENTRY, type EntryKind, LEAF, PERM } from '@iommukit/core';
import {
  SECOND_STAGE,
  SecondStageBlock1G,
  SecondStageBlock2M,
  SecondStagePage,
  SecondStageTable,
} from '@iommukit/paging';

const READ = SecondStagePage.f.r.maskLo;
const WRITE = SecondStagePage.f.w.maskLo;
const BLOCK = SecondStageBlock2M.f.ps.maskLo;

/** Level of pages, and of the tables that hold them. */
const PAGES = 3;
const BLOCKS_2M = 2;
const BLOCKS_1G = 1;
const ENTRIES = 512;

/** The declarations of a leaf's address, by level. */
const ADDRESS = {
  [PAGES]: SecondStagePage.f.addr,
  [BLOCKS_2M]: SecondStageBlock2M.f.addr,
  [BLOCKS_1G]: SecondStageBlock1G.f.addr,
} as const;

/** What a second stage is like. */
export interface SecondStageShape {
  /** AW: 1 is 3 levels and 39 bits, 2 is 4 and 48, 3 is 5 and 57. */
  readonly aw: 1 | 2 | 3;
  /** Bits of an input address, where the unit takes fewer than the tables have (MGAW). */
  readonly inputBits?: number;
  /** Large pages as CAP.SLLPS has them: 1 is 2 MiB, 2 is 1 GiB. */
  readonly sllps: number;
}

/**
 * VT-d's second-stage tables (vtd.md 2.12), without accessed and dirty flags. Level 3 holds pages, 2 pages of 2 MiB, 1 those
 * of 1 GiB; the top level is 1, 0 or -1.
 */
export class SecondStageFormat implements AddressSpaceFormat {
  readonly name: string;
  readonly aw: number;
  readonly pageShift = 12;
  readonly pageOrder = 0;
  readonly pageFrames = 1;
  readonly addressBits: number;
  readonly pageEnd: number;
  readonly outputBits = 52;
  readonly rootLevel: number;
  readonly leafLevel = PAGES;
  readonly tableOrder = 0;
  readonly rootOrder = 0;
  /** By level + 1. */
  readonly orders: readonly (readonly number[])[];

  constructor({ aw, inputBits = SECOND_STAGE.inputBits[aw]!, sllps }: SecondStageShape) {
    const levels = SECOND_STAGE.levels[aw]!;
    this.name = `VT-d second stage ${levels}-level`;
    this.aw = aw;
    this.addressBits = Math.min(inputBits, SECOND_STAGE.inputBits[aw]!);
    this.pageEnd = 2 ** (this.addressBits - 12);
    this.rootLevel = PAGES + 1 - levels;
    this.orders = [[], [], (sllps & 2) !== 0 ? [18] : [], (sllps & 1) !== 0 ? [9] : [], [0]];
  }

  span(level: number): number {
    return ENTRIES ** (PAGES - level);
  }

  leafOrders(level: number): readonly number[] {
    return this.orders[level + 1]!;
  }

  groupEntries(_level: number): number {
    return 0;
  }

  offset(page: number, level: number): number {
    return (Math.floor(page / this.span(level)) % ENTRIES) * 8;
  }

  /** Present is R or W. PS is a leaf only where the unit has such pages. */
  kindOf(entry: Uint32Array, level: number): EntryKind {
    if ((entry[0]! & (READ | WRITE)) === 0) return ENTRY.ABSENT;
    if (level === PAGES) return ENTRY.LEAF;
    if ((entry[0]! & BLOCK) === 0) return ENTRY.TABLE;
    return this.leafOrders(level).length > 0 ? ENTRY.LEAF : ENTRY.ABSENT;
  }

  /** Rights are the leaves' business. */
  encodeTable(frame: number, out: Uint32Array): void {
    out[0] = READ | WRITE;
    out[1] = 0;
    SecondStageTable.f.addr.set(out, frame * 4096);
  }

  tableOf(entry: Uint32Array): number {
    return SecondStageTable.f.addr.get(entry) / 4096;
  }

  encodeLeaf(frame: number, perm: number, _device: boolean, out: Uint32Array, level: number = PAGES): void {
    out[0] = rightsOf(perm) | (level === PAGES ? 0 : BLOCK);
    out[1] = 0;
    this.setFrame(out, frame, level);
  }

  frameOf(entry: Uint32Array, level: number = PAGES): number {
    return ADDRESS[level as keyof typeof ADDRESS].get(entry) / 4096;
  }

  setFrame(entry: Uint32Array, frame: number, level: number): void {
    ADDRESS[level as keyof typeof ADDRESS].set(entry, frame * 4096);
  }

  permOf(entry: Uint32Array): number {
    return ((entry[0]! & READ) !== 0 ? PERM.READ : 0) | ((entry[0]! & WRITE) !== 0 ? PERM.WRITE : 0);
  }

  isDevice(_entry: Uint32Array): boolean {
    return false;
  }

  isAccessed(_entry: Uint32Array): boolean {
    return true;
  }

  isDirty(entry: Uint32Array): boolean {
    return (entry[0]! & WRITE) !== 0;
  }

  isWritableClean(_entry: Uint32Array): boolean {
    return false;
  }

  isContiguous(_entry: Uint32Array): boolean {
    return false;
  }

  setPerm(entry: Uint32Array, perm: number): void {
    entry[0] = ((entry[0]! & ~(READ | WRITE)) | rightsOf(perm)) >>> 0;
  }

  flagsOf(entry: Uint32Array): number {
    return this.isDirty(entry) ? LEAF.DIRTY : LEAF.CLEAN;
  }

  setFlags(_entry: Uint32Array, _flags: number): void {}

  resize(entry: Uint32Array, level: number, frame: number, to: number): void {
    this.setFrame(entry, 0, level);
    if (to === PAGES) entry[0] = (entry[0]! & ~BLOCK) >>> 0;
    this.setFrame(entry, frame, to);
  }

  markUsed(_entry: Uint32Array, _write: boolean): boolean {
    return false;
  }
}

/** R and W, each by itself. */
function rightsOf(perm: number): number {
  return ((perm & PERM.READ) !== 0 ? READ : 0) | ((perm & PERM.WRITE) !== 0 ? WRITE : 0);
}
