import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

const folder = mkdtempSync(join(tmpdir(), 'iommukit-'));

afterAll(() => rmSync(folder, { recursive: true }));

/** Writes a file for one test and returns its path. */
export function tempFile(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** A path where nothing is yet. */
export function tempPath(name: string): string {
  return join(folder, name);
}

/** The text of a built-in scenario. */
export function builtIn(name: string): string {
  return readFileSync(new URL(`../scenarios/${name}.yaml`, import.meta.url), 'utf8');
}

/** A built-in scenario with one text in it replaced, as a file. */
export function variant(name: string, from: string, to: string): string {
  const text = builtIn(name);
  if (!text.includes(from)) throw new Error(`${name} has no '${from}'`);
  return tempFile(`${name}-variant.yaml`, text.replace(from, to));
}

/** The devicetree of the default machine. */
export function virtDtb(): Uint8Array {
  return new Uint8Array(readFileSync(new URL('../fixtures/virt.dtb', import.meta.url)));
}

/** An ACPI table: `iort` and `mcfg` of the same machine, `dmar` and `mcfg-q35` of another. */
export function acpi(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../../../packages/firmware/fixtures/${name}.aml`, import.meta.url)));
}
