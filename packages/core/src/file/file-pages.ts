import type { Coroutine } from '@iommukit/kernel';
import type { Core } from '../core.js';
import { PERM } from '../faults.js';
import { FAULT_FLAG, FAULT_RESULT } from '../mm/fault-flags.js';
import type { FoundLeaf } from '../mm/leaf-entries.js';
import type { Mm } from '../mm/mm.js';
import { AGAIN } from '../mm/page-faults.js';
import { readOnly } from '../mm/read-only.js';
import { VMA_FLAG, type Vma } from '../mm/vma.js';
import type { FileContent } from './file-content.js';

/** Faults on mappings of regular files (PF-5b). Callers hold the mmap lock for read. */
export class FilePages {
  readonly core: Core;

  constructor(core: Core) {
    this.core = core;
  }

  /**
   * The entry is absent: maps the file's page, or a private copy of it for a write.
   * @returns FAULT_RESULT bits, or AGAIN @throws IommuError ENOMEM
   */
  *fault(mm: Mm, vma: Vma, page: number, at: number, flags: number): Coroutine<number> {
    const { pageCache } = this.core;
    const content = vma.file!.content!;
    const index = this.indexOf(vma, page);
    const lock = yield* pageCache.lock.acquire();
    try {
      // Under the page lock: who truncates takes pages out of the cache before it looks for entries.
      if (!pageCache.has(content, index)) return FAULT_RESULT.SIGBUS;
      const major = pageCache.peek(content, index) < 0;
      const frame = yield* pageCache.read(content, index);
      if (!(yield* this.map(mm, vma, at, frame, flags))) return AGAIN;
      this.core.leaves.changed(mm, page);
      return major ? FAULT_RESULT.MAJOR : 0;
    } finally {
      lock.release();
    }
  }

  /**
   * A write to a shared page that is mapped read-only: the file learns that it is dirty, then the entry changes.
   * @returns FAULT_RESULT bits, or AGAIN
   */
  *makeWritable(mm: Mm, vma: Vma, found: FoundLeaf): Coroutine<number> {
    const { copyOnWrite, pageCache } = this.core;
    const content = vma.file!.content!;
    const lock = yield* pageCache.lock.acquire();
    try {
      if (pageCache.peek(content, this.indexOf(vma, found.page)) !== found.frame) return AGAIN;
      pageCache.markDirty(found.frame);
      return yield* copyOnWrite.upgrade(mm, found, vma.perm);
    } finally {
      lock.release();
    }
  }

  /** The file's page that `page` of a mapping shows. */
  indexOf(vma: Vma, page: number): number {
    return vma.offset + page - vma.first;
  }

  *map(mm: Mm, vma: Vma, at: number, frame: number, flags: number): Coroutine<boolean> {
    const write = (flags & FAULT_FLAG.WRITE) !== 0;
    const shared = (vma.flags & VMA_FLAG.SHARED) !== 0;
    return write && !shared
      ? yield* this.mapCopy(mm, vma, at, frame)
      : yield* this.mapCached(mm, vma, at, frame, write && shared);
  }

  *mapCopy(mm: Mm, vma: Vma, at: number, frame: number): Coroutine<boolean> {
    const { pageFrames, pageTables } = this.core;
    const own = pageFrames.alloc(mm.pageOwner);
    pageFrames.copy(frame, own);
    if (yield* pageTables.setLeaf(mm, at, own, vma.perm, false)) return true;
    pageFrames.put(own);
    return false;
  }

  /** Clean pages are mapped so that the first write is noticed: by a fault, or by hardware that marks entries dirty. */
  *mapCached(mm: Mm, vma: Vma, at: number, frame: number, dirty: boolean): Coroutine<boolean> {
    const { leaves, pageCache, pageFrames, pageTables } = this.core;
    const marks = leaves.markedByHardware && (vma.flags & VMA_FLAG.SHARED) !== 0;
    if (dirty) pageCache.markDirty(frame);
    pageFrames.get(frame);
    const set = dirty
      ? yield* pageTables.setLeaf(mm, at, frame, vma.perm, false)
      : marks && (vma.perm & PERM.WRITE) !== 0
        ? yield* pageTables.setLeaf(mm, at, frame, vma.perm, false, { dirty: false })
        : yield* pageTables.setLeaf(mm, at, frame, readOnly(vma.perm), false);
    if (!set) pageFrames.put(frame);
    return set;
  }

  /** Which pages of which mappings show pages [first, end) of a file now: one look at every address space. */
  mappingsOf(content: FileContent, first: number, end: number): { readonly mm: Mm; readonly vma: Vma }[] {
    const found: { readonly mm: Mm; readonly vma: Vma }[] = [];
    for (const mm of this.core.mms.live) {
      for (const vma of mm.vmas) {
        if (vma.file?.content !== content) continue;
        const last = vma.offset + vma.end - vma.first;
        if (vma.offset < end && first < last) found.push({ mm, vma });
      }
    }
    return found;
  }
}
