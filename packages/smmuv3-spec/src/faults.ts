import {
  type AnyLayout,
  address,
  bit,
  bits,
  dw,
  enumOf,
  named,
  preserved,
  preset,
  table,
  wide,
} from '@iommukit/bitfield';

/** Event numbers; 0xe0 to 0xef are implementation defined (smmuv3.md 5.1). */
export const EVENT = enumOf({
  F_UUT: 0x01,
  C_BAD_STREAMID: 0x02,
  F_STE_FETCH: 0x03,
  C_BAD_STE: 0x04,
  F_BAD_ATS_TREQ: 0x05,
  F_STREAM_DISABLED: 0x06,
  F_TRANSL_FORBIDDEN: 0x07,
  C_BAD_SUBSTREAMID: 0x08,
  F_CD_FETCH: 0x09,
  C_BAD_CD: 0x0a,
  F_WALK_EABT: 0x0b,
  F_TRANSLATION: 0x10,
  F_ADDR_SIZE: 0x11,
  F_ACCESS: 0x12,
  F_PERMISSION: 0x13,
  F_TLB_CONFLICT: 0x20,
  F_CFG_CONFLICT: 0x21,
  E_PAGE_REQUEST: 0x24,
  F_VMS_FETCH: 0x25,
});

/** CLASS of a fault: what was being translated (smmuv3.md 5.2). */
export const EVENT_CLASS = enumOf({ CD: 0, TT: 1, IN: 2 });

/** Events about configuration rather than an address: the transaction is aborted whatever CD.A, R and S say (smmuv3.md 5.3). */
export const CONFIGURATION_ERRORS: readonly number[] = [
  EVENT.C_BAD_STREAMID,
  EVENT.F_STE_FETCH,
  EVENT.C_BAD_STE,
  EVENT.F_STREAM_DISABLED,
  EVENT.C_BAD_SUBSTREAMID,
  EVENT.F_CD_FETCH,
  EVENT.C_BAD_CD,
  EVENT.F_CFG_CONFLICT,
  EVENT.F_VMS_FETCH,
];

/** The faults that CD.A, R and S act on, and that may therefore stall (smmuv3.md 2.4). */
export const STALLABLE_FAULTS: readonly number[] = [
  EVENT.F_TRANSLATION,
  EVENT.F_ADDR_SIZE,
  EVENT.F_ACCESS,
  EVENT.F_PERMISSION,
];

/** Bytes of an event record (smmuv3.md 5.1). */
export const EVENT_BYTES = 32;

const options = (section: string) => ({ ref: `smmuv3.md ${section}`, gaps: 'reserved-zero' }) as const;
const eventId = (id: number) => ({ eventId: preset(id, named('EventID', bits(7, 0, EVENT, 'the event'))) });
const ssv = { ssv: bit(11, 'SSID valid') };
const ssid = { ssid: bits(31, 12, 'SubstreamID') };
const sid = { sid: bits(63, 32, 'StreamID') };
const header = (id: number) => ({ ...eventId(id), ...ssv, ...ssid, ...sid });
const reason = { reason: named('Reason', bits(15, 0, 'implementation defined')) };
const access = {
  pnu: named('PnU', bit(33, 'privileged')),
  ind: named('InD', bit(34, 'instruction; 0 for writes')),
  rnw: named('RnW', bit(35, 'read')),
};
const stage = {
  nsipa: bit(38, 'Non-secure IPA, Secure streams only'),
  s2: bit(39, 'fault at stage 2'),
  class: bits(41, 40, EVENT_CLASS, 'what was being translated'),
};
const inputAddr = { inputAddr: named('InputAddr', wide(63, 0, 'byte address of the transaction')) };
const ipa = { ipa: address(55, 12, 'intermediate physical page, valid with S2=1') };
const fetchAddr = { fetchAddr: named('FetchAddr', address(55, 3, 'what could not be fetched')) };
const fault = {
  ...dw(1, {
    stag: bits(15, 0, 'names the stalled transaction'),
    stall: named('Stall', bit(31, 'stalled, waits for RESUME')),
    ...access,
    ...stage,
    ttrnw: named('TTRnW', bit(44, 'F_PERMISSION with CLASS=TT: 1 read')),
  }),
  ...dw(2, inputAddr),
  ...dw(3, ipa),
};

const plain = (name: string, id: number) => table(name, EVENT_BYTES, options('5.1'), header(id));
const fetch = (name: string, id: number) =>
  table(name, EVENT_BYTES, options('5.1'), {
    ...header(id),
    ...dw(1, { ...reason, gpcf: bit(16, 'granule protection check fault') }),
    ...dw(3, fetchAddr),
  });
const full = (name: string, id: number) => table(name, EVENT_BYTES, options('5.2'), { ...header(id), ...fault });

/** What every event record has in common: enough to find its declaration in {@link EVENTS}. */
export const EventHeader = table('event', EVENT_BYTES, { ref: 'smmuv3.md 5.1', gaps: 'reserved-preserve' }, header(0));

/** The layout that the faults 0x10 to 0x13 share; the event number is given by the caller. */
export const FaultEvent = full('fault', 0);

