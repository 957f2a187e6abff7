import { QemuError } from '../errors.js';
import type { PciBar } from '../machines/pci.js';
import type { Qemu } from '../qemu-machine.js';

/** What {@link deviceRegisters} found. */
export interface FoundDevice {
  readonly rid: number;
  readonly registers: PciBar;
}

/**
 * The registers of the device of this identity, at the requester id `rid` if it is given.
 * @throws QemuError ABSENT
 */
export function deviceRegisters(
  qemu: Qemu,
  model: string,
  id: { readonly vendorId: number; readonly deviceId: number },
  rid?: number,
): FoundDevice {
  const found = qemu.functions.find(
    ({ vendorId, deviceId, rid: its }) =>
      vendorId === id.vendorId && deviceId === id.deviceId && (rid === undefined || rid === its),
  );
  const registers = found?.bars[0];
  if (found !== undefined && registers != null) return { rid: found.rid, registers };
  const where = rid === undefined ? '' : ` at requester id 0x${rid.toString(16)}`;
  throw new QemuError('ABSENT', `${qemu.kind} on QEMU ${qemu.version.text} has no ${model}${where}`);
}
