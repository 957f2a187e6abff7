import { IommuError } from './errors.js';
import type { FrameMemory } from './frame-space.js';
import type { Frames } from './frames.js';
import type { Kernel } from './kernel.js';
import { type MemoryRegion, PhysicalMemory, type WordMemory } from './memory.js';

/** Bytes of one access. */
export type AccessWidth = 1 | 2 | 4 | 8;

/** What answers in a window of the bus. Offsets count from the window's base; 64-bit values are [lo, hi]. */
export interface MmioTarget {
  /** The widths that it takes (default: all); an access of another one is refused (EINVAL). */
  readonly widths?: readonly AccessWidth[];
  read(offset: number, bytes: AccessWidth, out: Uint32Array): void;
  write(offset: number, bytes: AccessWidth, lo: number, hi: number): void;
}

/** A claimed window. The target tells it when a register changed by itself, so that waiting drivers look again. */
export interface MmioWindow {
  readonly base: number;
  readonly bytes: number;
  changed(offset: number): void;
}

/** What a physical address leads to: MMIO, PCI configuration (ECAM), RAM. Synchronous; drivers never see it. */
export interface Bus extends WordMemory {
  read8(pa: number): number;
  read16(pa: number): number;
  write8(pa: number, value: number): void;
  write16(pa: number, value: number): void;
  readonly frames: Frames;
  /** Gives [base, base + bytes) to `target`. @throws IommuError EBUSY if it overlaps a window or RAM */
  claim(base: number, bytes: number, target: MmioTarget): MmioWindow;
}

/** The bus of a machine, with what is known of its RAM. */
export interface MachineBus extends Bus {
  readonly memory: FrameMemory;
}

interface Claim extends MmioWindow {
  readonly target: MmioTarget;
  readonly widths: readonly AccessWidth[];
}

const ALL_WIDTHS: readonly AccessWidth[] = [8, 4, 2, 1];

/**
 * The bus of an embedded machine. An access that nothing answers reads all ones and is dropped on write, as on PCIe; one
 * that is not aligned to its width is refused (EINVAL): no driver here makes one.
 */
export class PhysicalBus implements MachineBus {
  readonly kernel: Kernel;
  readonly memory: PhysicalMemory;
  readonly claims: Claim[];
  readonly out = new Uint32Array(2);
  readonly frames: Frames;

  constructor(kernel: Kernel, regions: readonly MemoryRegion[]) {
    this.kernel = kernel;
    this.claims = kernel.checkpoints.keepList([]);
    this.memory = new PhysicalMemory(kernel, regions);
    this.frames = this.memory.frames;
  }

  claim(base: number, bytes: number, target: MmioTarget): MmioWindow {
    const other = this.claims.find((claim) => base < claim.base + claim.bytes && claim.base < base + bytes);
    const ram = this.memory.regions.find(
      (r) => base < (r.firstPfn + r.frames) * 4096 && r.firstPfn * 4096 < base + bytes,
    );
    if (other !== undefined || ram !== undefined) {
      const what = other ? `the window at 0x${other.base.toString(16)}` : 'RAM';
      throw new IommuError(
        'EBUSY',
        `the window at 0x${base.toString(16)} (0x${bytes.toString(16)} bytes) overlaps ${what}`,
        {
          remedy: 'give it another place in the platform description',
        },
      );
    }
    const claim = {
      base,
      bytes,
      target,
      widths: ALL_WIDTHS.filter((width) => target.widths?.includes(width) ?? true),
      changed: (offset: number) => this.kernel.touch(Math.floor((base + offset) / 8), true),
    };
    this.claims.push(claim);
    return claim;
  }

  claimOf(pa: number): Claim | null {
    for (let i = 0; i < this.claims.length; i++) {
      const claim = this.claims[i]!;
      if (pa >= claim.base && pa < claim.base + claim.bytes) return claim;
    }
    return null;
  }

  in(pa: number, bytes: AccessWidth): Uint32Array {
    const claim = this.claimOf(pa);
    check(claim, pa, bytes);
    this.out[0] = this.out[1] = 0xffffffff;
    if (claim !== null) claim.target.read(pa - claim.base, bytes, this.out);
    return this.out;
  }

