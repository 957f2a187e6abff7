import type { QemuMachineKind } from '@iommukit/qemu';
import { NEEDS, type Need, needsOf, type Plan } from '@iommukit/scenario';
import { UsageError } from './errors.js';

/** What stock devices of QEMU do not do. */
const ABSENT: Readonly<Partial<Record<Need, string>>> = {
  'device-page': 'its edu has no such page',
  checksum: 'its edu copies',
  fill: 'its edu copies',
  'job-outcomes': 'its edu ends every job as done',
  'model-capabilities': 'its IOMMUs are what they are',
  'page-requests': 'none of its devices sends any',
  pasid: 'none of its devices sends any',
  'platform-bus': 'its devices are PCI functions',
  supervisor: 'none of its devices sends any',
  units: 'its machines have one',
};

/**
 * The machine of QEMU that can play a scenario.
 * @throws UsageError with every reason when none can
 */
export function qemuMachineOf({ scenario, backend, settings }: Plan): QemuMachineKind {
  const needs = needsOf(scenario);
  const reasons = [...needs].flatMap((need) => {
    const reason = ABSENT[need];
    return reason === undefined ? [] : [`${NEEDS[need]} (${reason})`];
  });
  const kind = backend.name === 'vtd' ? vtdMachine(needs, settings['vtd.mode'], reasons) : 'smmuv3';
  if (reasons.length === 0) return kind;
  throw new UsageError(`QEMU cannot play ${scenario.name} on ${backend.name}: it needs ${reasons.join(', ')}`);
}

/** One unit of QEMU's has either stage. */
function vtdMachine(needs: ReadonlySet<Need>, mode: unknown, reasons: string[]): QemuMachineKind {
  const [domain, space] = [needs.has('dma-domain'), needs.has('first-stage')];
  if (mode === 'ecs') reasons.push('the extended-context mode (its unit has none)');
  if (domain && space) reasons.push(`${NEEDS['dma-domain']} beside ${NEEDS['first-stage']} (its unit has one stage)`);
  if (mode === 'legacy') return 'vtd-legacy';
  return domain ? 'vtd-scalable-ss' : 'vtd-scalable';
}
