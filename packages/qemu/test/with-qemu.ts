import { env } from 'node:process';
import { describe, it } from 'vitest';
import { findQemu, isQemuError, QEMU_MACHINES, type Qemu, type QemuMachineKind, startQemu } from '../src/index.js';

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
