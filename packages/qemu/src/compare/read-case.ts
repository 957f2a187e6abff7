import { isQemuMachineKind } from '../machines/machines.js';
import {
  type Answers,
  CASE_VERSION,
  type CaseStep,
  type CompareCase,
  type MemoryPiece,
  type Observation,
  type Vector,
} from './case-format.js';
import { compareMachine } from './machine.js';

/** A file that is no case. The message says where in it, and what was expected. */
export class CaseError extends Error {
  override readonly name = 'CaseError';
  /** The place within the file: `steps[3].iova`. */
  readonly place: string;

  constructor(place: string, expected: string) {
    super(`${place === '' ? 'the case' : place}: expected ${expected}`);
    this.place = place;
  }
}

/** True for a {@link CaseError}. */
export const isCaseError = (error: unknown): error is CaseError => error instanceof Error && error.name === 'CaseError';

type Json = Readonly<Record<string, unknown>>;

const MOST_PIECES = 4096;
const MOST_WORDS = 65_536;

function record(value: unknown, place: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json;
  throw new CaseError(place, 'an object');
}

function list(value: unknown, place: string, most: number): readonly unknown[] {
  if (Array.isArray(value) && value.length <= most) return value;
  throw new CaseError(place, `a list of at most ${most}`);
}

function text(value: unknown, place: string): string {
  if (typeof value === 'string' && value.length <= 1000) return value;
  throw new CaseError(place, 'a text');
}

function word(value: unknown, place: string): bigint {
  if (typeof value === 'string' && /^0x[0-9a-f]{1,16}$/i.test(value)) return BigInt(value);
  throw new CaseError(place, 'a number as 0x… of at most 64 bits');
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[], place: string): T {
  if (allowed.includes(value as T)) return value as T;
  throw new CaseError(place, `one of ${allowed.join(', ')}`);
}

function wordList(value: unknown, place: string): bigint[] {
  return list(value, place, MOST_WORDS).map((item, i) => word(item, `${place}[${i}]`));
}

function known(of: Json, keys: readonly string[], place: string): void {
  const stranger = Object.keys(of).find((key) => !keys.includes(key));
  if (stranger !== undefined)
    throw new CaseError(place === '' ? stranger : `${place}.${stranger}`, `nothing: known are ${keys.join(', ')}`);
}

function piece(value: unknown, place: string, arena: { readonly base: number; readonly bytes: number }): MemoryPiece {
  const of = record(value, place);
  const address = Number(word(of['address'], `${place}.address`));
  const words = wordList(of['words'], `${place}.words`);
  if (address % 8 !== 0 || address < arena.base || address + words.length * 8 > arena.base + arena.bytes) {
    const range = `0x${arena.base.toString(16)} to 0x${(arena.base + arena.bytes - 1).toString(16)}`;
    throw new CaseError(`${place}.address`, `an address divisible by 8 whose words lie in ${range}`);
  }
  return { address, as: text(of['as'], `${place}.as`), what: text(of['what'], `${place}.what`), words };
}

/**
 * A case from JSON data, checked: nothing that it says reaches beyond the machine's registers and the memory of cases.
 * @throws CaseError with the place of the first mistake
 */
