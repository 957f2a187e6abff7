import { env } from 'node:process';
import { describe, it } from 'vitest';
import {
  edu,
  findQemu,
  isQemuError,
  QEMU_MACHINES,
  type Qemu,
  type QemuMachineKind,
  startQemu,
  testdev,
} from '../src/index.js';

/** Why a kind of machine cannot be had here, or null. */
export function absence(kind: QemuMachineKind): string | null {
  try {
    findQemu(QEMU_MACHINES[kind].arch);
    return null;
  } catch (error) {
    if (isQemuError(error)) return error.message.split('\n')[0]!;
    throw error;
  }
}

/**
 * Declares tests on a machine that are skipped, with the reason, where QEMU is missing. Where CI is `true` they fail
 * instead.
 */
export function describeOn(kind: QemuMachineKind, body: () => void): void {
  const why = absence(kind);
  if (why === null) describe(`${kind} on QEMU`, body);
  else if (env['CI'] === 'true') it(`${kind} on QEMU`, () => Promise.reject(new Error(why)));
  else it.skip(`${kind} on QEMU: ${why}`, () => {});
}

/** Runs `body` on a fresh machine, which is gone afterwards. */
export function withQemu<T>(kind: QemuMachineKind, body: (qemu: Qemu) => T): T {
  const qemu = startQemu(findQemu(QEMU_MACHINES[kind].arch), kind);
  try {
    return body(qemu);
  } finally {
    qemu.stop();
  }
}

/** The requester ids of the devices that can make requests; older versions have no testdev. */
export function requesters(qemu: Qemu): number[] {
  return qemu.functions.filter(({ bars }) => bars.some((bar) => bar !== null)).map(({ rid }) => rid);
}

const has = (qemu: Qemu, deviceId: number) => qemu.functions.some((found) => found.deviceId === deviceId);

/**
 * Has each device write to `iova`, edu zeros and testdev its pattern, and looks whether the word at `pa` changed. Both must
 * have fared alike.
 */
export function writes(qemu: Qemu, iova: bigint, pa: number): boolean {
  const answers = [() => edu(qemu).store(iova, 4), () => testdev(qemu).write(iova)]
    .slice(0, has(qemu, 0x0005) ? 2 : 1)
    .map((write) => {
      qemu.memory.store32(pa, 0x5a5a_5a5a);
      const outcome = write();
      const changed = qemu.memory.load32(pa) !== 0x5a5a_5a5a;
      if (typeof outcome === 'string' && (outcome === 'refused') === changed)
        throw new Error(`testdev says ${outcome}`);
      return changed;
    });
  if (answers.some((answer) => answer !== answers[0])) throw new Error('the devices fare differently');
  return answers[0]!;
}
