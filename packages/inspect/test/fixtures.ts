import { elfCore } from './elf-writer.js';
import { legacyVtd } from './machines.js';

/** The machine of the README's example: VT-d in legacy mode, with tables of 3 levels; memory as far as it is used. */
export function smallMachine(): { readonly image: Uint8Array; readonly registers: string } {
  const { rams, registers } = legacyVtd(3);
  const [ram] = rams;
  return { image: elfCore([{ base: ram.base, bytes: ram.bytes.slice(0, ram.next - ram.base) }]), registers };
}
