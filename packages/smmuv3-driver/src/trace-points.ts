import { type TracePoint, tracepoint } from '@iommukit/kernel';

/** A device and the PASID it uses. */
export interface BondRecord {
  readonly dev: string;
  readonly pasid: number;
}

/** A PASID whose address space has something to tell. */
export interface PasidRecord {
  readonly pasid: number;
}

/** An invalidated range, half-open. */
export interface InvalidateRecord {
  readonly pasid: number;
  readonly start: bigint;
  readonly end: bigint;
}

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

/** The hardware stopped at a command. */
export interface CommandErrorRecord {
  readonly smmu: string;
  /** The consumer index register. */
  readonly cons: number;
  readonly error: number;
  /** The words of an illegal command. */
  readonly command: Uint32Array | null;
}

/** Global errors that became active. */
export interface GlobalErrorRecord {
  readonly smmu: string;
  /** GERROR bits. */
  readonly active: number;
}

/** A queue that overflowed: `PRIQ`, `EVTQ`. */
export interface OverflowRecord {
  readonly smmu: string;
  readonly queue: string;
}

const bond = (name: string): TracePoint<BondRecord> => tracepoint(name, (r) => `dev=${r.dev} pasid=${r.pasid}`);
const pasid = (name: string): TracePoint<PasidRecord> => tracepoint(name, (r) => `pasid=${r.pasid}`);

/** A new bond, its context descriptor written (sva-core.md 8). */
export const smmuBindAlloc = bond('smmu_bind_alloc');
/** One more reference to a bond. */
export const smmuBindGet = bond('smmu_bind_get');
/** One reference less, not the last. */
export const smmuUnbindPut = bond('smmu_unbind_put');
/** The last reference of a bond was dropped. */
export const smmuUnbindFree = bond('smmu_unbind_free');
/** A notifier object for a new (domain, mm). */
export const smmuMnAlloc = pasid('smmu_mn_alloc');
/** One more user of a notifier object. */
export const smmuMnGet = pasid('smmu_mn_get');
/** One user less, not the last. */
export const smmuMnPut = pasid('smmu_mn_put');
/** The last user of a notifier object is gone. */
export const smmuMnFree = pasid('smmu_mn_free');
/** The release callback did its work. */
export const smmuMmRelease = pasid('smmu_mm_release');

/** The invalidate callback runs for [start, end). */
export const smmuMmInvalidate = tracepoint<InvalidateRecord>(
  'smmu_mm_invalidate',
  (r) => `pasid=${r.pasid} start=0x${r.start.toString(16)} end=0x${r.end.toString(16)}`,
);

/** An event that nobody handles (smmuv3.md 7.1). */
export const smmuEvent = tracepoint<EventRecord>('smmu_event', (r) => {
  const qwords = [0, 2, 4, 6].map((i) => hex(r.words[i + 1]!, 8) + hex(r.words[i]!, 8).slice(2)).join(' ');
  const { event, client, sid, ssid } = r;
  return `${r.smmu}: event ${hex(r.words[0]! & 0xff, 2)} received: ${qwords} event: ${event} client: ${client} sid: ${hex(sid)} ssid: ${hex(ssid)}`;
});

const COMMAND_ERRORS = ['No error', 'Illegal command', 'Abort on command fetch', 'ATC invalidate timeout'];

/** A command error, and what is done about it (smmuv3.md 7.1). */
export const smmuCommandError = tracepoint<CommandErrorRecord>('smmu_cmdq_error', (r) => {
  const words = r.command;
  const skipped =
    words === null
      ? ''
      : `: skipping command in error state: ${hex(words[1]!, 8)}${hex(words[0]!, 8).slice(2)} ${hex(words[3]!, 8)}${hex(words[2]!, 8).slice(2)}`;
  return `${r.smmu}: CMDQ error (cons ${hex(r.cons, 8)}): ${COMMAND_ERRORS[r.error] ?? 'Unknown'}${skipped}`;
});

/** Global errors (smmuv3.md 1.6). */
export const smmuGlobalError = tracepoint<GlobalErrorRecord>(
  'smmu_gerror',
  (r) => `${r.smmu}: unexpected global error reported (${hex(r.active, 8)}), this could be serious`,
);

/** Records were lost. */
export const smmuOverflow = tracepoint<OverflowRecord>(
  'smmu_overflow',
  (r) => `${r.smmu}: ${r.queue} overflow detected -- ${r.queue === 'PRIQ' ? 'requests' : 'events'} lost`,
);

function hex(value: number, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}
