import { EmbeddedPerformer } from '@iommukit/qemu';
import {
  type SmmuV3Parts,
  capabilitiesFrom as smmuV3CapabilitiesFrom,
  smmuV3Hardware,
  smmuV3Parts,
} from '@iommukit/smmuv3-hardware';
import { type VtdParts, capabilitiesFrom as vtdCapabilitiesFrom, vtdHardware, vtdParts } from '@iommukit/vtd-hardware';

/** Parts of the models in place of the right ones. */
export interface OtherParts {
  readonly vtd?: Partial<VtdParts>;
  readonly smmuv3?: Partial<SmmuV3Parts>;
}

/** The models with other parts: of tests that want them wrong. */
export function modelsWith(parts: OtherParts): EmbeddedPerformer {
  const vtd = { ...vtdParts, ...parts.vtd };
  const smmuv3 = { ...smmuV3Parts, ...parts.smmuv3 };
  return new EmbeddedPerformer({
    vtd: {
      module: { ...vtdHardware, create: (place, settings) => vtdHardware.create(place, settings, vtd) },
      capabilitiesFrom: vtdCapabilitiesFrom,
    },
    smmuv3: {
      module: { ...smmuV3Hardware, create: (place, settings) => smmuV3Hardware.create(place, settings, smmuv3) },
      capabilitiesFrom: smmuV3CapabilitiesFrom,
    },
  });
}
