import * as core from '@iommukit/core';
import * as engine from '@iommukit/dma-engine';
import * as iopf from '@iommukit/iopf-queue';
import type { Setting, Switches, TracePoint } from '@iommukit/kernel';
import type { IommuDriverModule, IommuHardwareModule } from '@iommukit/machine';

/** One IOMMU architecture, as an application composes it: a driver and the hardware that it drives. */
export interface Backend {
  /** What `--backend` calls it. */
  readonly name: string;
  readonly driver: IommuDriverModule;
  readonly hardware: IommuHardwareModule;
  /** Switches of its driver. */
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
  return {
    ...core.switches,
    ...engine.switches,
    ...backend.switches,
    ...backend.hardware.switches,
    ...machineSwitches,
  };
}

/** The name of every trace event that a run with this backend can have, sorted. */
export function eventsOf(backend: Backend): readonly string[] {
  return [core, engine, iopf].flatMap(eventsIn).concat(backend.events).sort();
}

/** The names of the trace events that a module exports, one by one or in groups: its exports are the one list of them. */
export function eventsIn(module: object): readonly string[] {
  return Object.values(module)
    .flatMap((value) => (isGroup(value) ? Object.values(value) : [value]))
    .filter(isTracePoint)
    .map(({ name }) => name);
}

/** A group as `svaPoints` makes it: trace points and nothing else. */
function isGroup(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.values(value).every(isTracePoint);
}

function isTracePoint(value: unknown): value is TracePoint<object> {
  return typeof value === 'object' && value !== null && 'name' in value && 'format' in value;
}
