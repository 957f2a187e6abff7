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
import { SmmuV3, type SmmuV3Parts, smmuV3Parts } from '../src/index.js';

/** Where the rig's SMMU has its registers. */
export const BASE = 0x905_0000;
const RAM = 0x4000_0000;
const HOLE = 2 ** 40;

/** A link that keeps what is sent down. */
export class TestLink implements Link {
  readonly stream: number;
  readonly kernel: Kernel;
  readonly sent: Downstream[] = [];
  /** A platform device, whose transactions may be held back. */
  readonly stalls: boolean;

  constructor(kernel: Kernel, stream: number, stalls = false) {
    this.kernel = kernel;
    this.stream = stream;
    this.stalls = stalls;
  }

  up(): never {
    throw new Error('nothing is sent up here: call SmmuV3.receive');
  }

  down(tlp: Downstream) {
    this.sent.push(tlp);
    return this.kernel.point(this.kernel.footprint(), true);
  }

  remove(): void {}
}

/**
 * An SMMU on a bare kernel, driven by literal words from the fact sheet: a linear stream table of 256 entries, queues of 8 commands,
 * 8 events and 4 page requests, and tables made here.
 */
export class Rig {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: RAM, bytes: 256 * 2 ** 20 }]);
  readonly smmu: SmmuV3;
  readonly interrupts: string[] = [];
  readonly strtab = this.frames(2);
  readonly cmdq = this.frames(0);
  readonly eventq = this.frames(0);
  readonly priq = this.frames(0);
  prod = 0;
  /** True: time stands still, a run ends when nothing is runnable. */
  frozen = false;
  static readonly abortAddress = HOLE;

  constructor(capabilities: Record<string, Setting> = {}, settings: Settings = {}, parts: Partial<SmmuV3Parts> = {}) {
    this.kernel.onIdle(() => {
      if (this.frozen) this.kernel.end({ end: 'finished' });
      return this.frozen;
    });
    const lines = new Map<string, ThreadedInterrupt>();
    const place = {
      kernel: this.kernel,
      bus: this.bus,
      name: 'smmuv3@9050000',
      base: BASE,
      bytes: 0x20000,
      capabilities,
      irq: (name: string) => {
        let line = lines.get(name);
        if (line === undefined) {
          line = new ThreadedInterrupt(this.kernel, name);
          const { interrupts } = this;
          line.handle(function* () {
            interrupts.push(name);
          });
          lines.set(name, line);
        }
        return line;
      },
    };
    this.smmu = new SmmuV3(place, settings, { ...smmuV3Parts, ...parts });
  }

  /** 2^order frames; their address. */
  frames(order: number): number {
    return this.bus.frames.alloc('test', order) * 4096;
  }

  read(offset: number): number {
    return this.bus.load32(BASE + offset);
  }

  write(offset: number, value: number): void {
    this.bus.store32(BASE + offset, value >>> 0);
  }

  write64(offset: number, value: bigint): void {
    this.bus.store64(BASE + offset, Number(value & 0xffffffffn), Number(value >> 32n));
  }

  /** Stores a 64-bit word in memory. */
  store(pa: number, value: bigint): void {
    this.bus.store64(pa, Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
  }

  load(pa: number): bigint {
    const out = new Uint32Array(2);
    this.bus.load64(pa, out);
    return (BigInt(out[1]) << 32n) | BigInt(out[0]);
  }

  /** Programs queues and the stream table (SMMU-29), and enables everything. ATSCHK is bit 4. */
  enable(cr0 = 0x1f): this {
    this.write(0x2c, 0x2); // CR2.RECINVSID
    this.write64(0x80, BigInt(this.strtab));
    this.write(0x88, 8);
    this.write64(0x90, BigInt(this.cmdq) | 3n);
    this.write64(0xa0, BigInt(this.eventq) | 3n);
    this.write64(0xc0, BigInt(this.priq) | 2n);
    this.write(0x50, 0x7);
    this.write(0x20, cr0);
    return this;
  }

  /** Writes an STE: dw0, dw1 and dw2. */
  ste(sid: number, dw0: bigint, dw1 = 0n, dw2 = 0n): void {
    this.store(this.strtab + sid * 64, dw0);
    this.store(this.strtab + sid * 64 + 8, dw1);
    this.store(this.strtab + sid * 64 + 16, dw2);
  }

  /** A linear CD table of 2^bits CDs. */
  cdTable(sid: number, bits: number, dw1 = 0x1000_0000n): number {
    const table = this.frames(Math.max(0, bits - 6));
    this.ste(sid, (BigInt(bits) << 59n) | BigInt(table) | 0xbn, dw1);
    return table;
  }

  /** CD dw0 as an SVA driver writes it: 48 bits, 4K, WB, inner shareable, EPD1, V, IPS 48 bits, AA64, R, A, ASET. */
  static cd0(asid: number, or = 0n, without = 0n): bigint {
    return (((BigInt(asid) << 48n) | 0xe205_c000_3510n) & ~without) | or;
  }

  /** Writes a CD and returns the root of its page tables. */
  cd(table: number, ssid: number, dw0: bigint, ttb0 = this.frames(0)): number {
    this.store(table + ssid * 64 + 8, BigInt(ttb0));
    this.store(table + ssid * 64, dw0);
    return ttb0;
  }

  /** Maps a page (address / 4096) to a frame by a 4-level table; `attributes` default to AF, user, nG, read-write. */
  map(root: number, page: number, frame: number, attributes = 0xc43n, leaf = 3): void {
    let table = root;
    for (let level = 0; level < leaf; level++) {
      const slot = table + (Math.floor(page / 512 ** (3 - level)) % 512) * 8;
      let entry = this.load(slot);
      if ((entry & 1n) === 0n) {
        entry = BigInt(this.frames(0)) | 3n;
        this.store(slot, entry);
      }
      table = Number(entry & 0xffff_ffff_f000n);
    }
    this.store(table + (Math.floor(page / 512 ** (3 - leaf)) % 512) * 8, (BigInt(frame) << 12n) | attributes);
  }

  /** Runs until nothing happens any more. */
  settle(): Outcome {
    this.kernel.begin(new FairChooser());
    return this.kernel.run();
  }

  /** Queues commands (dw0, dw1 pairs) and runs. */
  command(...words: bigint[]): void {
    this.post(...words);
    this.settle();
  }

  /** Queues commands without running. */
  post(...words: bigint[]): void {
    for (let i = 0; i < words.length; i += 2) {
      const slot = this.cmdq + (this.prod & 7) * 16;
      this.store(slot, words[i]);
      this.store(slot + 8, words[i + 1] ?? 0n);
      this.prod = (this.prod + 1) & 15;
    }
    this.write(0x98, this.prod);
  }

  /** CMDQ_CONS.RD. */
  get cons(): number {
    return this.read(0x9c) & 0xfffff;
  }

  /** CMDQ_CONS.ERR. */
  get error(): number {
    return this.read(0x9c) >>> 24;
  }

  /** The events that were written since the last call; acknowledges them. */
  events(): string[][] {
    const found: string[][] = [];
    const prod = this.read(0x100a8);
    let cons = this.read(0x100ac) & 15;
    for (; cons !== (prod & 15); cons = (cons + 1) & 15) {
      const at = this.eventq + (cons & 7) * 32;
      found.push([0, 8, 16, 24].map((offset) => hex(this.load(at + offset))));
    }
    this.write(0x100ac, ((prod & 0x80000000) | cons) >>> 0);
    return found;
  }

  link(stream: number, stalls = false): TestLink {
    const link = new TestLink(this.kernel, stream, stalls);
    this.smmu.connect(link);
    return link;
  }

  /** Delivers messages of a device, in order, and runs. */
  deliver(link: Link, ...tlps: Upstream[]): void {
    const { smmu } = this;
    this.kernel.spawn('lane', function* () {
      for (const tlp of tlps) yield* smmu.receive(link, tlp);
    });
    const outcome = this.settle();
    if (outcome.end !== 'finished') throw new Error(`the run ended with ${outcome.end}`);
  }

  /** A translation as the public interface gives it: the frame, or the event number as `event 0x10`. */
  translate(stream: number, ssid: number, page: number, want = 1): number | string {
    const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
    const granted = this.smmu.translate(stream, ssid, page, want, out);
    return granted ? out.frame : `event 0x${out.reason.toString(16)}`;
  }
}

/** A 64-bit word as in the fact sheet's examples. */
export const hex = (value: bigint): string => `0x${value.toString(16).padStart(16, '0')}`;
