import { type AnyLayout, address, bit, bits, dw, enumOf, named, preset, reserved, table } from '@iommukit/bitfield';
import { SHAREABILITY } from './values.js';

/** Command opcodes, dw0[7:0]; 0x80 to 0x8f are implementation defined, any other is CERROR_ILL (smmuv3.md 4.1). */
export const OPCODE = enumOf({
  PREFETCH_CONFIG: 0x01,
  PREFETCH_ADDR: 0x02,
  CFGI_STE: 0x03,
  CFGI_STE_RANGE: 0x04,
  CFGI_CD: 0x05,
  CFGI_CD_ALL: 0x06,
  CFGI_VMS_PIDM: 0x07,
  TLBI_NH_ALL: 0x10,
  TLBI_NH_ASID: 0x11,
  TLBI_NH_VA: 0x12,
  TLBI_NH_VAA: 0x13,
  TLBI_EL3_ALL: 0x18,
  TLBI_EL3_VA: 0x1a,
  TLBI_EL2_ALL: 0x20,
  TLBI_EL2_ASID: 0x21,
  TLBI_EL2_VA: 0x22,
  TLBI_EL2_VAA: 0x23,
  TLBI_S12_VMALL: 0x28,
  TLBI_S2_IPA: 0x2a,
  TLBI_NSNH_ALL: 0x30,
  ATC_INV: 0x40,
  PRI_RESP: 0x41,
  RESUME: 0x44,
  STALL_TERM: 0x45,
  SYNC: 0x46,
  TLBI_S_EL2_ALL: 0x50,
  TLBI_S_EL2_ASID: 0x51,
  TLBI_S_EL2_VA: 0x52,
  TLBI_S_EL2_VAA: 0x53,
  TLBI_S_S12_VMALL: 0x58,
  TLBI_S_S2_IPA: 0x5a,
  TLBI_SNH_ALL: 0x60,
  DPTI_ALL: 0x70,
  DPTI_PA: 0x73,
});

/** CMDQ_CONS.ERR: why the command queue stopped (smmuv3.md 4.4). */
export const CERROR = enumOf({ NONE: 0, ILL: 1, ABT: 2, ATC_INV_SYNC: 3 });

/** CMD_SYNC.CS: how completion is signalled; 3 is CERROR_ILL (smmuv3.md 4.2). */
export const SYNC_CS = enumOf({ NONE: 0, IRQ: 1, SEV: 2 });

/** TLBI TG: granule of a range command; NONE: not a range command. Not the encoding of CD.TG0 (smmuv3.md 4.2). */
export const TLBI_TG = enumOf({ NONE: 0, GRANULE_4K: 1, GRANULE_16K: 2, GRANULE_64K: 3 });

/** CMD_PRI_RESP.Resp; 3 is CERROR_ILL (smmuv3.md 4.2). */
export const PRI_RESP = enumOf({ FAILURE: 0, INVALID: 1, SUCCESS: 2 });

/** PCIe response codes that {@link PRI_RESP} is sent as, by Resp (smmuv3.md 4.2). */
export const PRI_RESP_PCIE: readonly number[] = [0b1111, 0b0001, 0b0000];

/** CMD_CFGI_STE_RANGE.Range that means every StreamID: CFGI_ALL (smmuv3.md 4.1). */
export const RANGE_ALL = 31;

/** CMD_ATC_INV.Size that means the whole address space (smmuv3.md 4.2). */
export const ATC_SIZE_ALL = 52;

/** Bytes of a command (smmuv3.md 4). */
export const COMMAND_BYTES = 16;

const options = { ref: 'smmuv3.md 4.2', gaps: 'reserved-zero' } as const;
const opcode = (value: number) => ({ opcode: preset(value, named('Opcode', bits(7, 0, OPCODE, 'the command'))) });
const ssec = { ssec: named('SSec', bit(10, 'Secure stream; CERROR_ILL on the Non-secure queue')) };
const ssv = { ssv: bit(11, 'SSID valid') };
const ssid = { ssid: bits(31, 12, 'SubstreamID') };
const sid = { sid: bits(63, 32, 'StreamID') };
const vmid = { vmid: bits(47, 32, 'VMID') };
const asid = { asid: bits(63, 48, 'ASID') };
const range = {
  num: bits(16, 12, 'range is (NUM+1) << SCALE granules'),
  scale: bits(24, 20, 'range is (NUM+1) << SCALE granules'),
};
const leaf = { leaf: named('Leaf', bit(0, 'last level only')) };
const where = (top: number) => ({
  ...leaf,
  ttl: bits(9, 8, 'level of the leaf; 0 any'),
  tg: bits(11, 10, TLBI_TG, 'granule of a range'),
  addr: named('Address', address(top, 12, 'first page')),
});

/** What every command has in common: enough to find its declaration in {@link COMMANDS}. */
export const Command = table(
  'command',
  COMMAND_BYTES,
  { ref: 'smmuv3.md 4.2', gaps: 'reserved-preserve' },
  {
    ...opcode(0),
    ...ssec,
  },
);

