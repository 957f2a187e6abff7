import { type Plan, parseScenario, parseSetting, refuseBackend, resolveSettings, switchesOf } from '@iommukit/scenario';
import { backendNamed } from './backends.js';
import { scenarioText } from './files.js';
import { defaultPlatform, platformOf } from './platform.js';

/** What decides a run, as given on the command line. */
export interface PlanFlags {
  readonly backend: string;
  readonly platform?: string;
  readonly set?: readonly string[];
}

/**
 * Reads and checks everything that decides a run, before anything is made.
 * @throws UsageError and the readers' own errors: each names the file, the place in it and the remedy
 */
export async function planOf(scenarioName: string, flags: PlanFlags): Promise<Plan> {
  const backend = backendNamed(flags.backend);
  const { text, file } = await scenarioText(scenarioName);
  const scenario = parseScenario(text, file);
  refuseBackend(scenario, backend);
  const given = { ...scenario.set, ...Object.fromEntries((flags.set ?? []).map(parseSetting)) };
  const settings = resolveSettings(switchesOf(backend), given);
  refuseBackend(scenario, backend, settings);
  const platform = await (flags.platform === undefined ? defaultPlatform(backend.name) : platformOf(flags.platform));
  return { scenario, platform, backend, settings };
}
