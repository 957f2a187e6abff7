import { type Coroutine, IommuError, PREEMPT } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { PERM } from '../faults.js';
import { ENTRY } from '../mm/address-space-format.js';
import { FAULT_ERROR, FAULT_FLAG } from '../mm/fault-flags.js';
import type { Mm } from '../mm/mm.js';

/**
 * Moves bytes of one page: `pa` of the first, how far the access has come, how many, and whether they are registers.
 */
type Move = (pa: number, from: number, bytes: number, device: boolean) => void;

/**
 * The CPU of a process: every load and store goes by the CPU's TLB or walks the mm's tables in memory, and faults as a CPU
 * does. A piece of an access that lies in one page is one step. The caller holds mm_users.
 */
export class Cpu {
  readonly core: Core;
  readonly word = new Uint32Array(2);
  /** The last translation: valid until the next preemption point. `entry` is where it was walked, 0 for a TLB's line. */
  readonly hit = { frame: 0, device: false, perm: 0, clean: false, entry: 0 };

  constructor(core: Core) {
    this.core = core;
  }

  /** Stores bytes. @throws IommuError EFAULT where a process would get SIGSEGV or SIGBUS */
  *store(mm: Mm, va: bigint, bytes: Uint8Array): Coroutine<void> {
    yield* this.access(mm, va, bytes.length, true, (pa, from, count, device) => {
      this.write(pa, bytes.subarray(from, from + count), device);
    });
  }

  /** Loads bytes. @throws IommuError EFAULT where a process would get SIGSEGV or SIGBUS */
  *load(mm: Mm, va: bigint, into: Uint8Array): Coroutine<void> {
    yield* this.access(mm, va, into.length, false, (pa, from, count, device) => {
      this.read(pa, into.subarray(from, from + count), device);
    });
  }

  /** Stores `byteAt(0)`, `byteAt(1)` … into `length` bytes. @throws IommuError EFAULT as {@link store} */
  *fill(mm: Mm, va: bigint, length: number, byteAt: (i: number) => number): Coroutine<void> {
    const page = new Uint8Array(4096);
    yield* this.access(mm, va, length, true, (pa, from, count, device) => {
      for (let i = 0; i < count; i++) page[i] = byteAt(from + i);
      this.write(pa, page.subarray(0, count), device);
    });
  }

  *access(mm: Mm, va: bigint, length: number, write: boolean, move: Move): Coroutine<void> {
    let page = Number(va >> 12n);
    let offset = Number(va & 0xfffn);
    for (let from = 0; from < length; ) {
      const bytes = Math.min(4096 - offset, length - from);
      yield* this.reach(mm, page, offset, write);
      const pa = this.hit.frame * 4096 + offset;
      move(pa, from, bytes, this.hit.device);
      this.touch(pa, bytes, write);
      from += bytes;
      offset = 0;
      page++;
    }
  }

  /** Translates, and takes the preemption point of the access: the caller makes it at once. */
  *reach(mm: Mm, page: number, offset: number, write: boolean): Coroutine<void> {
    for (;;) {
      if (this.translate(mm, page, write)) {
        const what = Math.floor((this.hit.frame * 4096 + offset) / 8);
        if (!this.core.kernel.at(what, write)) return;
        yield PREEMPT;
        // Others ran: what the tables say now counts.
        if (this.translate(mm, page, write)) return;
      }
      yield* this.fault(mm, page, write);
    }
  }

  /** Translates into {@link hit}, by the TLB or by a walk. False: the CPU faults. */
  translate(mm: Mm, page: number, write: boolean): boolean {
    const { asids, tlb } = this.core;
    const cpu = this.here();
    const asid = asids.enter(cpu, mm);
    const line = tlb.find(cpu, asid, page);
    if (line >= 0 && !tlb.asksAgain(line, write)) {
      this.hit.frame = tlb.frame[line]!;
      this.hit.device = tlb.isDevice(line);
      this.hit.entry = 0;
      tlb.touch(cpu, false);
      return this.allows(tlb.permOf(line), write);
    }
    if (!this.walk(mm, page, write)) return false;
    const { frame, device, perm, clean } = this.hit;
    tlb.fill(cpu, asid, page, frame, perm, device, clean);
    return this.allows(perm, write);
  }

  /** One walk of the tables, into {@link hit}. False: nothing that may be cached is there (smmuv3.md 3.4). */
  walk(mm: Mm, page: number, write: boolean): boolean {
    const { format, pageTables } = this.core;
    const look = pageTables.find(mm, page);
    const { kind, entry, at } = look;
    if (kind !== ENTRY.LEAF || !this.markUsed(entry, at, write)) return false;
    this.hit.frame = pageTables.frameAt(look, page);
    this.hit.device = format.isDevice(entry);
    this.hit.perm = format.permOf(entry);
    this.hit.clean = format.isWritableClean(entry);
    this.hit.entry = at;
    return true;
  }

