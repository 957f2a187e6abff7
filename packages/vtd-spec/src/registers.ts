import { address, bit, bits, reg32, reg64, ro, w1c, wide } from '@iommukit/bitfield';
import { CONTEXT_GRANULARITY, FUNCTION_MASK, IOTLB_GRANULARITY, IQEI, TTM } from './values.js';

const rsvdz = (ref: string) => ({ ref: `vtd.md ${ref}`, gaps: 'reserved-zero' }) as const;

/** Global command, write-only (it reads 0): software writes its level bits with one change at a time and polls {@link GSTS}. */
export const GCMD = reg32('GCMD', 0x018, rsvdz('1.4'), {
  cfi: bit(23, 'level: compatibility-format interrupts'),
  sirtp: bit(24, 'once: latch IRTA'),
  ire: bit(25, 'level: interrupt remapping'),
  qie: bit(26, 'level: queued invalidation'),
  wbf: bit(27, 'once: flush write buffers'),
  eafl: bit(28, 'level: advanced fault logging'),
  sfl: bit(29, 'once: advanced fault log pointer'),
  srtp: bit(30, 'once: latch RTADDR, address and TTM'),
  te: bit(31, 'level: translation'),
});

/** Global status: what of {@link GCMD} has taken effect, bit by bit. */
export const GSTS = reg32('GSTS', 0x01c, rsvdz('1.4'), {
  cfis: ro(23, 'compatibility-format interrupts'),
  irtps: ro(24, 'IRTA latched'),
  ires: ro(25, 'interrupt remapping on'),
  qies: ro(26, 'queued invalidation on'),
  wbfs: ro(27, 'write buffers are being flushed'),
  afls: ro(28, 'advanced fault logging on'),
  fls: ro(29, 'advanced fault log pointer set'),
  rtps: ro(30, 'RTADDR latched'),
  tes: ro(31, 'translation on'),
});

/** The level bits of {@link GCMD}, which every write repeats: TE, EAFL, QIE, IRE, CFI (vtd.md 1.4). */
export const GCMD_LEVELS = 0x96800000;

/** The root table; takes effect at GCMD.SRTP. TTM is judged when a request is processed, not when it is written. */
export const RTADDR = reg64('RTADDR', 0x020, rsvdz('1.5'), {
  ttm: bits(11, 10, TTM, 'what the root table is'),
  rta: address(63, 12, 'root table'),
});

/** Register-based context-cache invalidation, while queued invalidation is off. */
export const CCMD = reg64('CCMD', 0x028, rsvdz('1.6'), {
  did: bits(15, 0, 'domain'),
  sid: bits(31, 16, 'requester'),
  fm: bits(33, 32, FUNCTION_MASK, 'function bits of SID that are not compared'),
  caig: ro(bits(60, 59, CONTEXT_GRANULARITY, 'what was done; 0 failed')),
  cirg: bits(62, 61, CONTEXT_GRANULARITY, 'what to do'),
  icc: bit(63, '1 starts, the unit clears it when done'),
});

/** Faults and queue errors. Before spec 3.0 bit 7 was the page-request overflow, now PRS.PRO. */
export const FSTS = reg32('FSTS', 0x034, rsvdz('1.8'), {
  pfo: w1c(0, 'fault records overflowed'),
  ppf: ro(1, 'some fault record has F=1'),
  afo: w1c(2, 'advanced log overflowed'),
  apf: w1c(3, 'advanced log pending'),
  iqe: w1c(4, 'invalidation queue error: the queue stands at IQH'),
  ice: w1c(5, 'bad device-TLB completion'),
  ite: w1c(6, 'device-TLB invalidation time-out'),
  pro: w1c(7, 'page-request overflow, extended mode only'),
  fri: ro(bits(15, 8, 'first pending record, valid with PPF=1')),
});

const event = (ip: string) => ({
  ip: ro(30, ip),
  im: bit(31, 'masked: an event sets IP and its message is held until IM is cleared'),
});
const messageData = { data: bits(31, 0, 'what the message writes; [31:16] reserved in newer units') };
const messageAddress = { addr: address(31, 2, 'where the message is written') };
const upperAddress = { upper: bits(31, 0, 'upper half of the message address; reserved without ECAP.EIM') };

/** Fault event control. The three event blocks FE, IE and PE have one shape (vtd.md 1.1). */
export const FECTL = reg32('FECTL', 0x038, { ...rsvdz('1.1'), reset: 0x80000000 }, event('a fault event waits'));
/** Fault event message. */
export const FEDATA = reg32('FEDATA', 0x03c, rsvdz('1.1'), messageData);
/** Fault event message address. */
export const FEADDR = reg32('FEADDR', 0x040, rsvdz('1.1'), messageAddress);
/** Fault event message address, upper half. */
export const FEUADDR = reg32('FEUADDR', 0x044, rsvdz('1.1'), upperAddress);

/** Advanced fault log; absent without CAP.AFL, deprecated. */
export const AFLOG = reg64('AFLOG', 0x058, rsvdz('1.1'), {
  fls: bits(11, 9, 'size'),
  fla: address(63, 12, 'log'),
});

/** Protected memory. */
export const PMEN = reg32('PMEN', 0x064, rsvdz('1.1'), {
  prs: ro(0, 'protected regions are in force'),
  epm: bit(31, 'protect'),
});
/** Protected low memory, first. */
export const PLMBASE = reg32('PLMBASE', 0x068, rsvdz('1.1'), { value: bits(31, 0, 'bits not described') });
/** Protected low memory, last. */
export const PLMLIMIT = reg32('PLMLIMIT', 0x06c, rsvdz('1.1'), { value: bits(31, 0, 'bits not described') });
/** Protected high memory, first. */
export const PHMBASE = reg64('PHMBASE', 0x070, rsvdz('1.1'), { value: wide(63, 0, 'bits not described') });
/** Protected high memory, last. */
export const PHMLIMIT = reg64('PHMLIMIT', 0x078, rsvdz('1.1'), { value: wide(63, 0, 'bits not described') });

