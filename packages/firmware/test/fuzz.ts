import { isFirmwareError } from '../src/index.js';
import { sealed } from './acpi-writer.js';
import { mutate, random } from './mutate.js';

/** Reads `count` damaged copies of an ACPI table; throws when one of them raises anything but a FirmwareError with a place. */
export function fuzz(original: Uint8Array, seed: number, count: number, read: (bytes: Uint8Array) => unknown) {
  const pick = random(seed);
  const used = original.length & ~3;
  const seen = { accepted: 0, rejected: 0, codes: new Set<string>() };
  for (let i = 0; i < count; i++) {
    const left = mutate(original.slice(), used, pick);
    // Most damaged tables get a right checksum, so that more than the checksum is tried.
    if (left.length >= 36 && pick(8) !== 0) sealed(left);
    try {
      read(left);
      seen.accepted++;
    } catch (error) {
      if (!isFirmwareError(error)) throw new Error(`mutation ${i} of seed ${seed}: ${error}`, { cause: error });
      if (error.where === '' || error.remedy === '' || (error.offset ?? 0) > 2 * original.length + 0x10000) {
        throw new Error(`mutation ${i} of seed ${seed}: no place in ${error.message}`);
      }
      seen.rejected++;
      seen.codes.add(error.code);
    }
  }
  return seen;
}
