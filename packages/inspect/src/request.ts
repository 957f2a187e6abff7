import { InspectError } from './inspect-error.js';

/** One access of a PCI function, as a line of a request file has it. */
export interface Request {
  /** `0000:00:03.0`: segment, bus, device, function. */
  readonly device: string;
  readonly segment: number;
  /** Bus, device and function in 16 bits. */
  readonly requester: number;
  /** Byte address. */
  readonly iova: bigint;
  readonly access: 'read' | 'write';
  /** -1 without one. */
  readonly pasid: number;
}

const SHAPE = 'a request is `BDF IOVA read|write [PASID]`, as `00:03.0 0xfffff000 read`';
const LONGEST = 256;
const PASIDS = 2 ** 20;
const BDF = /^(?:([0-9a-fA-F]{1,4}):)?([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-7])$/;

/**
 * The request on a line; null for an empty line or a comment (`#`). Addresses are hexadecimal with `0x`, PASIDs decimal or with `0x`.
 * @throws InspectError EBADREQUEST with `place` (`FILE:LINE`)
 */
export function parseRequest(line: string, place: string): Request | null {
  if (line.length > LONGEST) throw bad(place, `the line has ${line.length} characters`);
  const words = line.replace(/#.*/, '').trim().split(/\s+/);
  if (words[0] === '') return null;
  const [bdf, iova, access, pasid] = words;
  if (words.length < 3 || words.length > 4) throw bad(place, `${words.length} words`);
  if (access !== 'read' && access !== 'write') throw bad(place, `'${shown(access)}' is neither read nor write`);
  return { ...functionOf(bdf!, place), iova: addressOf(iova!, place), access, pasid: pasidOf(pasid, place) };
}

function functionOf(text: string, place: string): Pick<Request, 'device' | 'segment' | 'requester'> {
  const parts = BDF.exec(text);
  if (parts === null) throw bad(place, `'${shown(text)}' is no PCI function (ssss:bb:dd.f or bb:dd.f)`);
  const [segment, bus, device, fn] = [parts[1] ?? '0', parts[2]!, parts[3]!, parts[4]!].map((part) =>
    Number.parseInt(part, 16),
  ) as [number, number, number, number];
  if (device > 0x1f) throw bad(place, `'${shown(text)}': devices are 00 to 1f`);
  const name = `${digits(segment, 4)}:${digits(bus, 2)}:${digits(device, 2)}.${fn}`;
  return { device: name, segment, requester: bus * 256 + device * 8 + fn };
}

function addressOf(text: string, place: string): bigint {
  if (/^0[xX][0-9a-fA-F]{1,16}$/.test(text)) return BigInt(text.toLowerCase());
  throw bad(place, `'${shown(text)}' is no address of 64 bits (0x…)`);
}

function pasidOf(text: string | undefined, place: string): number {
  if (text === undefined) return -1;
  const value = /^(0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10})$/.test(text) ? Number(text) : Number.NaN;
  if (!(value < PASIDS)) throw bad(place, `'${shown(text)}' is no PASID of 20 bits`);
  return value;
}

const digits = (value: number, width: number): string => value.toString(16).padStart(width, '0');

const bad = (place: string, problem: string): InspectError => new InspectError('EBADREQUEST', place, problem, SHAPE);

/** Text of a file, safe to print. */
const shown = (text: string | undefined): string => (text ?? '').replace(/[^\x20-\x7e]/g, '?').slice(0, 40);
