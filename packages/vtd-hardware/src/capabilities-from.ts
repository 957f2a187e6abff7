import type { Field } from '@iommukit/bitfield';
import { IommuError, type Setting } from '@iommukit/kernel';
import { CAP, ECAP, VER } from '@iommukit/vtd-spec';
import { capabilitiesOf, DEFAULT_CAPABILITIES, type VtdCapabilities } from './capabilities.js';

const FIELDS: Readonly<Record<string, { readonly register: typeof CAP | typeof ECAP; readonly field: Field }>> = {
  ...Object.fromEntries(Object.entries(CAP.f).map(([name, field]) => [name, { register: CAP, field }])),
  ...Object.fromEntries(Object.entries(ECAP.f).map(([name, field]) => [name, { register: ECAP, field }])),
};

/**
 * The capabilities of a unit by its own VER, CAP and ECAP: the inverse of how this model reports them. `read` gives the 32-bit word at
 * an offset. What the registers do not say has its default; so has `haw`, which the DMAR table says. What this model never has, and
 * what no table that translates without it can tell, is left out: interrupt remapping, posted interrupts, nesting, protected
 * ranges, fault logs, performance counters, virtual commands.
 * @throws IommuError EINVAL for a combination that this model cannot have
 */
export function capabilitiesFrom(read: (offset: number, name: string) => number): VtdCapabilities {
  const settings: Record<string, Setting> = { version: VER.f.max.of(read(VER.offset, VER.name), 0) };
  const words = new Map(
    [CAP, ECAP].map((register) => [register, [0, 4].map((at) => read(register.offset + at, register.name))]),
  );
  for (const [name, standard] of Object.entries(DEFAULT_CAPABILITIES)) {
    const known = FIELDS[name];
    if (known === undefined) continue;
    const [lo, hi] = words.get(known.register) as [number, number];
    const value = known.field.of(lo, hi);
    settings[name] = typeof standard === 'boolean' ? value === 1 : value;
  }
  refuseWhatIsAbsent(words.get(CAP) as number[]);
  return capabilitiesOf(settings);
}

/** All ones is what a bus reads where there is nothing. */
function refuseWhatIsAbsent(cap: readonly number[]): void {
  if (cap.some((word) => word !== 0xffffffff)) return;
  throw new IommuError('EINVAL', 'CAP reads all ones: there is no unit', {
    remedy: 'give the registers of a VT-d unit',
  });
}