/** Unsupported upstream transaction. */
export const FUut = table('F_UUT', EVENT_BYTES, options('5.1'), {
  ...header(EVENT.F_UUT),
  ...dw(1, { ...reason, ...access }),
  ...dw(2, inputAddr),
});
/** The StreamID is outside the table; recorded only with CR2.RECINVSID. */
export const CBadStreamid = plain('C_BAD_STREAMID', EVENT.C_BAD_STREAMID);
/** An STE could not be fetched. */
export const FSteFetch = fetch('F_STE_FETCH', EVENT.F_STE_FETCH);
/** The STE is ILLEGAL. */
export const CBadSte = plain('C_BAD_STE', EVENT.C_BAD_STE);
/** An ATS request that is not allowed. The positions of its flags are not established: they stay undecoded. */
export const FBadAtsTreq = table('F_BAD_ATS_TREQ', EVENT_BYTES, options('5.1, D-15'), {
  ...header(EVENT.F_BAD_ATS_TREQ),
  ...dw(1, { undecoded: preserved(63, 0, 'R, W, X, PRIV requested and Span; positions not established') }),
  ...dw(2, inputAddr),
});
/** Traffic without SSID that is terminated, or with SSID 0 when CD 0 is for traffic without. */
export const FStreamDisabled = table('F_STREAM_DISABLED', EVENT_BYTES, options('5.1'), {
  ...eventId(EVENT.F_STREAM_DISABLED),
  ...sid,
});
/** Translated traffic that the STE does not allow. */
export const FTranslForbidden = table('F_TRANSL_FORBIDDEN', EVENT_BYTES, options('5.1'), {
  ...header(EVENT.F_TRANSL_FORBIDDEN),
  ...dw(1, { rnw: access.rnw }),
  ...dw(2, inputAddr),
});
/** The SubstreamID is outside the CD table; SSID is always valid. */
export const CBadSubstreamid = table('C_BAD_SUBSTREAMID', EVENT_BYTES, options('5.1'), {
  ...eventId(EVENT.C_BAD_SUBSTREAMID),
  ...ssid,
  ...sid,
});
/** A CD could not be fetched. */
export const FCdFetch = fetch('F_CD_FETCH', EVENT.F_CD_FETCH);
/** The CD is ILLEGAL. */
export const CBadCd = plain('C_BAD_CD', EVENT.C_BAD_CD);
/** A table walk met an abort. */
export const FWalkEabt = table('F_WALK_EABT', EVENT_BYTES, options('5.1'), {
  ...header(EVENT.F_WALK_EABT),
  ...dw(1, { ...reason, ...access, ...stage }),
  ...dw(2, inputAddr),
  ...dw(3, fetchAddr),
});
/** No translation. */
export const FTranslation = full('F_TRANSLATION', EVENT.F_TRANSLATION);
/** An output address is too large. */
export const FAddrSize = full('F_ADDR_SIZE', EVENT.F_ADDR_SIZE);
/** The Access flag is 0. */
export const FAccess = full('F_ACCESS', EVENT.F_ACCESS);
/** The access is not permitted. */
export const FPermission = full('F_PERMISSION', EVENT.F_PERMISSION);
/** Two TLB entries match. */
export const FTlbConflict = table('F_TLB_CONFLICT', EVENT_BYTES, options('5.1'), {
  ...header(EVENT.F_TLB_CONFLICT),
  ...dw(1, { ...reason, ...access, s2: stage.s2 }),
  ...dw(2, inputAddr),
  ...dw(3, ipa),
});
/** Two configuration cache entries match. */
export const FCfgConflict = table('F_CFG_CONFLICT', EVENT_BYTES, options('5.1'), {
  ...header(EVENT.F_CFG_CONFLICT),
  ...dw(1, reason),
});
/** A hint that a page will be needed; needs no response. */
export const EPageRequest = table('E_PAGE_REQUEST', EVENT_BYTES, options('5.1'), {
  ...header(EVENT.E_PAGE_REQUEST),
  ...dw(1, {
    ux: named('uX', bit(33, 'unprivileged execute')),
    uw: named('uW', bit(34, 'unprivileged write')),
    ur: named('uR', bit(35, 'unprivileged read')),
    px: named('pX', bit(37, 'privileged execute')),
    pw: named('pW', bit(38, 'privileged write')),
    pr: named('pR', bit(39, 'privileged read')),
    span: named('Span', bits(51, 44, 'pages')),
  }),
  ...dw(2, { inputAddr: named('InputAddr', address(63, 12, 'first page')) }),
});
/** A virtual machine structure could not be fetched. */
export const FVmsFetch = table('F_VMS_FETCH', EVENT_BYTES, options('5.1'), {
  ...header(EVENT.F_VMS_FETCH),
  ...dw(1, reason),
  ...dw(3, fetchAddr),
});

/** The declaration of each event record by event number. */
export const EVENTS: Readonly<Partial<Record<number, AnyLayout>>> = {
  [EVENT.F_UUT]: FUut,
  [EVENT.C_BAD_STREAMID]: CBadStreamid,
  [EVENT.F_STE_FETCH]: FSteFetch,
  [EVENT.C_BAD_STE]: CBadSte,
  [EVENT.F_BAD_ATS_TREQ]: FBadAtsTreq,
  [EVENT.F_STREAM_DISABLED]: FStreamDisabled,
  [EVENT.F_TRANSL_FORBIDDEN]: FTranslForbidden,
  [EVENT.C_BAD_SUBSTREAMID]: CBadSubstreamid,
  [EVENT.F_CD_FETCH]: FCdFetch,
  [EVENT.C_BAD_CD]: CBadCd,
  [EVENT.F_WALK_EABT]: FWalkEabt,
  [EVENT.F_TRANSLATION]: FTranslation,
  [EVENT.F_ADDR_SIZE]: FAddrSize,
  [EVENT.F_ACCESS]: FAccess,
  [EVENT.F_PERMISSION]: FPermission,
  [EVENT.F_TLB_CONFLICT]: FTlbConflict,
  [EVENT.F_CFG_CONFLICT]: FCfgConflict,
  [EVENT.E_PAGE_REQUEST]: EPageRequest,
  [EVENT.F_VMS_FETCH]: FVmsFetch,
};
