import { describeEnd, type Plan, type Report } from '@iommukit/scenario';
import type { Paint } from './paint.js';

const LABEL = 15;

/** The verdict of one run, for people: what was done, what was found, on which machine, and how to run it again. */
export function verdict(plan: Plan, report: Report, paint: Paint): string {
  const { counts, findings, outcome } = report;
  const [success, invalid, failure] = counts.responses;
  const codes = [`${success} SUCCESS`, `${invalid} INVALID`, `${failure} FAILURE`].filter(
    (text) => !text.startsWith('0 '),
  );
  const rows: [string, string][] = [
    [
      'verdict',
      findings.length === 0
        ? paint.green('fine')
        : paint.red(`${findings.length} finding${findings.length > 1 ? 's' : ''}`),
    ],
    ['jobs', list(Object.entries(counts.jobs).map(([status, count]) => `${count} ${status}`))],
    ['pages moved', String(counts.pagesMoved)],
    ['page faults', String(counts.faults)],
    ['responses', codes.length === 0 ? '0' : `${success + invalid + failure} (${codes.join(', ')})`],
    ['invalidations', String(counts.invalidations)],
    ['releases', String(counts.releases)],
    ['leaks', leaks(report)],
    ['steps', `${outcome.steps}, ${describeEnd(outcome)}`],
    ...platformRows(plan),
    ['replay', `--schedule ${outcome.token}`],
  ];
  const lines = rows.map(([label, text]) => `${paint.dim(label.padEnd(LABEL))} ${text}`);
  const told = findings.map(({ invariant, story }) => `${paint.red(invariant.padEnd(LABEL))} ${story}`);
  return `${[paint.bold(plan.scenario.name), ...lines, ...told].join('\n')}\n`;
}

function leaks({ findings, outcome }: Report): string {
  if (outcome.end !== 'finished') return 'not compared: the run did not finish';
  const found = findings.filter((finding) => finding.invariant === 'INV-9');
  return found.length === 0 ? 'none' : String(found.length);
}

/** Devicetrees say where things are; what they can do was added, and is told. */
function platformRows({ platform, scenario, backend, settings }: Plan): [string, string][] {
  const { endpoints, iommu } = scenario.platform;
  const overlay = [
    `ats-supported=${scenario.platform['ats-supported']}`,
    ...endpoints.map(({ at, model, capabilities }) => `${model}@${at}${capabilitiesText(capabilities)}`),
    `${backend.name}${capabilitiesText(iommu)}`,
  ];
  const set = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  return [
    ['machine', `${platform.model || 'unnamed'} (${platform.source}), backend ${backend.name}`],
    ['overlay', overlay.join(', ')],
    ['settings', list(set)],
  ];
}

function capabilitiesText(capabilities: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(capabilities).map(([key, value]) => `${key}=${String(value)}`);
  return entries.length === 0 ? '' : ` {${entries.join(', ')}}`;
}

function list(items: readonly string[]): string {
  return items.length === 0 ? 'none' : items.join(', ');
}
