import { isFirmwareError, type PlatformDescription, parseDevicetree, platformFromDevicetree } from '@iommukit/firmware';
import { type Plan, parseScenario, parseSetting, resolveSettings, switchesOf } from '@iommukit/scenario';
import { backendNamed } from './backends.js';
import { UsageError } from './errors.js';
import { fixture, readBytes, scenarioText } from './files.js';

/** What decides a run, as given on the command line. */
export interface PlanFlags {
  readonly backend: string;
  readonly platform?: string;
  readonly set?: readonly string[];
}

/** The machine that runs use unless told otherwise: QEMU's virt machine with an SMMUv3, as it describes itself. */
export const DEFAULT_PLATFORM = 'virt.dtb';

/**
 * Reads and checks everything that decides a run, before anything is made.
 * @throws UsageError and the readers' own errors: each names the file, the place in it and the remedy
 */
export async function planOf(scenarioName: string, flags: PlanFlags): Promise<Plan> {
  const backend = backendNamed(flags.backend);
  const { text, file } = await scenarioText(scenarioName);
  const scenario = parseScenario(text, file);
  const given = { ...scenario.set, ...Object.fromEntries((flags.set ?? []).map(parseSetting)) };
  const settings = resolveSettings(switchesOf(backend), given);
  const platform = await platformOf(flags.platform ?? fixture(DEFAULT_PLATFORM));
  return { scenario, platform, backend, settings };
}

async function platformOf(file: string | URL): Promise<PlatformDescription> {
  const bytes = await readBytes(file);
  try {
    return platformFromDevicetree(parseDevicetree(bytes));
  } catch (error) {
    if (isFirmwareError(error)) throw new UsageError(`${String(file)}: ${error.message}`);
    throw error;
  }
}
