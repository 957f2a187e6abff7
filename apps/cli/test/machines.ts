import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { InspectedUnit, parseRegisters, readElfCore } from '@iommukit/inspect';
import { inspections } from '../src/translate/backends.js';
import { unpackImage } from '../src/translate/unpack.js';

/** A machine whose state is a fixture. */
export interface Machine {
  readonly name: string;
  readonly backend: 'vtd' | 'smmuv3';
  readonly base: number;
  readonly image: string;
  readonly registers: readonly string[];
  readonly firmware: string;
}

const place = (machine: string, file: string): string =>
  fileURLToPath(new URL(`fixtures/${machine}/${file}`, import.meta.url));

const machine = (
  name: string,
  backend: Machine['backend'],
  base: number,
  registers: readonly string[],
  firmware: string,
): Machine => ({
  name,
  backend,
  base,
  image: place(name, 'mem.elf.xz'),
  registers: registers.map((file) => place(name, file)),
  firmware: place(name, firmware),
});

/** The machines of test/fixtures. */
export const MACHINES = {
  vtd: machine('vtd-sm-fl-k61', 'vtd', 0xfed9_0000, ['vtd0.txt'], 'DMAR.aml'),
  smmuv3: machine('smmuv3-acpi', 'smmuv3', 0x905_0000, ['smmuv3-page0.txt', 'smmuv3-page1.txt'], 'IORT.aml'),
} as const;

/** An address that was looked up: where it leads, or null, and the rights that it has there. */
export interface Lookup {
  readonly device: string;
  readonly iova: string;
  readonly pa: string | null;
  readonly rights: string;
}

/** What must be found on a machine. */
export function lookupsOf({ name }: Machine): readonly Lookup[] {
  return readFileSync(place(name, 'lookups.txt'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [device, iova, pa, rights] = line.split(' ') as [string, string, string, string?];
      return { device, iova, pa: pa === '-' ? null : pa, rights: rights ?? '' };
    });
}

/** An access that an edu device made where it must not, and what the kernel logged: words of events, or decoded records. */
export interface Provoked<Record = unknown> {
  readonly n: number;
  readonly device: string;
  readonly direction: 'read' | 'write';
  readonly iova: string;
  readonly length: number;
  readonly what: string;
  readonly recorded: readonly Record[];
}

/** The faults that were provoked on a machine. */
export function provokedOn<Record>({ name }: Machine): readonly Provoked<Record>[] {
  return JSON.parse(readFileSync(place(name, 'faults.json'), 'utf8')) as Provoked<Record>[];
}

/** The unit of a machine, as it was. */
export async function unitOf({ backend, base, image, registers }: Machine): Promise<InspectedUnit> {
  const words = parseRegisters(registers.map((name) => ({ name, text: readFileSync(name, 'utf8') })));
  const { hardware, sequence, capabilities } = inspections[backend];
  const memory = readElfCore(await unpackImage(image));
  const around = { addressBits: null, end: memory.end };
  return new InspectedUnit({
    image: memory,
    registers: words,
    base,
    hardware,
    sequence,
    capabilities: capabilities(words.unit(base), around),
  });
}

/** The requester id of `ssss:bb:dd.f`. */
export function requesterOf(device: string): number {
  const [, bus, slot] = device.split(':') as [string, string, string];
  const [dev, fn] = slot.split('.') as [string, string];
  return Number.parseInt(bus, 16) * 256 + Number.parseInt(dev, 16) * 8 + Number(fn);
}
