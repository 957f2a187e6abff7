import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  type AcpiSurroundings,
  acpiSignature,
  type DmarBridge,
  isFirmwareError,
  type McfgEntry,
  type PlatformDescription,
  parseDevicetree,
  parseDmar,
  parseIort,
  parseMcfg,
  platformFromDevicetree,
  platformFromDmar,
  platformFromIort,
} from '@iommukit/firmware';
import { UsageError } from './errors.js';
import { fixture, readBytes } from './files.js';
import { Q35, Q35_BRIDGES } from './q35.js';

/** The machine of SMMUv3 runs unless told otherwise: QEMU's virt machine with an SMMUv3, as it describes itself. */
export const DEFAULT_PLATFORM = 'virt.dtb';

/**
 * The machine that a firmware file describes: a flattened devicetree, an ACPI IORT or an ACPI DMAR. These tables say nothing of
 * RAM, CPUs and windows to PCI memory: those are the default machine's, and with a DMAR those of a q35. The MCFG is read
 * too if it lies beside the table (`MCFG.aml` beside `IORT.aml`).
 * @throws UsageError naming the file, the place in it and the remedy
 */
export async function platformOf(file: string | URL = fixture(DEFAULT_PLATFORM)): Promise<PlatformDescription> {
  const bytes = await readBytes(file);
  const signature = acpiSignature(bytes);
  if (signature === 'DMAR') return dmarPlatform(String(file), bytes);
  if (signature !== null) return iortPlatform(String(file), bytes);
  return told(file, () => platformFromDevicetree(parseDevicetree(bytes)));
}

/** The machine that a backend runs on unless told otherwise. */
export function defaultPlatform(backend: string): Promise<PlatformDescription> {
  return backend === 'vtd' ? q35Platform() : platformOf();
}

/** QEMU's q35 machine with one VT-d unit, by its DMAR and MCFG. */
async function q35Platform(): Promise<PlatformDescription> {
  const [dmar, mcfg] = [fixture('q35-DMAR.aml'), fixture('q35-MCFG.aml')];
  const bytes = await readBytes(dmar);
  return acpiDmar(dmar, bytes, await mcfgOf(mcfg), Q35_BRIDGES);
}

async function iortPlatform(file: string, bytes: Uint8Array): Promise<PlatformDescription> {
  const iort = told(file, () => parseIort(bytes));
  const base = await platformOf();
  const mcfg = await mcfgBeside(file, 'IORT');
  const platform = told(file, () => platformFromIort(iort, surroundings(base, mcfg)));
  return { ...platform, model: modelOf(platform.model, 'IORT', mcfg, DEFAULT_PLATFORM) };
}

async function dmarPlatform(file: string, bytes: Uint8Array): Promise<PlatformDescription> {
  return acpiDmar(file, bytes, await mcfgBeside(file, 'DMAR'), []);
}

function acpiDmar(
  file: string | URL,
  bytes: Uint8Array,
  mcfg: readonly McfgEntry[] | null,
  bridges: readonly DmarBridge[],
): PlatformDescription {
  const platform = told(file, () => platformFromDmar(parseDmar(bytes), { ...surroundings(Q35, mcfg), bridges }));
  return { ...platform, model: modelOf(platform.model, 'DMAR', mcfg, Q35.model) };
}

const surroundings = (base: PlatformDescription, mcfg: readonly McfgEntry[] | null): AcpiSurroundings =>
  mcfg === null ? { base } : { base, mcfg };

function modelOf(maker: string, table: string, mcfg: readonly McfgEntry[] | null, rest: string): string {
  return `${maker}: ${mcfg === null ? table : `${table} and MCFG`}, the rest as ${rest}`;
}

async function mcfgOf(file: string | URL): Promise<McfgEntry[]> {
  const bytes = await readBytes(file);
  return told(file, () => parseMcfg(bytes));
}

/** The MCFG of the same machine, or null. */
async function mcfgBeside(file: string, table: string): Promise<McfgEntry[] | null> {
  const own = basename(file);
  const name = own.replace(table, 'MCFG').replace(table.toLowerCase(), 'mcfg');
  const path = join(dirname(file), name);
  return name !== own && existsSync(path) ? mcfgOf(path) : null;
}

/** What `read` makes of a firmware file. @throws UsageError naming the file, the place in it and the remedy */
export function told<T>(file: string | URL, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (isFirmwareError(error)) throw new UsageError(`${String(file)}: ${error.message}`);
    throw error;
  }
}
