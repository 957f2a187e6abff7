import { IommuError, type WordMemory } from '@iommukit/kernel';
import type { MemoryFile } from './process/memory-file.js';
import type { QtestClient } from './qtest/client.js';

/**
 * QEMU's physical address space: RAM through its file, everything else through qtest. An access that nothing answers is what
 * QEMU makes of it (reads are 0 or all ones by machine). Accesses are aligned to their width.
 */
export class QemuBus implements WordMemory {
  readonly client: QtestClient;
  readonly file: MemoryFile;
  readonly word = new Uint32Array(2);

  constructor(client: QtestClient, file: MemoryFile) {
    this.client = client;
    this.file = file;
  }

  isRam(pa: number, bytes: number): boolean {
    if (pa % bytes !== 0) misaligned(pa, bytes);
    return this.file.offsetOf(pa, bytes) >= 0;
  }

  read8(pa: number): number {
    return this.narrow(pa, 1);
  }

  read16(pa: number): number {
    return this.narrow(pa, 2);
  }

  narrow(pa: number, bytes: 1 | 2): number {
    if (!this.isRam(pa, bytes)) return this.client.read(pa, bytes);
    const word = this.file.load32(pa - (pa & 3)) >>> ((pa & 3) * 8);
    return bytes === 1 ? word & 0xff : word & 0xffff;
  }

  write8(pa: number, value: number): void {
    if (this.isRam(pa, 1)) this.file.write(pa, Uint8Array.of(value));
    else this.client.write(pa, 1, value);
  }

  write16(pa: number, value: number): void {
    if (this.isRam(pa, 2)) this.file.write(pa, Uint8Array.of(value, value >>> 8));
    else this.client.write(pa, 2, value);
  }

  load32(pa: number): number {
    return this.isRam(pa, 4) ? this.file.load32(pa) : this.client.read(pa, 4);
  }

  store32(pa: number, value: number): void {
    if (this.isRam(pa, 4)) this.file.store32(pa, value);
    else this.client.write(pa, 4, value);
  }

  load64(pa: number, out: Uint32Array): void {
    if (this.isRam(pa, 8)) this.file.load64(pa, out);
    else this.client.read64(pa, out);
  }

  store64(pa: number, lo: number, hi: number): void {
    if (this.isRam(pa, 8)) this.file.store64(pa, lo, hi);
    else this.client.write(pa, 8, lo, hi);
  }

  /** In RAM only. Nothing of QEMU runs between two commands, so the load and the store are one step. */
  swap64(pa: number, old: Uint32Array, lo: number, hi: number): boolean {
    if (!this.isRam(pa, 8)) return false;
    this.file.load64(pa, this.word);
    if (this.word[0] !== old[0] || this.word[1] !== old[1]) return false;
    this.file.store64(pa, lo, hi);
    return true;
  }

  read(pa: number, into: Uint8Array): void {
    if (this.file.offsetOf(pa, into.length) >= 0) this.file.read(pa, into);
    else if (into.length > 0) this.client.readBytes(pa, into);
  }

  write(pa: number, from: Uint8Array): void {
    if (this.file.offsetOf(pa, from.length) >= 0) this.file.write(pa, from);
    else if (from.length > 0) this.client.writeBytes(pa, from);
  }
}

function misaligned(pa: number, bytes: number): never {
  throw new IommuError('EINVAL', `a ${bytes}-byte access to 0x${pa.toString(16)} is not aligned`, {
    remedy: 'use accesses aligned to their width',
  });
}
