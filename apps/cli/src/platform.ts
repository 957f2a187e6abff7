import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  acpiSignature,
  isFirmwareError,
  type McfgEntry,
  type PlatformDescription,
  parseDevicetree,
  parseIort,
  parseMcfg,
  platformFromDevicetree,
  platformFromIort,
} from '@iommukit/firmware';
import { UsageError } from './errors.js';
import { fixture, readBytes } from './files.js';

/** The machine that runs use unless told otherwise: QEMU's virt machine with an SMMUv3, as it describes itself. */
export const DEFAULT_PLATFORM = 'virt.dtb';

/**
 * The machine that a firmware file describes: a flattened devicetree, or an ACPI IORT. An IORT says nothing of RAM, CPUs and
 * windows to PCI memory: those are the default machine's. Its MCFG is read too if it lies beside it (`MCFG.aml` beside
 * `IORT.aml`).
 * @throws UsageError naming the file, the place in it and the remedy
 */
export async function platformOf(file: string | URL = fixture(DEFAULT_PLATFORM)): Promise<PlatformDescription> {
  const bytes = await readBytes(file);
  if (acpiSignature(bytes) !== null) return acpiPlatform(String(file), bytes);
  return told(file, () => platformFromDevicetree(parseDevicetree(bytes)));
}

async function acpiPlatform(file: string, bytes: Uint8Array): Promise<PlatformDescription> {
  const iort = told(file, () => parseIort(bytes));
  const base = await platformOf();
  const beside = mcfgBeside(file);
  const mcfg = beside === null ? null : await mcfgOf(beside);
  const platform = told(file, () => platformFromIort(iort, mcfg === null ? { base } : { base, mcfg }));
  const tables = mcfg === null ? 'IORT' : 'IORT and MCFG';
  return { ...platform, model: `${platform.model}: ${tables}, the rest as ${DEFAULT_PLATFORM}` };
}

async function mcfgOf(file: string): Promise<McfgEntry[]> {
  const bytes = await readBytes(file);
  return told(file, () => parseMcfg(bytes));
}

/** The MCFG of the same machine, or null. */
function mcfgBeside(file: string): string | null {
  const own = basename(file);
  const name = own.replace('IORT', 'MCFG').replace('iort', 'mcfg');
  const path = join(dirname(file), name);
  return name !== own && existsSync(path) ? path : null;
}

function told<T>(file: string | URL, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (isFirmwareError(error)) throw new UsageError(`${String(file)}: ${error.message}`);
    throw error;
  }
}
