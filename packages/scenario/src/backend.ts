import { switches as coreSwitches } from '@iommukit/core';
import { switches as engineSwitches } from '@iommukit/dma-engine';
import type { Switches } from '@iommukit/kernel';
import type { IommuDriverModule, IommuHardwareModule } from '@iommukit/machine';

/** One IOMMU architecture, as an application composes it: a driver and the hardware that it drives. */
export interface Backend {
  /** What `--backend` calls it. */
  readonly name: string;
  readonly driver: IommuDriverModule;
  readonly hardware: IommuHardwareModule;
  /** Switches of its own. */
  readonly switches: Switches;
}

/** Switches of the machine itself. */
const machineSwitches: Switches = {
  'alloc-fail': {
    values: { type: 'number', default: 0 },
    rule: 'L32',
    help: 'the n-th allocation of the run fails; 0: none',
  },
};

/** Every switch that a run with this backend has. */
export function switchesOf(backend: Backend): Switches {
  return { ...coreSwitches, ...engineSwitches, ...backend.switches, ...machineSwitches };
}
