import {
  FairChooser,
  Kernel,
  type Outcome,
  PhysicalBus,
  type Setting,
  type Settings,
  ThreadedInterrupt,
} from '@iommukit/kernel';
import type { Downstream, Link, Upstream } from '@iommukit/pci-ats';
import { Vtd, type VtdParts, vtdParts } from '../src/index.js';

/** Where the rig's unit has its registers. */
export const BASE = 0xfed9_0000;
/** The requester of the fact sheet's examples: bus 1, device 0, function 0. */
export const SID = 0x0100;
const RAM = 0x4000_0000;
const HOLE = 2 ** 40;

const GCMD = 0x18;
const FSTS = 0x34;
const IQT = 0x88;
const TE = 0x8000_0000;
const SRTP = 0x4000_0000;
const QIE = 0x0400_0000;
const RECORDS = 0x400;

/** A link that keeps what is sent down. */
export class TestLink implements Link {
  readonly stream: number;
  readonly kernel: Kernel;
  readonly sent: Downstream[] = [];

  constructor(kernel: Kernel, stream: number) {
    this.kernel = kernel;
    this.stream = stream;
  }

  up(): never {
    throw new Error('nothing is sent up here: call Vtd.receive');
  }

  down(tlp: Downstream) {
    this.sent.push(tlp);
    return this.kernel.point(this.kernel.footprint(), true);
  }

  remove(): void {}
}

