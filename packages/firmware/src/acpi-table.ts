import { FirmwareError, type FirmwareErrorCode } from './firmware-error.js';

const HEADER_BYTES = 36;

/** What every ACPI table begins with. */
export interface AcpiHeader {
  /** Four letters: `IORT`. */
  readonly signature: string;
  /** Bytes of the whole table. */
  readonly length: number;
  readonly revision: number;
  /** Who made it: OEM id and table id, `BOCHS BXPC`. */
  readonly maker: string;
}

/** The four letters that a file begins with if it is an ACPI table; null if they are no letters or digits. */
export function acpiSignature(bytes: Uint8Array): string | null {
  const text = String.fromCharCode(...bytes.subarray(0, 4));
  return /^[A-Z][A-Z0-9]{3}$/.test(text) ? text : null;
}

/**
 * One ACPI table: its header, checked, and its little-endian fields by byte offset. A field outside of the table is
 * refused (ETRUNCATED), as is a 64-bit number above 2^53 (ERANGE).
 */
export class AcpiTable {
  readonly header: AcpiHeader;
  readonly view: DataView;

  /** @throws FirmwareError EBADMAGIC, ETRUNCATED, EBADHEADER, ECHECKSUM */
  constructor(
    readonly bytes: Uint8Array,
    readonly signature: string,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.header = this.readHeader();
  }

  /** What is wrong with the table, at a byte of it. */
  error(code: FirmwareErrorCode, where: string, offset: number | null, problem: string, remedy: string): FirmwareError {
    return new FirmwareError(code, `${this.signature} ${where}`, offset, problem, remedy);
  }

  u8(at: number, where: string): number {
    return this.view.getUint8(this.inside(at, 1, where));
  }

  u16(at: number, where: string): number {
    return this.view.getUint16(this.inside(at, 2, where), true);
  }

  u32(at: number, where: string): number {
    return this.view.getUint32(this.inside(at, 4, where), true);
  }

  u64(at: number, where: string): number {
    const value = this.u32(at, where) + this.u32(at + 4, where) * 2 ** 32;
    if (value <= Number.MAX_SAFE_INTEGER) return value;
    throw this.error('ERANGE', where, at, `0x${value.toString(16)} is too large`, 'addresses go up to 2^53 here');
  }

  /** The printable text in [at, end), up to its first NUL. @throws FirmwareError EBADNAME */
  text(at: number, end: number, where: string): string {
    let text = '';
    for (let i = at; i < end && this.u8(i, where) !== 0; i++) text += String.fromCharCode(this.u8(i, where));
    if (/^[\x20-\x7e]+$/.test(text)) return text.trim();
    throw this.error('EBADNAME', where, at, 'the name is empty or not printable', 'give it a name in ASCII');
  }

  /** The offset of `bytes` bytes that lie inside of the table. */
  inside(at: number, bytes: number, where: string): number {
    if (at + bytes <= this.header.length) return at;
    const remedy = 'correct its offset or its length';
    throw this.error('ETRUNCATED', where, at, `the table ends at 0x${this.header.length.toString(16)}`, remedy);
  }

  readHeader(): AcpiHeader {
    const { bytes, signature, view } = this;
    if (acpiSignature(bytes) !== signature) {
      const found = acpiSignature(bytes);
      const problem = found === null ? 'the file is no ACPI table' : `the file is an ACPI ${found} table`;
      throw this.error('EBADMAGIC', 'signature', 0, problem, `give the raw ${signature} table`);
    }
    if (bytes.length < HEADER_BYTES) {
      const problem = `the file has ${bytes.length} bytes, a header 36`;
      throw this.error('ETRUNCATED', 'header', 0, problem, 'give the whole table');
    }
    const length = view.getUint32(4, true);
    if (length < HEADER_BYTES) {
      throw this.error(
        'EBADHEADER',
        'length',
        4,
        `0x${length.toString(16)} bytes hold no header`,
        'correct the length',
      );
    }
    if (length > bytes.length) {
      const problem = `the file has ${bytes.length} bytes, the table ${length}`;
      throw this.error('ETRUNCATED', 'length', 4, problem, 'give the whole table');
    }
    const sum = bytes.subarray(0, length).reduce((total, byte) => (total + byte) & 0xff, 0);
    if (sum !== 0) {
      const remedy = 'the table is damaged: dump it again';
      throw this.error('ECHECKSUM', 'checksum', 9, `the bytes add up to 0x${sum.toString(16)}, not to 0`, remedy);
    }
    return { signature, length, revision: bytes[8], maker: this.maker() };
  }

  maker(): string {
    const letters = String.fromCharCode(...this.bytes.subarray(10, 24));
    const [oem, table] = [letters.slice(0, 6), letters.slice(6)].map((id) => id.replace(/[^\x20-\x7e]/g, '').trim());
    return `${oem} ${table}`.trim();
  }
}