/** Where the unit reads the next invalidation descriptor, in bytes. */
export const IQH = reg64('IQH', 0x080, rsvdz('1.9'), {
  qh: ro(address(18, 4, 'byte offset; with DW=1 bit 4 is reserved')),
});
/** Where software writes the next invalidation descriptor, in bytes. */
export const IQT = reg64('IQT', 0x088, rsvdz('1.9'), {
  qt: address(18, 4, 'byte offset; with DW=1 bit 4 must be 0, else IQE with IQEI 6'),
});
/** The invalidation queue: 4096 * 2^QS bytes. */
export const IQA = reg64('IQA', 0x090, rsvdz('1.9'), {
  qs: bits(2, 0, 'descriptors are 2^(QS+8), with DW=1 2^(QS+7)'),
  dw: bit(11, 'descriptors have 256 bits; must be 1 in scalable and abort mode'),
  iqa: address(63, 12, 'queue'),
});
/** Completion of an invalidation wait. */
export const ICS = reg32('ICS', 0x09c, rsvdz('1.1'), { iwc: w1c(0, 'a wait with IF=1 completed') });

/** Invalidation event control. */
export const IECTL = reg32('IECTL', 0x0a0, { ...rsvdz('1.1'), reset: 0x80000000 }, event('a completion event waits'));
/** Invalidation event message. */
export const IEDATA = reg32('IEDATA', 0x0a4, rsvdz('1.1'), messageData);
/** Invalidation event message address. */
export const IEADDR = reg32('IEADDR', 0x0a8, rsvdz('1.1'), messageAddress);
/** Invalidation event message address, upper half. */
export const IEUADDR = reg32('IEUADDR', 0x0ac, rsvdz('1.1'), upperAddress);

/** What is known about an error of the invalidation queue. */
export const IQERCD = reg64('IQERCD', 0x0b0, rsvdz('1.9'), {
  iqei: ro(bits(3, 0, IQEI, 'why the queue stopped')),
  itesid: ro(bits(47, 32, 'who timed out, valid with FSTS.ITE=1; 0 in old units')),
  icesid: ro(bits(63, 48, 'whose completion was bad, valid with FSTS.ICE=1')),
});

/** The interrupt remapping table; takes effect at GCMD.SIRTP. */
export const IRTA = reg64('IRTA', 0x0b8, rsvdz('1.1'), {
  s: bits(3, 0, 'entries are 2^(S+1)'),
  eime: bit(11, 'x2APIC destinations'),
  irta: address(63, 12, 'table'),
});

/** Where software reads the next page request, in bytes. */
export const PQH = reg64('PQH', 0x0c0, rsvdz('1.10'), {
  pqh: address(18, 4, 'byte offset; bit 4 only with the 16-byte entries of the extended mode'),
});
/** Where the unit writes the next page request, in bytes. */
export const PQT = reg64('PQT', 0x0c8, rsvdz('1.10'), {
  pqt: address(18, 4, 'byte offset; bit 4 only with the 16-byte entries of the extended mode'),
});
/** The page request queue: 4096 * 2^PQS bytes. */
export const PQA = reg64('PQA', 0x0d0, rsvdz('1.10'), {
  pqs: bits(2, 0, 'entries are 2^(PQS+7), of 16 bytes 2^(PQS+8)'),
  pqa: address(63, 12, 'queue'),
});
/** Page request status. */
export const PRS = reg32('PRS', 0x0dc, rsvdz('1.10'), {
  ppr: w1c(0, 'a page request was written'),
  pro: w1c(1, 'the page request queue overflowed; in the extended mode FSTS.PRO'),
});

/** Page request event control. That it resets masked is inferred from its twins. */
export const PECTL = reg32('PECTL', 0x0e0, { ...rsvdz('1.1'), reset: 0x80000000 }, event('a page request event waits'));
/** Page request event message. */
export const PEDATA = reg32('PEDATA', 0x0e4, rsvdz('1.1'), messageData);
/** Page request event message address. */
export const PEADDR = reg32('PEADDR', 0x0e8, rsvdz('1.1'), messageAddress);
/** Page request event message address, upper half. */
export const PEUADDR = reg32('PEUADDR', 0x0ec, rsvdz('1.1'), upperAddress);

/** The address of a register-based IOTLB invalidation, write-only. Its offset counts from ECAP.IRO*16. */
export const IVA = reg64('IVA', 0x000, rsvdz('1.7'), {
  am: bits(5, 0, '2^AM pages'),
  ih: bit(6, 'only leaf entries changed'),
  addr: address(63, 12, 'first page'),
});
/** Register-based IOTLB invalidation. Its offset counts from ECAP.IRO*16. */
export const IOTLB = reg64('IOTLB', 0x008, rsvdz('1.7'), {
  did: bits(47, 32, 'domain'),
  dw: bit(48, 'drain writes'),
  dr: bit(49, 'drain reads'),
  iaig: ro(bits(58, 57, IOTLB_GRANULARITY, 'what was done; 0 failed')),
  iirg: bits(61, 60, IOTLB_GRANULARITY, 'what to do; PAGE uses IVA'),
  ivt: bit(63, '1 starts, the unit clears it when done'),
});
