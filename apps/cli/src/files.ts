import { readdir, readFile } from 'node:fs/promises';
import { fileProblem, UsageError } from './errors.js';
import { XzReadableStream } from './xz.js';

const SCENARIOS = new URL('../scenarios/', import.meta.url);
const FIXTURES = new URL('../fixtures/', import.meta.url);

/** No description of a machine is larger than this (bytes), compressed or not. */
const MAX_BYTES = 16 * 1024 * 1024;
/** No scenario is larger than this (bytes): reading YAML takes time and memory many times its size. */
const MAX_SCENARIO = 256 * 1024;

/** A file that ships with the command: the machine that runs use by default. */
export function fixture(name: string): URL {
  return new URL(name, FIXTURES);
}

/** The names of the built-in scenarios. */
export async function builtInScenarios(): Promise<readonly string[]> {
  const names = await readdir(SCENARIOS);
  return names.filter((name) => name.endsWith('.yaml')).map((name) => name.slice(0, -5));
}

/** The text of a scenario: a built-in name, or a file. @throws UsageError when there is neither */
export async function scenarioText(name: string): Promise<{ text: string; file: string }> {
  const builtIn = await builtInScenarios();
  if (builtIn.includes(name)) {
    return { text: await readFile(new URL(`${name}.yaml`, SCENARIOS), 'utf8'), file: `${name}.yaml` };
  }
  if (!/[./\\]/.test(name)) {
    throw new UsageError(
      `no scenario is called '${name}'; the built-in ones are ${builtIn.join(', ')} (or give a file: ./mine.yaml)`,
    );
  }
  const bytes = await readBytes(name);
  if (bytes.length > MAX_SCENARIO) throw new UsageError(`${name} is larger than ${MAX_SCENARIO} bytes: no scenario is`);
  return { text: new TextDecoder().decode(bytes), file: name };
}

/** The bytes of a file, unpacked if its name ends in `.xz`. @throws UsageError when it cannot be read */
export async function readBytes(file: string | URL): Promise<Uint8Array> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new UsageError(`${String(file)} cannot be read: ${fileProblem(error)}`);
  }
  if (bytes.length > MAX_BYTES) throw new UsageError(`${String(file)} is larger than ${MAX_BYTES} bytes`);
  return String(file).endsWith('.xz') ? unpack(bytes, String(file)) : bytes;
}

async function unpack(packed: Uint8Array, file: string): Promise<Uint8Array> {
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(packed);
      controller.close();
    },
  });
  const parts: Uint8Array[] = [];
  let total = 0;
  try {
    const reader = (new XzReadableStream(source) as ReadableStream<Uint8Array>).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return joined(parts, total);
      total += value.length;
      if (total > MAX_BYTES) throw new UsageError(`${file} unpacks to more than ${MAX_BYTES} bytes`);
      parts.push(value.slice());
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`${file} is no whole xz file: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function joined(parts: readonly Uint8Array[], total: number): Uint8Array {
  const all = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
