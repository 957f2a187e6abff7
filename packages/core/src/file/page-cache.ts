import { type Coroutine, Mutex } from '@iommukit/kernel';
import type { Core } from '../core.js';
import type { FileContent, FilePage } from './file-content.js';

/** Pages of files in memory. Each has one user for being here; entries that map it add theirs. */
export class PageCache {
  readonly core: Core;
  /**
   * The page lock, one for all pages: which page of a file is where, and whoever moves pages. Taken under an mmap lock,
   * never the other way round.
   */
  readonly lock: Mutex;
  /** Cached pages by frame. */
  readonly byFrame = new Map<number, FilePage>();

  constructor(core: Core) {
    this.core = core;
    this.lock = new Mutex(core.kernel, 'page');
    core.kernel.checkpoints.keepMap(this.byFrame);
  }

  /** A file of `bytes` zeros. */
  create(name: string, bytes: number): FileContent {
    const { checkpoints } = this.core.kernel;
    return checkpoints.keep({
      name,
      bytes,
      stored: new Map(),
      cached: new Map(),
      dirty: new Set<number>(),
      openers: 0,
    });
  }

  /** The frame of a page that is in memory, or -1. */
  peek(content: FileContent, index: number): number {
    return content.cached.get(index) ?? -1;
  }

  /** True where the file has a page. */
  has(content: FileContent, index: number): boolean {
    return index * 4096 < content.bytes;
  }

  /**
   * The frame of a page, read from disk if it is not in memory. The caller holds {@link lock}, and adds its user before it
   * lets go. @throws IommuError ENOMEM
   */
  *read(content: FileContent, index: number): Coroutine<number> {
    const present = this.peek(content, index);
    if (present >= 0) return present;
    this.core.kernel.mightSleep(`for page ${index} of ${content.name}`);
    const frame = this.core.pageFrames.alloc(`file ${content.name} page`);
    const stored = content.stored.get(index);
    if (stored !== undefined) this.core.bus.write(frame * 4096, stored);
    this.add(content, index, frame);
    return frame;
  }

  /** The page was written to, or may have been. */
  markDirty(frame: number): void {
    const page = this.byFrame.get(frame);
    if (page !== undefined) page.content.dirty.add(page.index);
  }

  /** True for a frame that holds a file's page. */
  isCached(frame: number): boolean {
    return this.byFrame.has(frame);
  }

  /** A page leaves memory without being written back: the caller has its user. The caller holds {@link lock}. */
  remove(content: FileContent, index: number): void {
    this.byFrame.delete(content.cached.get(index)!);
    content.cached.delete(index);
    content.dirty.delete(index);
  }

  /** The same page is in another frame now. The caller holds {@link lock}, and moves the user. */
  replace(from: number, to: number): void {
    const page = this.byFrame.get(from);
    if (page === undefined) return;
    this.byFrame.delete(from);
    this.add(page.content, page.index, to);
  }

  /** Writes a page back, if it is dirty. */
  writeBack(content: FileContent, index: number): void {
    if (!content.dirty.delete(index)) return;
    const bytes = new Uint8Array(4096 * this.core.format.pageFrames);
    this.core.bus.read(content.cached.get(index)! * 4096, bytes);
    content.stored.set(index, bytes);
  }

  /** Nobody refers to the file any more: what was written goes to disk, and its memory goes back. */
  *close(content: FileContent): Coroutine<void> {
    const lock = yield* this.lock.acquire();
    if (content.openers === 0) {
      for (const [index, frame] of [...content.cached]) {
        this.writeBack(content, index);
        this.remove(content, index);
        this.core.pageFrames.put(frame);
      }
    }
    lock.release();
  }

  add(content: FileContent, index: number, frame: number): void {
    content.cached.set(index, frame);
    this.byFrame.set(frame, { content, index });
  }
}
