import { QemuError } from '../errors.js';
import { numberWord, wideWord } from './words.js';

const WIDTHS = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' } as const;

/** The width of an access in bytes. */
export type QtestWidth = keyof typeof WIDTHS;

/** The command that reads. */
export function readCommand(address: number, bytes: QtestWidth): string {
  return `read${WIDTHS[bytes]} ${numberWord(address)}`;
}

/** The command that writes. */
export function writeCommand(address: number, bytes: QtestWidth, lo: number, hi: number): string {
  const mask = bytes >= 4 ? 0xffffffff : 2 ** (bytes * 8) - 1;
  return `write${WIDTHS[bytes]} ${numberWord(address)} ${wideWord((lo & mask) >>> 0, bytes === 8 ? hi : 0)}`;
}

/** The low half of an answered value. */
export function low(value: string, command: string): number {
  if (!/^0x[0-9a-f]{1,16}$/.test(value)) {
    throw new QemuError('PROTOCOL', `QEMU answers 'OK ${value.slice(0, 80)}' to '${command}': that is no value`);
  }
  return Number(`0x${value.slice(Math.max(2, value.length - 8))}`);
}

/** The high half of an answered value. */
export function high(value: string): number {
  return value.length > 10 ? Number(value.slice(0, -8)) : 0;
}
