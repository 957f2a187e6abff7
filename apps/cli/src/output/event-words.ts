import type { TraceEvent } from '@iommukit/kernel';
import { shortDevice } from './short-names.js';

type Field = (value: never, record: Readonly<Record<string, unknown>>) => string;

const CODES = ['SUCCESS', 'INVALID', 'FAILURE'];
/** The `last` bit of a page request's flags. */
const LAST = 2;

/** How people read the fields of events, in the order in which they are told. An empty text is left out. */
const FIELDS: Readonly<Record<string, Field>> = {
  dev: (name: string) => shortDevice(name),
  space: (name: string) => name,
  pasid: (pasid: number | null) => (pasid === null ? 'without PASID' : `PASID ${pasid}`),
  privileged: (privileged: boolean) => (privileged ? 'privileged' : ''),
  op: (op: string) => op,
  write: (write: boolean) => (write ? 'write' : 'read'),
  prot: (prot: number, { start }) => (start === undefined ? rights(prot) : letters(prot)),
  addr: (address: bigint) => hex(address),
  start: (start: bigint, { end }) => `${hex(start)}-${hex(end as bigint)}`,
  end: () => '',
  bytes: (bytes: number) => (bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes} bytes`),
  file: (file: string | null) => (file === null ? '' : shortDevice(file)),
  group: (group: number) => `group ${group}`,
  flags: (flags: number) => ((flags & LAST) !== 0 ? 'last' : 'more'),
  pages: (pages: number) => `${pages} page${pages === 1 ? '' : 's'}`,
  // A page request without a reason: the usual.
  type: (type: number) => (type === 2 ? '' : `type=${type}`),
  reason: (reason: number) => (reason === 0 ? '' : `reason=${reason}`),
  code: (code: number) => CODES[code] ?? `code=${code}`,
  granted: (granted: boolean) => (granted ? 'granted' : 'denied'),
  status: (status: string) => status,
  kind: (kind: string) => kind,
  result: (result: number) => (result === 0 ? '' : `result=0x${result.toString(16)}`),
  comm: () => '',
  // Tells two notifiers of one PASID apart, for programs.
  notifier: () => '',
};

/** An event's fields in words; those of events that have fields unknown here, as the kernel prints them. */
export function eventWords({ point, record }: Pick<TraceEvent, 'point' | 'record'>): string {
  const fields = record as Readonly<Record<string, unknown>>;
  if (Object.keys(fields).some((key) => FIELDS[key] === undefined)) return point.format(record);
  return Object.entries(FIELDS)
    .filter(([key]) => key in fields)
    .map(([key, words]) => words(fields[key] as never, fields))
    .filter((words) => words !== '')
    .join(' ');
}

function rights(prot: number): string {
  return (
    ['read', 'write', 'execute', 'privileged'].filter((_right, bit) => (prot & (1 << bit)) !== 0).join('+') || 'none'
  );
}

function letters(prot: number): string {
  return ['r', 'w', 'x'].map((letter, bit) => ((prot & (1 << bit)) === 0 ? '-' : letter)).join('');
}

function hex(address: bigint): string {
  return `0x${address.toString(16)}`;
}
