import { type TracePoint, tracepoint } from '@iommukit/kernel';
import { EVENT, EventHeader, FaultEvent } from '@iommukit/smmuv3-spec';
import { hex, hex64, hexPair } from './hex.js';

/** An event record as the hardware wrote it. */
export interface EventRecord {
  readonly smmu: string;
  /** The four 64-bit words, as eight of 32 bits. */
  readonly words: Uint32Array;
  /** `F_TRANSLATION` …, or `UNKNOWN`. */
  readonly event: string;
  /** The device, or `(unassigned sid)`. */
  readonly client: string;
  readonly sid: number;
  readonly ssid: number;
}

/** A page request that nobody handles. */
export interface PageRequestRecord {
  readonly smmu: string;
  readonly sid: number;
  /** 0 without one. */
  readonly ssid: number;
  readonly group: number;
  readonly last: boolean;
  readonly privileged: boolean;
  readonly read: boolean;
  readonly write: boolean;
  readonly exec: boolean;
  readonly addr: bigint;
}

const NAMES = new Map<number, string>(Object.entries(EVENT).map(([name, id]) => [id, name]));
const F = FaultEvent.f;
const FETCHES: readonly number[] = [EVENT.F_STE_FETCH, EVENT.F_CD_FETCH, EVENT.F_VMS_FETCH];
const CLASSES = ['CD fetch', 'Stage 1 translation table fetch', 'Input address caused fault', 'Reserved'];
/** TTRnW of F_PERMISSION in the second 64-bit word: bit 44. */
const TABLE_READ = 1 << 12;

/** An event's name, `UNKNOWN` for one that the architecture does not have. */
export function eventName(id: number): string {
  return NAMES.get(id) ?? 'UNKNOWN';
}

/** An event that nobody handles: the record, and what it says (smmuv3.md 7.1). */
export const smmuEvent: TracePoint<EventRecord> = tracepoint('smmu_event', (r) => {
  const { words, event, client, sid, ssid } = r;
  const raw = [0, 2, 4, 6].map((at) => hex64(words, at)).join(' ');
  const head = `event: ${event} client: ${client} sid: ${hex(sid)} ssid: ${hex(ssid)}`;
  return `${r.smmu}: event ${hex(words[0]! & 0xff, 2)} received: ${raw} ${head}${details(words)}`;
});

function details(words: Uint32Array): string {
  const id = EventHeader.f.eventId.get(words);
  if (FETCHES.includes(id)) return ` fetch_addr: ${hexPair(words[7]! & 0xffffff, (words[6]! & ~7) >>> 0)}`;
  if (id < EVENT.F_TRANSLATION || id > EVENT.F_PERMISSION) return '';
  const iova = hexPair(words[5]!, words[4]!);
  const ipa = hexPair(words[7]! & 0xfffff, (words[6]! & ~0xfff) >>> 0);
  return ` iova: ${iova} ipa: ${F.s2.get(words) === 1 ? ipa : '0x0'} ${access(words, id)}`;
}

/** The second line of a fault (smmuv3.md 5.2, 7.1). */
function access(words: Uint32Array, id: number): string {
  const table = id === EVENT.F_PERMISSION && F.class.get(words) === 1;
  const [who, what] = [F.pnu.get(words) === 1 ? 'priv' : 'unpriv', F.ind.get(words) === 1 ? 'inst' : 'data'];
  const [how, stage] = [F.rnw.get(words) === 1 ? 'read' : 'write', F.s2.get(words) === 1 ? 's2' : 's1'];
  const walk = table ? ` ttd_${(words[3]! & TABLE_READ) === 0 ? 'write' : 'read'}` : '';
  const stall = F.stall.get(words) === 1 ? ' stall' : '';
  return `${who} ${what} ${how} ${stage} "${CLASSES[F.class.get(words)]}"${walk}${stall} stag: ${hex(F.stag.get(words))}`;
}

/** A page request that nobody handles (smmuv3.md 7.1). */
export const smmuPageRequest: TracePoint<PageRequestRecord> = tracepoint('smmu_page_request', (r) => {
  const rights = (r.read ? 'R' : '') + (r.write ? 'W' : '') + (r.exec ? 'X' : '');
  const what = `${r.privileged ? '' : 'un'}privileged ${rights} access at iova 0x${r.addr.toString(16).padStart(16, '0')}`;
  const from = `sid ${hex(r.sid, 8)}.${hex(r.ssid, 5)}: [${r.group}${r.last ? 'L' : ''}]`;
  return `${r.smmu}: unexpected PRI request received: ${from} ${what}`;
});
