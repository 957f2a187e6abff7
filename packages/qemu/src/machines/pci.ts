import type { QemuBus } from '../bus.js';
import { QemuError } from '../errors.js';
import type { QemuMachineSpec } from './kinds.js';

/** A PCI function as it was found. */
export interface PciFunction {
  /** Bus, device and function as 16 bits: the requester id. */
  readonly rid: number;
  /** `00:04.0`. */
  readonly at: string;
  readonly vendorId: number;
  readonly deviceId: number;
  /** Its configuration space in the CPU's address space. */
  readonly config: number;
  /** Its base addresses by number; memory only. */
  readonly bars: readonly (PciBar | null)[];
}

/** A base address that was assigned. */
export interface PciBar {
  readonly base: number;
  readonly bytes: number;
}

/** Offsets in configuration space (PCI 3.0, 6.1). */
const COMMAND = 0x04;
const BAR0 = 0x10;
/** Memory decode and bus mastering. */
const DECODE_AND_MASTER = 0x6;
const BARS = 6;
/** q35's host bridge has the place of configuration space in these registers, bit 0 enables it. */
const PCIEXBAR = 0x8000_0060;

/**
 * Looks at every slot of the root bus, gives each memory BAR a place in the machine's window and lets the function decode
 * memory and make requests.
 * @returns the functions by slot; only functions 0 are looked at
 */
export function enumerate(bus: QemuBus, spec: QemuMachineSpec): PciFunction[] {
  if (spec.ecamByPorts) openEcam(bus, spec.ecam);
  const window = { ...spec.window, next: spec.window.base };
  const found: PciFunction[] = [];
  for (let slot = 0; slot < 32; slot++) {
    const config = spec.ecam + slot * 0x8000;
    const id = bus.load32(config);
    if (id === 0xffffffff || id === 0) continue;
    const bars = isBridge(bus, config) ? [] : assignBars(bus, config, window);
    found.push({
      rid: slot << 3,
      at: `00:${slot.toString(16).padStart(2, '0')}.0`,
      vendorId: id & 0xffff,
      deviceId: id >>> 16,
      config,
      bars,
    });
  }
  return found;
}

function openEcam(bus: QemuBus, base: number): void {
  for (const [register, value] of [
    [PCIEXBAR + 4, 0],
    [PCIEXBAR, base + 1],
  ] as const) {
    bus.client.portWrite(0xcf8, register);
    bus.client.portWrite(0xcfc, value);
  }
}

const isBridge = (bus: QemuBus, config: number) => (bus.load32(config + 0x0c) & 0x7f0000) !== 0;

function assignBars(
  bus: QemuBus,
  config: number,
  window: { readonly base: number; readonly bytes: number; next: number },
): (PciBar | null)[] {
  const bars: (PciBar | null)[] = [];
  for (let i = 0; i < BARS; i++) {
    const register = config + BAR0 + 4 * i;
    bus.store32(register, 0xffffffff);
    const size = bus.load32(register);
    if (size === 0 || (size & 1) === 1) {
      bus.store32(register, 0);
      bars.push(null);
      continue;
    }
    const wide = (size & 6) === 4;
    const bytes = (~(size & ~15) >>> 0) + 1;
    const base = Math.ceil(window.next / bytes) * bytes;
    if (base + bytes > window.base + window.bytes) throw new QemuError('ABSENT', "the machine's PCI window is full");
    window.next = base + bytes;
    bus.store32(register, base);
    bars.push({ base, bytes });
    if (!wide) continue;
    bus.store32(register + 4, 0);
    bars.push(null);
    i++;
  }
  bus.write16(config + COMMAND, bus.read16(config + COMMAND) | DECODE_AND_MASTER);
  return bars;
}