/** A unit on a bare kernel, driven by literal words from the fact sheet, with tables, queues and messages made here. */
export class Rig {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: RAM, bytes: 256 * 2 ** 20 }]);
  readonly vtd: Vtd;
  readonly interrupts: string[] = [];
  /** Stored to at every interrupt. */
  readonly interrupted = this.kernel.footprint();
  readonly root = this.frames(0);
  /** 4 KiB: 128 descriptors of 256 bits, 256 of 128. */
  readonly queue = this.frames(0);
  /** 4 KiB: 128 page requests of 32 bytes, 256 of 16. */
  readonly prq = this.frames(0);
  /** Where waits of {@link Rig.wait} write. */
  readonly status = this.frames(0);
  /** The level bits of GCMD. */
  levels = 0;
  /** Bytes of a descriptor. */
  width = 32;
  tail = 0;
  /** True: time stands still, a run ends when nothing is runnable. */
  frozen = false;
  static readonly abortAddress = HOLE;

  constructor(capabilities: Record<string, Setting> = {}, settings: Settings = {}, parts: Partial<VtdParts> = {}) {
    this.kernel.onIdle(() => {
      if (this.frozen) this.kernel.end({ end: 'finished' });
      return this.frozen;
    });
    const lines = new Map<string, ThreadedInterrupt>();
    const place = {
      kernel: this.kernel,
      bus: this.bus,
      name: 'dmar@fed90000',
      base: BASE,
      bytes: 0x1000,
      capabilities,
      irq: (name: string) => {
        let line = lines.get(name);
        if (line === undefined) {
          line = new ThreadedInterrupt(this.kernel, name);
          const { interrupts, interrupted, kernel } = this;
          line.handle(function* () {
            interrupts.push(name);
            kernel.touch(interrupted, true);
          });
          lines.set(name, line);
        }
        return line;
      },
    };
    this.vtd = new Vtd(place, settings, { ...vtdParts, ...parts });
  }

  // ── memory and registers ───────────────────────────────────────────────────────────────────────────────────────

  /** 2^order frames; their address. */
  frames(order: number): number {
    return this.bus.frames.alloc('test', order) * 4096;
  }

  read(offset: number): number {
    return this.bus.load32(BASE + offset);
  }

  read64(offset: number): bigint {
    return this.load(BASE + offset);
  }

  write(offset: number, value: number): void {
    this.bus.store32(BASE + offset, value >>> 0);
  }

  write64(offset: number, value: bigint): void {
    this.bus.store64(BASE + offset, Number(value & 0xffffffffn), Number(value >> 32n));
  }

  /** Stores a 64-bit word in memory. */
  store(pa: number, ...words: bigint[]): void {
    words.forEach((value, i) => {
      this.bus.store64(pa + i * 8, Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
    });
  }

  load(pa: number): bigint {
    const out = new Uint32Array(2);
    this.bus.load64(pa, out);
    return (BigInt(out[1]) << 32n) | BigInt(out[0]);
  }

  // ── set-up ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Writes a one-shot bit, or changes level bits, of GCMD. */
  command(oneShot: number, levels = this.levels): void {
    this.levels = levels;
    this.write(GCMD, (levels | oneShot) >>> 0);
  }

  /** Turns everything on, by default in scalable mode (TTM 1). The three events are unmasked and interrupt. */
  enable(ttm = 1): this {
    this.width = ttm === 1 || ttm === 3 ? 32 : 16;
    for (const at of [0x38, 0xa0, 0xe0]) {
      this.write(at + 8, 0xfee0_0000);
      this.write(at, 0);
    }
    this.write64(IQT, 0n);
    this.write64(0x90, BigInt(this.queue) | (this.width === 32 ? 0x800n : 0n));
    this.write64(0xd0, BigInt(this.prq));
    this.write64(0x20, BigInt(this.root) | BigInt(ttm << 10));
    this.command(SRTP);
    this.command(0, this.levels | QIE);
    this.command(0, (this.levels | TE) >>> 0);
    return this;
  }

  /** A scalable-mode context entry of a requester, for a directory of 2^(pdts + 7) entries. @returns the directory */
  context(sid: number = SID, flags = 0x1dn, pdts = 2, qw1 = 0n): number {
    const directory = this.frames(0);
    this.store(this.contextAt(sid), BigInt(directory) | BigInt(pdts << 9) | flags, qw1, 0n, 0n);
    return directory;
  }

  /** Where a requester's scalable-mode context entry is; its table is made if there is none. */
  contextAt(sid: number): number {
    const half = this.root + (sid >>> 8) * 16 + ((sid & 0x80) === 0 ? 0 : 8);
    if ((this.load(half) & 1n) === 0n) this.store(half, BigInt(this.frames(0)) | 1n);
    return Number(this.load(half) & 0xffff_ffff_f000n) + (sid & 0x7f) * 32;
  }

  /** Where a PASID's entry is; its table is made if there is none. */
  pasidAt(directory: number, pasid: number): number {
    const at = directory + (pasid >>> 6) * 8;
    if ((this.load(at) & 1n) === 0n) this.store(at, BigInt(this.frames(0)) | 1n);
    return Number(this.load(at) & 0xffff_ffff_f000n) + (pasid & 63) * 64;
  }

  /** A PASID entry as in the fact sheet: first stage, 4 levels, DID 1, PWSNP. @returns the root of its page tables */
  pasid(directory: number, pasid: number, qw0 = 0x49n, qw1 = 0x80_0001n, table = this.frames(0), qw2 = 0n): number {
    const at = this.pasidAt(directory, pasid);
    this.store(at + 8, qw1, BigInt(table) | qw2);
    this.store(at, qw0);
    return table;
  }

  /** A legacy context entry: TT 1, 4 levels, DID. @returns the root of its second-stage tables */
  legacy(sid: number = SID, did = 7, tt = 1, table = this.frames(0)): number {
    const entry = this.root + (sid >>> 8) * 16;
    if ((this.load(entry) & 1n) === 0n) this.store(entry, BigInt(this.frames(0)) | 1n);
    const at = Number(this.load(entry) & 0xffff_ffff_f000n) + (sid & 0xff) * 16;
    this.store(at + 8, BigInt(did << 8) | 2n);
    this.store(at, BigInt(table) | BigInt(tt << 2) | 1n);
    return table;
  }

  /** Maps a page (address / 4096) to a frame by a table of 4 levels; `leaf` 1: 4 KiB, 2: 2 MiB. Default: present, writable, user. */
  map(root: number, page: number, frame: number, attributes = 0x7n, leaf = 1, inner = 0x7n): void {
    let table = root;
    for (let level = 4; level > leaf; level--) {
      const slot = table + (Math.floor(page / 512 ** (level - 1)) % 512) * 8;
      let entry = this.load(slot);
      if ((entry & 3n) === 0n) {
        entry = BigInt(this.frames(0)) | inner;
        this.store(slot, entry);
      }
      table = Number(entry & 0xffff_ffff_f000n);
    }
    this.store(table + (Math.floor(page / 512 ** (leaf - 1)) % 512) * 8, (BigInt(frame) << 12n) | attributes);
  }

  /** {@link map} in second-stage entries: read and write. */
  mapSecond(root: number, page: number, frame: number, attributes = 3n, leaf = 1): void {
    this.map(root, page, frame, attributes, leaf, 3n);
  }

  // ── the queue ──────────────────────────────────────────────────────────────────────────────────────────────────

  /** Queues descriptors without running: each a list of words, the rest 0. */
  post(...descriptors: bigint[][]): void {
    for (const words of descriptors) {
      for (let i = 0; i < this.width / 8; i++) this.store(this.queue + this.tail + i * 8, words[i] ?? 0n);
      this.tail = (this.tail + this.width) % 4096;
    }
    this.write64(IQT, BigInt(this.tail));
  }

  /** Queues descriptors and runs. */
  invalidate(...descriptors: bigint[][]): void {
    this.post(...descriptors);
    this.settle();
  }

  /** A wait that writes `data` to word `n` of {@link status}; `flags` 0x20 is SW. */
  wait(n: number, data = 2, flags = 0x20n): bigint[] {
    return [(BigInt(data) << 32n) | 5n | flags, BigInt(this.status + n * 4)];
  }

  /** Word `n` of {@link status}. */
  statusOf(n: number): number {
    return this.bus.load32(this.status + n * 4);
  }

  /** What becomes of one descriptor: IQEI, or -1 when it was taken. After an error the slot holds a wait, and the queue goes on. */
  verdict(...words: bigint[]): number {
    const slot = this.queue + this.tail;
    this.invalidate(words);
    const { iqei } = this;
    if (iqei < 0) return iqei;
    this.store(slot, 5n, 0n, ...(this.width === 32 ? [0n, 0n] : []));
    this.write(FSTS, 0x10);
    this.settle();
    return iqei;
  }

  get head(): number {
    return this.read(0x80);
  }

  /** FSTS. */
  get fsts(): number {
    return this.read(FSTS);
  }

  /** IQERCD.IQEI while FSTS.IQE=1; -1 else. */
  get iqei(): number {
    return (this.fsts & 0x10) === 0 ? -1 : this.read(0xb0) & 0xf;
  }

  // ── running ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Runs until nothing happens any more. */
  settle(): Outcome {
    this.kernel.begin(new FairChooser());
    return this.kernel.run();
  }

  link(stream: number = SID): TestLink {
    const link = new TestLink(this.kernel, stream);
    this.vtd.connect(link);
    return link;
  }

  /** Delivers messages of a device, in order, and runs. */
  deliver(link: Link, ...tlps: Upstream[]): void {
    const { vtd } = this;
    this.kernel.spawn('lane', function* () {
      for (const tlp of tlps) yield* vtd.receive(link, tlp);
    });
    const outcome = this.settle();
    if (outcome.end !== 'finished') throw new Error(`the run ended with ${outcome.end}`);
  }

  /** The fault records that are pending, as [qw0, qw1], oldest first; clears them. */
  faults(): [string, string][] {
    const found: [string, string][] = [];
    const count = Number((this.read64(8) >> 40n) & 0xffn) + 1;
    const first = (this.fsts >>> 8) & 0xff;
    for (let n = 0; n < count; n++) {
      const at = RECORDS + ((first + n) % count) * 16;
      if (this.read(at + 12) >>> 31 === 0) continue;
      found.push([hex(this.read64(at)), hex(this.read64(at + 8))]);
      this.write(at + 12, 0x8000_0000);
    }
    this.write(FSTS, 1);
    return found;
  }

  /** A translation as the public interface gives it: the frame, or the fault reason as `fault 0x71`. */
  translate(stream: number, pasid: number, page: number, want = 1): number | string {
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    const granted = this.vtd.translate(stream, pasid, page, want, out);
    return granted ? out.frame : `fault 0x${out.reason.toString(16)}`;
  }
}

/** A 64-bit word as in the fact sheet's examples. */
export const hex = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;
