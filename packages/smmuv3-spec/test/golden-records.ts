/**
 * Which bits each field of a command has, from the fact sheet (4.2): key, 64-bit word, bits. Written out independently of
 * the declarations. Every bit that is not listed is reserved.
 */
const CONFIGURATION = 'opcode dw0 7:0, ssec dw0 10, sid dw0 63:32';
const STREAM = 'opcode dw0 7:0, ssec dw0 10, ssv dw0 11, ssid dw0 31:12, sid dw0 63:32';
const RANGE = 'opcode dw0 7:0, num dw0 16:12, scale dw0 24:20';
const BY_ADDRESS = 'leaf dw1 0, ttl dw1 9:8, tg dw1 11:10, addr dw1 63:12';

export const COMMAND_BITS: Readonly<Record<string, string>> = {
  Command: 'opcode dw0 7:0, ssec dw0 10',
  PrefetchConfig: STREAM,
  PrefetchAddr: `${STREAM}, size dw1 4:0, stride dw1 9:5, flags dw1 11:10, addr dw1 63:12`,
  CfgiSte: `${CONFIGURATION}, leaf dw1 0`,
  CfgiSteRange: `${CONFIGURATION}, range dw1 4:0`,
  CfgiAll: `${CONFIGURATION}, range dw1 4:0`,
  CfgiCd: `${CONFIGURATION}, ssid dw0 31:12, leaf dw1 0`,
  CfgiCdAll: CONFIGURATION,
  TlbiNhAll: 'opcode dw0 7:0, vmid dw0 47:32',
  TlbiNhAsid: 'opcode dw0 7:0, vmid dw0 47:32, asid dw0 63:48',
  TlbiNhVa: `${RANGE}, vmid dw0 47:32, asid dw0 63:48, ${BY_ADDRESS}`,
  TlbiNhVaa: `${RANGE}, vmid dw0 47:32, ${BY_ADDRESS}`,
  TlbiEl2All: 'opcode dw0 7:0',
  TlbiEl2Asid: 'opcode dw0 7:0, asid dw0 63:48',
  TlbiEl2Va: `${RANGE}, asid dw0 63:48, ${BY_ADDRESS}`,
  TlbiEl2Vaa: `${RANGE}, ${BY_ADDRESS}`,
  TlbiS12Vmall: 'opcode dw0 7:0, vmid dw0 47:32',
  TlbiS2Ipa: `${RANGE}, vmid dw0 47:32, leaf dw1 0, ttl dw1 9:8, tg dw1 11:10, addr dw1 55:12`,
  TlbiNsnhAll: 'opcode dw0 7:0',
  AtcInv: `${STREAM}, global dw0 9, size dw1 5:0, addr dw1 63:12`,
  PriResp: `${STREAM}, prgIndex dw1 8:0, resp dw1 13:12`,
  Resume: `${CONFIGURATION}, ac dw0 12, ab dw0 13, stag dw1 15:0`,
  StallTerm: CONFIGURATION,
  Sync: `opcode dw0 7:0, cs dw0 13:12, msh dw0 23:22, msiattr dw0 27:24, msidata dw0 63:32, msiaddr dw1 51:2`,
};

const HEADER = 'eventId dw0 7:0, ssv dw0 11, ssid dw0 31:12, sid dw0 63:32';
const ACCESS = 'pnu dw1 33, ind dw1 34, rnw dw1 35';
const STAGE = 'nsipa dw1 38, s2 dw1 39, class dw1 41:40';
const FETCH = `${HEADER}, reason dw1 15:0, gpcf dw1 16, fetchAddr dw3 55:3`;
const FAULT = `${HEADER}, stag dw1 15:0, stall dw1 31, ${ACCESS}, ${STAGE}, ttrnw dw1 44, inputAddr dw2 63:0,
  ipa dw3 55:12`;

/** The same of event records (5.1, 5.2). */
export const EVENT_BITS: Readonly<Record<string, string>> = {
  EventHeader: HEADER,
  FaultEvent: FAULT,
  FUut: `${HEADER}, reason dw1 15:0, ${ACCESS}, inputAddr dw2 63:0`,
  CBadStreamid: HEADER,
  FSteFetch: FETCH,
  CBadSte: HEADER,
  FBadAtsTreq: `${HEADER}, inputAddr dw2 63:0`,
  FStreamDisabled: 'eventId dw0 7:0, sid dw0 63:32',
  FTranslForbidden: `${HEADER}, rnw dw1 35, inputAddr dw2 63:0`,
  CBadSubstreamid: 'eventId dw0 7:0, ssid dw0 31:12, sid dw0 63:32',
  FCdFetch: FETCH,
  CBadCd: HEADER,
  FWalkEabt: `${HEADER}, reason dw1 15:0, ${ACCESS}, ${STAGE}, inputAddr dw2 63:0, fetchAddr dw3 55:3`,
  FTranslation: FAULT,
  FAddrSize: FAULT,
  FAccess: FAULT,
  FPermission: FAULT,
  FTlbConflict: `${HEADER}, reason dw1 15:0, ${ACCESS}, s2 dw1 39, inputAddr dw2 63:0, ipa dw3 55:12`,
  FCfgConflict: `${HEADER}, reason dw1 15:0`,
  EPageRequest: `${HEADER}, ux dw1 33, uw dw1 34, ur dw1 35, px dw1 37, pw dw1 38, pr dw1 39, span dw1 51:44,
    inputAddr dw2 63:12`,
  FVmsFetch: `${HEADER}, reason dw1 15:0, fetchAddr dw3 55:3`,
};
