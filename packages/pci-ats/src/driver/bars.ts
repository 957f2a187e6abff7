import type { Coroutine, Mmio } from '@iommukit/kernel';
import { BAR0, COMMAND } from '../config/header.js';

/** Bits of Command. */
const MEMORY_SPACE = 2;
const BUS_MASTER = 4;

/** Vendor and device id of the function at this configuration space, or null if there is none. */
export function* functionIds(config: Mmio): Coroutine<{ vendorId: number; deviceId: number } | null> {
  const word = yield* config.read32(0);
  return word === 0xffffffff ? null : { vendorId: word & 0xffff, deviceId: word >>> 16 };
}

/** Bytes that the 64-bit memory base address register `index` (0, 2, 4) decodes; 0 if there is none. Leaves it as it was. */
export function* barSize(config: Mmio, index: number): Coroutine<number> {
  const at = BAR0 + index * 4;
  const old = yield* config.read32(at);
  yield* config.write32(at, 0xffffffff);
  const mask = ((yield* config.read32(at)) & ~15) >>> 0;
  yield* config.write32(at, old);
  return mask === 0 ? 0 : 2 ** 32 - mask;
}

/** Points the 64-bit memory base address register `index` at `base`, as firmware does, and lets the function answer there. */
export function* assignBar(config: Mmio, index: number, base: number): Coroutine<void> {
  const at = BAR0 + index * 4;
  yield* config.write32(at, base % 2 ** 32);
  yield* config.write32(at + 4, Math.floor(base / 2 ** 32));
  yield* config.write16(COMMAND, (yield* config.read16(COMMAND)) | MEMORY_SPACE);
}

/** Lets the function send requests of its own, or forbids it. */
export function* setBusMaster(config: Mmio, on: boolean): Coroutine<void> {
  const command = yield* config.read16(COMMAND);
  yield* config.write16(COMMAND, on ? command | BUS_MASTER : command & ~BUS_MASTER);
}
