import { parseDevicetree, platformFromDevicetree } from '@iommukit/firmware';
import { type Plan, parseOrder, parseScenario, parseSetting, resolveSettings, switchesOf } from '@iommukit/scenario';
import { backendNamed } from './backends.js';
import { fixture, readBytes, scenarioText } from './files.js';

/** What decides a run, as given on the command line. */
export interface PlanFlags {
  readonly backend: string;
  readonly platform?: string;
  readonly set?: readonly string[];
}

/** The machine that runs use unless told otherwise: QEMU's virt machine with an SMMUv3, as it describes itself. */
export const DEFAULT_PLATFORM = 'virt.dtb';

/** Reads and checks everything that decides a run, before anything is made. */
export async function planOf(scenarioName: string, flags: PlanFlags): Promise<Plan> {
  const backend = backendNamed(flags.backend);
  const { text, file } = await scenarioText(scenarioName);
  const scenario = parseScenario(text, file);
  parseOrder(scenario.order);
  const given = { ...scenario.set, ...Object.fromEntries((flags.set ?? []).map(parseSetting)) };
  const settings = resolveSettings(switchesOf(backend), given);
  const bytes = await readBytes(flags.platform ?? fixture(DEFAULT_PLATFORM));
  const platform = platformFromDevicetree(parseDevicetree(bytes));
  return { scenario, platform, backend, settings };
}