  put(pa: number, bytes: AccessWidth, lo: number, hi: number): void {
    const claim = this.claimOf(pa);
    check(claim, pa, bytes);
    if (claim === null) return;
    claim.target.write(pa - claim.base, bytes, lo >>> 0, hi >>> 0);
    if (this.kernel.watchers.size !== 0) this.kernel.stored(Math.floor(pa / 8));
  }

  read8(pa: number): number {
    if (!this.memory.contains(pa)) return this.in(pa, 1)[0]! & 0xff;
    return (this.memory.load32(pa - (pa & 3)) >>> ((pa & 3) * 8)) & 0xff;
  }

  read16(pa: number): number {
    if (!this.memory.contains(pa)) return this.in(pa, 2)[0]! & 0xffff;
    check(null, pa, 2);
    return (this.memory.load32(pa - (pa & 3)) >>> ((pa & 3) * 8)) & 0xffff;
  }

  write8(pa: number, value: number): void {
    if (this.memory.contains(pa)) this.memory.write(pa, Uint8Array.of(value));
    else this.put(pa, 1, value & 0xff, 0);
  }

  write16(pa: number, value: number): void {
    check(null, pa, 2);
    if (this.memory.contains(pa)) this.memory.write(pa, Uint8Array.of(value, value >>> 8));
    else this.put(pa, 2, value & 0xffff, 0);
  }

  load32(pa: number): number {
    return this.memory.contains(pa) ? this.memory.load32(pa) : this.in(pa, 4)[0]!;
  }

  store32(pa: number, value: number): void {
    if (!this.memory.store32(pa, value)) this.put(pa, 4, value, 0);
  }

  load64(pa: number, out: Uint32Array): void {
    if (this.memory.load64(pa, out)) return;
    const [lo, hi] = this.in(pa, 8);
    out[0] = lo!;
    out[1] = hi!;
  }

  store64(pa: number, lo: number, hi: number): void {
    if (!this.memory.store64(pa, lo, hi)) this.put(pa, 8, lo, hi);
  }

  /** Atomic accesses go to RAM only; elsewhere nothing is swapped. */
  swap64(pa: number, old: Uint32Array, lo: number, hi: number): boolean {
    return this.memory.swap64(pa, old, lo, hi);
  }

  read(pa: number, into: Uint8Array): void {
    this.memory.read(pa, into);
    this.eachRegister(pa, into.length, (at, width) => {
      const [lo, hi] = this.in(pa + at, width);
      for (let i = 0; i < width; i++) into[at + i] = (i < 4 ? lo! : hi!) >>> ((i & 3) * 8);
    });
  }

  /** Bytes that fall into a window arrive as aligned register writes: so a device's posted write can be an MSI. */
  write(pa: number, from: Uint8Array): void {
    this.memory.write(pa, from);
    this.eachRegister(pa, from.length, (at, width) => {
      let [lo, hi] = [0, 0];
      for (let i = 0; i < width; i++) {
        if (i < 4) lo |= from[at + i]! << (i * 8);
        else hi |= from[at + i]! << ((i - 4) * 8);
      }
      this.put(pa + at, width, lo, hi);
    });
  }

  /** The widest aligned accesses that cover what of [pa, pa + bytes) lies in windows. */
  eachRegister(pa: number, bytes: number, access: (at: number, width: AccessWidth) => void): void {
    for (const { base, bytes: size, widths } of this.claims) {
      const end = Math.min(pa + bytes, base + size);
      for (let place = Math.max(pa, base); place < end; ) {
        const width = widths.find((w) => place % w === 0 && place + w <= end) ?? 1;
        access(place - pa, width);
        place += width;
      }
    }
  }
}

function check(claim: Claim | null, pa: number, bytes: AccessWidth): void {
  if (pa % bytes !== 0) {
    throw new IommuError('EINVAL', `a ${bytes}-byte access to 0x${pa.toString(16)} is not aligned`, {
      remedy: 'use accesses aligned to their width',
    });
  }
  if (claim === null || claim.widths.includes(bytes)) return;
  throw new IommuError('EINVAL', `the window at 0x${claim.base.toString(16)} takes no ${bytes}-byte accesses`, {
    remedy: `use accesses of ${claim.widths.join(' or ')} bytes`,
  });
}
