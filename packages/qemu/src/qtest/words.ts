import { QemuError } from '../errors.js';

/** A number as qtest reads it. QEMU aborts at a word that is no number, so none is ever sent. @throws QemuError PROTOCOL */
export function numberWord(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new QemuError('PROTOCOL', `${value} is no number that qtest takes`, {
      remedy: 'give whole numbers from 0 to 2^53 - 1',
    });
  }
  return `0x${value.toString(16)}`;
}

/** A 64-bit value as qtest reads it. */
export function wideWord(lo: number, hi: number): string {
  const low = (lo >>> 0).toString(16);
  return hi === 0 ? `0x${low}` : `0x${(hi >>> 0).toString(16)}${low.padStart(8, '0')}`;
}

/** A name as qtest reads it: an object's path, a list of lines. @throws QemuError PROTOCOL */
export function nameWord(name: string): string {
  if (/^[!-~]+$/.test(name)) return name;
  throw new QemuError('PROTOCOL', `'${name}' is no name that qtest takes`, {
    remedy: 'give printable ASCII without blanks',
  });
}