  /** What the CPU does to an entry that it uses (smmuv3.md 3.5), in one atomic step. False: it has no Access flag. */
  markUsed(entry: Uint32Array, at: number, write: boolean): boolean {
    const { bus, kernel, format, cpuFeatures } = this.core;
    if (cpuFeatures.httu === 'none') return format.isAccessed(entry);
    if (format.markUsed(entry, write && cpuFeatures.httu === 'dirty')) {
      bus.store64(at, entry[0]!, entry[1]!);
      kernel.touch(Math.floor(at / 8), true);
    }
    return true;
  }

  allows(perm: number, write: boolean): boolean {
    return (perm & (write ? PERM.WRITE : PERM.READ)) !== 0;
  }

  /** The CPU that the task runs on; kernel threads run on the first. */
  here(): number {
    return this.core.processes.current()?.cpu ?? 0;
  }

  /** The CPU's page fault: find the mapping, check its rights, make the page present. */
  *fault(mm: Mm, page: number, write: boolean): Coroutine<void> {
    const lock = yield* mm.mmapLock.read();
    const vma = this.core.mms.findVma(mm, page);
    if (vma === null) {
      lock.release();
      return yield* this.growStack(mm, page, write);
    }
    try {
      if ((vma.perm & (write ? PERM.WRITE : PERM.READ)) === 0) throw segv(mm, page, write, false);
      const [lo, hi] = this.core.pageTables.find(mm, page).entry;
      const flags = FAULT_FLAG.USER | (write ? FAULT_FLAG.WRITE : 0);
      const result = yield* this.core.pageFaults.handleMmFault(mm, vma, page, flags);
      if ((result & FAULT_ERROR) !== 0) {
        throw new IommuError(
          'EFAULT',
          `page 0x${page.toString(16)} of ${mm.space} cannot be made present (0x${result.toString(16)})`,
        );
      }
      const { entry } = this.core.pageTables.find(mm, page);
      if (entry[0] === lo && entry[1] === hi) yield* this.spuriousFault(mm, page);
    } finally {
      lock.release();
    }
  }

  /** VMA-3: a CPU's fault may extend a stack in every generation; the access then faults again. */
  *growStack(mm: Mm, page: number, write: boolean): Coroutine<void> {
    if (!(yield* this.core.stacks.grow(mm, page))) throw segv(mm, page, write, true);
  }

  /** Nothing had to change: another CPU gave the right, and this one's TLB has not heard of it (PF-5e, MN-14). */
  spuriousFault(mm: Mm, page: number): Coroutine<void> {
    return this.core.tlb.flushLocalPage(mm, page);
  }

  read(pa: number, into: Uint8Array, device: boolean): void {
    const { bus } = this.core;
    if (!device) return bus.read(pa, into);
    requireWords(pa, into.length);
    for (let i = 0; i < into.length; i += 4) {
      const value = bus.load32(pa + i);
      for (let b = 0; b < 4; b++) into[i + b] = value >>> (8 * b);
    }
  }

  write(pa: number, bytes: Uint8Array, device: boolean): void {
    const { bus } = this.core;
    if (!device) return bus.write(pa, bytes);
    requireWords(pa, bytes.length);
    for (let i = 0; i < bytes.length; i += 4) {
      bus.store32(pa + i, bytes[i]! + bytes[i + 1]! * 2 ** 8 + bytes[i + 2]! * 2 ** 16 + bytes[i + 3]! * 2 ** 24);
    }
  }

  /** The entry that translated the piece, and its further words: for exploration only. */
  touch(pa: number, bytes: number, write: boolean): void {
    const { kernel } = this.core;
    if (kernel.listener === null) return;
    if (this.hit.entry !== 0) kernel.touch(Math.floor(this.hit.entry / 8), false);
    for (let word = Math.floor(pa / 8) + 1; word * 8 < pa + bytes; word++) kernel.touch(word, write);
  }
}

function segv(mm: Mm, page: number, write: boolean, unmapped: boolean): IommuError {
  const why = unmapped ? 'nothing is mapped there' : 'the mapping does not allow it';
  return new IommuError(
    'EFAULT',
    `a ${write ? 'store' : 'load'} at page 0x${page.toString(16)} of ${mm.space}: ${why}`,
    {
      remedy: 'map the page with that right first',
    },
  );
}

function requireWords(pa: number, bytes: number): void {
  if (pa % 4 === 0 && bytes % 4 === 0) return;
  throw new IommuError(
    'EFAULT',
    `registers at 0x${pa.toString(16)} are accessed in aligned 32-bit words, not ${bytes} bytes`,
  );
}
