import type { Scenario, Step } from './schema.js';

/** What a scenario asks of hardware beyond an IOMMU and a device that copies. */
export const NEEDS = {
  'device-page': 'a device page that processes map',
  'dma-domain': 'DMA domains',
  checksum: 'a device that checksums',
  fill: 'a device that fills memory',
  'first-stage': 'page tables of processes for requests without PASID',
  'job-outcomes': 'a device that tells when an access was refused',
  'model-capabilities': 'an IOMMU with the capabilities that the scenario gives it',
  'page-requests': 'page requests',
  pasid: 'requests with PASID',
  'platform-bus': 'devices on the platform bus',
  supervisor: 'privileged requests',
  units: 'several IOMMUs',
} as const;

/** One of {@link NEEDS}. */
export type Need = keyof typeof NEEDS;

/** What a scenario needs, by what its actors do and by its platform. */
export function needsOf({ actors, platform }: Scenario): ReadonlySet<Need> {
  const needs = new Set<Need>(Object.values(actors).flatMap((steps) => steps.flatMap(needsOfStep)));
  if (platform.endpoints.some(({ at }) => at.includes('@'))) needs.add('platform-bus');
  if (Object.keys(platform.units).length > 0) needs.add('units');
  if (Object.keys(platform.iommu).length + Object.keys(platform.iommus).length > 0) needs.add('model-capabilities');
  return needs;
}

function needsOfStep(step: Step): readonly Need[] {
  switch (step.do) {
    case 'map-device':
      return ['device-page'];
    case 'bind':
      return [step['without-pasid'] === true ? 'first-stage' : 'pasid'];
    case 'submit':
      return needsOfJob(step);
    case 'wait':
      return step.outcome === 'done' || step.outcome === 'any' ? [] : ['job-outcomes'];
    case 'dma-attach':
      return ['dma-domain'];
    case 'supervisor-bind':
      return ['supervisor'];
    default:
      return [];
  }
}

function needsOfJob({ op, prefetch, privileged }: Extract<Step, { do: 'submit' }>): readonly Need[] {
  const needs: Need[] = [];
  if (op !== 'copy') needs.push(op);
  if (prefetch > 0) needs.push('page-requests');
  if (privileged === true) needs.push('supervisor');
  return needs;
}