/** A hint to fetch STE and CD. */
export const PrefetchConfig = table('CMD_PREFETCH_CONFIG', COMMAND_BYTES, options, {
  ...opcode(OPCODE.PREFETCH_CONFIG),
  ...ssec,
  ...ssv,
  ...ssid,
  ...sid,
});

/** A hint to fetch translations. */
export const PrefetchAddr = table('CMD_PREFETCH_ADDR', COMMAND_BYTES, options, {
  ...opcode(OPCODE.PREFETCH_ADDR),
  ...ssec,
  ...ssv,
  ...ssid,
  ...sid,
  ...dw(1, {
    size: named('Size', bits(4, 0, 'how much')),
    stride: named('Stride', bits(9, 5, 'how far apart')),
    flags: named('NS/flags', bits(11, 10, 'security')),
    addr: named('Address', address(63, 12, 'first page')),
  }),
});

/** Invalidates a cached STE, and the CDs reached through it. Leaf=0: level-1 descriptors too. */
export const CfgiSte = table('CMD_CFGI_STE', COMMAND_BYTES, options, {
  ...opcode(OPCODE.CFGI_STE),
  ...ssec,
  ...sid,
  ...dw(1, leaf),
});

const steRange = named('Range', bits(4, 0, 'covers 2^(Range+1) aligned StreamIDs; 31 all'));

/** Invalidates a range of cached STEs, and the CDs reached through them. */
export const CfgiSteRange = table('CMD_CFGI_STE_RANGE', COMMAND_BYTES, options, {
  ...opcode(OPCODE.CFGI_STE_RANGE),
  ...ssec,
  ...sid,
  ...dw(1, { range: steRange }),
});

/** Invalidates all cached configuration: CFGI_STE_RANGE with Range 31. */
export const CfgiAll = table('CMD_CFGI_ALL', COMMAND_BYTES, options, {
  ...opcode(OPCODE.CFGI_STE_RANGE),
  ...ssec,
  ...sid,
  ...dw(1, { range: preset(RANGE_ALL, steRange) }),
});

/** Invalidates a cached CD. Leaf=0: level-1 descriptors too. */
export const CfgiCd = table('CMD_CFGI_CD', COMMAND_BYTES, options, {
  ...opcode(OPCODE.CFGI_CD),
  ...ssec,
  ...ssid,
  ...sid,
  ...dw(1, leaf),
});

/** Invalidates all cached CDs of a stream. */
export const CfgiCdAll = table('CMD_CFGI_CD_ALL', COMMAND_BYTES, options, {
  ...opcode(OPCODE.CFGI_CD_ALL),
  ...ssec,
  ...sid,
});

/** Invalidates all NS-EL1 entries of a VMID. */
export const TlbiNhAll = table('CMD_TLBI_NH_ALL', COMMAND_BYTES, options, { ...opcode(OPCODE.TLBI_NH_ALL), ...vmid });

/** Invalidates the non-global NS-EL1 entries of an ASID. */
export const TlbiNhAsid = table('CMD_TLBI_NH_ASID', COMMAND_BYTES, options, {
  ...opcode(OPCODE.TLBI_NH_ASID),
  ...vmid,
  ...asid,
});

/** Invalidates NS-EL1 entries of an ASID, and global ones, by address. */
export const TlbiNhVa = table('CMD_TLBI_NH_VA', COMMAND_BYTES, options, {
  ...opcode(OPCODE.TLBI_NH_VA),
  ...range,
  ...vmid,
  ...asid,
  ...dw(1, where(63)),
});

/** Invalidates NS-EL1 entries of any ASID by address. */
export const TlbiNhVaa = table('CMD_TLBI_NH_VAA', COMMAND_BYTES, options, {
  ...opcode(OPCODE.TLBI_NH_VAA),
  ...range,
  ...vmid,
  ...dw(1, where(63)),
});

/** Invalidates all EL2 entries. */
export const TlbiEl2All = table('CMD_TLBI_EL2_ALL', COMMAND_BYTES, options, opcode(OPCODE.TLBI_EL2_ALL));

/** Invalidates the non-global EL2-E2H entries of an ASID. */
export const TlbiEl2Asid = table('CMD_TLBI_EL2_ASID', COMMAND_BYTES, options, {
  ...opcode(OPCODE.TLBI_EL2_ASID),
  ...asid,
});

/** Invalidates EL2 entries of an ASID, and global ones, by address. */
export const TlbiEl2Va = table('CMD_TLBI_EL2_VA', COMMAND_BYTES, options, {
  ...opcode(OPCODE.TLBI_EL2_VA),
  ...range,
  ...asid,
  ...dw(1, where(63)),
});

/** Invalidates EL2 entries of any ASID by address. */
export const TlbiEl2Vaa = table('CMD_TLBI_EL2_VAA', COMMAND_BYTES, options, {
  ...opcode(OPCODE.TLBI_EL2_VAA),
  ...range,
  ...dw(1, where(63)),
});

/** Invalidates stage 1 and stage 2 entries of a VMID. */
export const TlbiS12Vmall = table('CMD_TLBI_S12_VMALL', COMMAND_BYTES, options, {
  ...opcode(OPCODE.TLBI_S12_VMALL),
  ...vmid,
});