export function readCase(data: unknown): CompareCase {
  const of = record(data, '');
  if (of['version'] !== CASE_VERSION) throw new CaseError('version', String(CASE_VERSION));
  known(
    of,
    ['version', 'machine', 'note', 'identification', 'memory', 'steps', 'by', 'deviations', 'answers', 'further'],
    '',
  );
  const kind = text(of['machine'], 'machine');
  if (!isQemuMachineKind(kind) || compareMachine(kind) === null)
    throw new CaseError('machine', 'a machine that cases are for');
  const machine = compareMachine(kind)!;
  const identification = Object.fromEntries(
    Object.entries(record(of['identification'], 'identification')).map(([name, value]) => {
      if (!machine.identification.includes(name))
        throw new CaseError(`identification.${name}`, machine.identification.join(', '));
      return [name, word(value, `identification.${name}`)];
    }),
  );
  for (const name of machine.identification) {
    if (identification[name] === undefined) throw new CaseError(`identification.${name}`, 'a number as 0x…');
  }
  const step = (value: unknown, i: number): CaseStep => {
    const place = `steps[${i}]`;
    const fields = record(value, place);
    switch (oneOf(fields['do'], ['write', 'store', 'queue', 'dma'] as const, `${place}.do`)) {
      case 'write': {
        known(fields, ['do', 'register', 'value'], place);
        const register = oneOf(fields['register'], Object.keys(machine.registers), `${place}.register`);
        return { do: 'write', register, value: word(fields['value'], `${place}.value`) };
      }
      case 'store':
        known(fields, ['do', 'address', 'as', 'what', 'words'], place);
        return { do: 'store', ...piece(fields, place, machine.arena) };
      case 'queue': {
        known(fields, ['do', 'as', 'words'], place);
        const words = wordList(fields['words'], `${place}.words`);
        if (words.length < 1 || words.length > 4) throw new CaseError(`${place}.words`, 'one to four words');
        return { do: 'queue', as: text(fields['as'], `${place}.as`), words };
      }
      default: {
        known(fields, ['do', 'device', 'access', 'iova', 'bytes'], place);
        const device = oneOf(fields['device'], ['edu', 'testdev'] as const, `${place}.device`);
        const access = oneOf(fields['access'], ['read', 'write'] as const, `${place}.access`);
        if (device === 'testdev' && access === 'read')
          throw new CaseError(`${place}.access`, 'write: testdev does not read');
        const iova = word(fields['iova'], `${place}.iova`);
        const bytes = fields['bytes'];
        if (
          typeof bytes !== 'number' ||
          !Number.isInteger(bytes) ||
          bytes < 1 ||
          Number(iova & 0xfffn) + bytes > 4096
        ) {
          throw new CaseError(`${place}.bytes`, 'a number of bytes, all in one page');
        }
        return { do: 'dma', device, access, iova, bytes };
      }
    }
  };
  return {
    machine: kind,
    identification,
    note: text(of['note'], 'note'),
    memory: list(of['memory'], 'memory', MOST_PIECES).map((value, i) => {
      known(record(value, `memory[${i}]`), ['address', 'as', 'what', 'words'], `memory[${i}]`);
      return piece(value, `memory[${i}]`, machine.arena);
    }),
    steps: list(of['steps'], 'steps', MOST_PIECES).map(step),
  };
}

function observation(value: unknown, place: string): Observation {
  return Object.fromEntries(
    Object.entries(record(value, place)).map(([name, item]) => [
      name,
      typeof item === 'boolean' ? item : word(item, `${place}.${name}`),
    ]),
  );
}

function answersTo(steps: number, value: unknown, place: string, extra: readonly string[] = []): Answers {
  const of = record(value, place);
  known(of, [...extra, 'steps', 'end', 'memory'], place);
  const seen = list(of['steps'], `${place}.steps`, MOST_PIECES).map((item, i) =>
    observation(item, `${place}.steps[${i}]`),
  );
  if (seen.length !== steps) throw new CaseError(`${place}.steps`, `${steps} observations, one a step`);
  const memory = new Map<number, bigint>();
  for (const [address, value] of Object.entries(record(of['memory'], `${place}.memory`))) {
    memory.set(Number(word(address, `${place}.memory.${address}`)), word(value, `${place}.memory.${address}`));
  }
  return { steps: seen, end: observation(of['end'], `${place}.end`), memory };
}

/**
 * A vector from JSON data: a case with `by`, `deviations`, `answers` and `further`.
 * @throws CaseError with the place of the first mistake
 */
export function readVector(data: unknown): Vector {
  const what = readCase(data);
  const of = record(data, '');
  const count = what.steps.length;
  const answers = answersTo(count, of['answers'], 'answers');
  const further = list(of['further'], 'further', count).map((item, i) => {
    const place = `further[${i}]`;
    const without = record(item, place)['without'];
    if (typeof without !== 'number' || !Number.isInteger(without) || without < 0 || without >= count - i) {
      throw new CaseError(`${place}.without`, 'the index of a step');
    }
    return { without, answers: answersTo(count - i - 1, item, place, ['without']) };
  });
  const deviations = list(of['deviations'], 'deviations', 100).map((item, i) => text(item, `deviations[${i}]`));
  return { case: what, by: text(of['by'], 'by'), deviations, answers, further };
}
