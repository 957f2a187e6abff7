import type { Setting } from '@iommukit/kernel';
import { type Ability, type Plan, platformFacts } from '@iommukit/scenario';
import type { Row } from './verdict.js';

/** Which machine ran: where things are says the platform description; what they can do, the overlay and the models. */
export function machineRows(plan: Plan): readonly Row[] {
  const { platform, backend, settings, hardware } = plan;
  const settingsRow: Row = [
    'settings',
    Object.entries(settings)
      .map(([key, value]) => `${key}=${String(value)}`)
      .join(' '),
  ];
  if (hardware !== undefined) {
    const places = plan.scenario.platform.endpoints.map(({ at }): Row => [`  ${at}`, 'edu']);
    return [['machine', `${hardware.name}, backend ${backend.name}`], ...places, settingsRow];
  }
  const { atsSupported, endpoints, iommu, units } = platformFacts(plan);
  return [
    ['machine', `${platform.model || 'unnamed'} (${platform.source}), backend ${backend.name}; on top of it:`],
    ['  root complex', `ats-supported ${atsSupported ? 'yes' : 'no'}`],
    ...endpoints.map(
      (endpoint): Row => [
        `  ${endpoint.at}`,
        `${endpoint.model}, root-complex integrated endpoint: ${abilityText(endpoint)}`,
      ],
    ),
    [`  ${iommu.at}`, abilityText(iommu)],
    ...units.map((unit): Row => [`  ${unit.at}`, `another unit of its kind: ${abilityText(unit)}`]),
    settingsRow,
  ];
}

/** What matters first, under the names that the specifications use; other values only where the scenario gives them. */
const FACTS: Readonly<Record<string, (value: Setting) => string>> = {
  ats: (value) => (value === true ? 'ATS' : 'no ATS'),
  pri: (value) => (value === true ? 'PRI' : 'no PRI'),
  pasidBits: (value) => (value === 0 ? 'no PASID' : `PASID width ${String(value)}`),
  ssidBits: (value) => (value === 0 ? 'no SSIDs' : `SSIDSIZE ${String(value)}`),
  stall: (value) => `stall ${String(value)}`,
  dt: (value) => (value === true ? 'DT' : 'no DT'),
  prs: (value) => (value === true ? 'PRS' : 'no PRS'),
  pss: (value) => `PSS ${String(value)}`,
};

function abilityText({ capabilities, given }: Ability): string {
  const facts = Object.entries(FACTS).flatMap(([name, words]) => {
    const value = capabilities[name];
    return value === undefined ? [] : [words(value)];
  });
  const others = given
    .filter((name) => FACTS[name] === undefined)
    .map((name) => `${name}=${String(capabilities[name])}`);
  const rest = given.length === 0 ? 'its defaults' : `given: ${given.join(', ')}; else its defaults`;
  return [[...facts, ...others].join(', '), rest].filter((part) => part !== '').join('; ');
}
