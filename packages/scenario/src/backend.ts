import * as core from '@iommukit/core';
import * as engine from '@iommukit/dma-engine';
import { iopfDiscard, iopfGroup } from '@iommukit/iopf-queue';
import type { Setting, Switches } from '@iommukit/kernel';
import type { IommuDriverModule, IommuHardwareModule } from '@iommukit/machine';

/** One IOMMU architecture, as an application composes it: a driver and the hardware that it drives. */
export interface Backend {
  /** What `--backend` calls it. */
  readonly name: string;
  readonly driver: IommuDriverModule;
  readonly hardware: IommuHardwareModule;
  /** Switches of its own. */
  readonly switches: Switches;
  /** The names of its own trace events. */
  readonly events: readonly string[];
  /** What its hardware can do unless a platform says otherwise. */
  readonly capabilities: Readonly<Record<string, Setting>>;
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
  return { ...core.switches, ...engine.switches, ...backend.switches, ...machineSwitches };
}

/** The name of every trace event that a run with this backend can have, sorted. */
export function eventsOf(backend: Backend): readonly string[] {
  const shared = [
    core.devFault,
    core.devPageResponse,
    core.fileRelease,
    core.handleMmFault,
    core.mmExitMmap,
    core.mmFree,
    core.mmMmap,
    core.mmMunmap,
    core.processExit,
    engine.engineDma,
    engine.engineJob,
    engine.engineStop,
    engine.engineTranslate,
    iopfDiscard,
    iopfGroup,
  ];
  return [...shared.map(({ name }) => name), ...backend.events].sort();
}