/** Invalidates stage 2 entries of a VMID by intermediate physical address. */
export const TlbiS2Ipa = table('CMD_TLBI_S2_IPA', COMMAND_BYTES, options, {
  ...opcode(OPCODE.TLBI_S2_IPA),
  ...range,
  ...vmid,
  ...dw(1, where(55)),
});

/** Invalidates every Non-secure EL1 and stage 2 entry. */
export const TlbiNsnhAll = table('CMD_TLBI_NSNH_ALL', COMMAND_BYTES, options, opcode(OPCODE.TLBI_NSNH_ALL));

/** Invalidates translations that a device caches: 4096 << Size bytes. SSV=0 reaches every PASID. */
export const AtcInv = table('CMD_ATC_INV', COMMAND_BYTES, options, {
  ...opcode(OPCODE.ATC_INV),
  global: named('Global', bit(9, 'Global Invalidate, with SSV=1 only')),
  ...ssec,
  ...ssv,
  ...ssid,
  ...sid,
  ...dw(1, {
    size: named('Size', bits(5, 0, 'log2 of the pages; 52 everything')),
    addr: named('Address', address(63, 12, 'first page; bits below the span are taken as zero')),
  }),
});

/** Answers a page request group. */
export const PriResp = table('CMD_PRI_RESP', COMMAND_BYTES, options, {
  ...opcode(OPCODE.PRI_RESP),
  ...ssec,
  ...ssv,
  ...ssid,
  ...sid,
  ...dw(1, {
    prgIndex: named('PRGIndex', bits(8, 0, 'page request group')),
    resp: named('Resp', bits(13, 12, PRI_RESP, 'the answer')),
  }),
});

/** Lets a stalled transaction go on: Ac=1 retry; Ac=0 with Ab=1 abort, with Ab=0 terminate. */
export const Resume = table('CMD_RESUME', COMMAND_BYTES, options, {
  ...opcode(OPCODE.RESUME),
  ...ssec,
  ac: named('Ac', bit(12, 'retry')),
  ab: named('Ab', bit(13, 'abort, else terminate')),
  ...sid,
  ...dw(1, { stag: bits(15, 0, 'which stalled transaction') }),
});

/** Terminates every stalled transaction of a stream. */
export const StallTerm = table('CMD_STALL_TERM', COMMAND_BYTES, options, {
  ...opcode(OPCODE.STALL_TERM),
  ...ssec,
  ...sid,
});

/** Completes when all earlier commands that are waited for have completed. */
export const Sync = table('CMD_SYNC', COMMAND_BYTES, options, {
  ...opcode(OPCODE.SYNC),
  cs: bits(13, 12, SYNC_CS, 'how completion is signalled'),
  msh: bits(23, 22, SHAREABILITY, 'shareability of the MSI'),
  msiattr: named('MSIATTR', bits(27, 24, 'memory type of the MSI')),
  msidata: named('MSIDATA', bits(63, 32, 'what the MSI writes')),
  ...dw(1, {
    msiaddr: named('MSIADDRESS', address(51, 2, 'where the MSI is written; 0: none')),
    msiaddrTop: reserved(55, 52, 'MSIADDRESS[55:52] of 56-bit physical addresses'),
  }),
});

/**
 * The declaration of each command by opcode. Secure, EL3, DPT and VMS commands are not described and not in here; on a
 * Non-secure queue a driver has no use for them.
 */
export const COMMANDS: Readonly<Partial<Record<number, AnyLayout>>> = {
  [OPCODE.PREFETCH_CONFIG]: PrefetchConfig,
  [OPCODE.PREFETCH_ADDR]: PrefetchAddr,
  [OPCODE.CFGI_STE]: CfgiSte,
  [OPCODE.CFGI_STE_RANGE]: CfgiSteRange,
  [OPCODE.CFGI_CD]: CfgiCd,
  [OPCODE.CFGI_CD_ALL]: CfgiCdAll,
  [OPCODE.TLBI_NH_ALL]: TlbiNhAll,
  [OPCODE.TLBI_NH_ASID]: TlbiNhAsid,
  [OPCODE.TLBI_NH_VA]: TlbiNhVa,
  [OPCODE.TLBI_NH_VAA]: TlbiNhVaa,
  [OPCODE.TLBI_EL2_ALL]: TlbiEl2All,
  [OPCODE.TLBI_EL2_ASID]: TlbiEl2Asid,
  [OPCODE.TLBI_EL2_VA]: TlbiEl2Va,
  [OPCODE.TLBI_EL2_VAA]: TlbiEl2Vaa,
  [OPCODE.TLBI_S12_VMALL]: TlbiS12Vmall,
  [OPCODE.TLBI_S2_IPA]: TlbiS2Ipa,
  [OPCODE.TLBI_NSNH_ALL]: TlbiNsnhAll,
  [OPCODE.ATC_INV]: AtcInv,
  [OPCODE.PRI_RESP]: PriResp,
  [OPCODE.RESUME]: Resume,
  [OPCODE.STALL_TERM]: StallTerm,
  [OPCODE.SYNC]: Sync,
};
