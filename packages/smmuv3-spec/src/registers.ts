import { type AnyRegister, address, bit, bits, named, reg32, reg64, reserved, ro, wide } from '@iommukit/bitfield';
import { AIDR, IDR0, IDR1, IDR2, IDR3, IDR4, IDR5, IDR6, IIDR } from './identification.js';
import { CR1_CACHE, SHAREABILITY, STRTAB_FMT, STRTAB_SPLIT } from './values.js';

const res0 = (ref: string) => ({ ref: `smmuv3.md ${ref}`, gaps: 'reserved-zero' }) as const;

const cr0 = {
  smmuen: bit(0, 'translation enabled'),
  priqen: bit(1, 'PRI queue enabled; effective only with SMMUEN'),
  eventqen: bit(2, 'event queue enabled'),
  cmdqen: bit(3, 'command queue enabled'),
  atschk: bit(4, 'translated traffic is checked against the STE'),
  vmw: bits(8, 6, 'VMID wildcard'),
  dptWalkEn: bit(10, 'device permission table walks'),
};

/** Control 0: what is enabled; a change has taken effect when {@link CR0ACK} shows it. */
export const CR0 = reg32('CR0', 0x020, res0('1.5'), cr0);

/** What of {@link CR0} has taken effect. */
export const CR0ACK = reg32('CR0ACK', 0x024, res0('1.5'), {
  smmuen: ro(cr0.smmuen),
  priqen: ro(cr0.priqen),
  eventqen: ro(cr0.eventqen),
  cmdqen: ro(cr0.cmdqen),
  atschk: ro(cr0.atschk),
  vmw: ro(cr0.vmw),
  dptWalkEn: ro(cr0.dptWalkEn),
});

/** Control 1: attributes of queue and table accesses. TABLE_* may change while SMMUEN=0, QUEUE_* while no queue is enabled. */
export const CR1 = reg32('CR1', 0x028, res0('1.5'), {
  queueIc: bits(1, 0, CR1_CACHE, 'inner cacheability of queues'),
  queueOc: bits(3, 2, CR1_CACHE, 'outer cacheability of queues'),
  queueSh: bits(5, 4, SHAREABILITY, 'shareability of queues'),
  tableIc: bits(7, 6, CR1_CACHE, 'inner cacheability of tables'),
  tableOc: bits(9, 8, CR1_CACHE, 'outer cacheability of tables'),
  tableSh: bits(11, 10, SHAREABILITY, 'shareability of tables'),
});

/** Control 2; may change while SMMUEN=0. */
export const CR2 = reg32('CR2', 0x02c, res0('1.5'), {
  e2h: bit(0, 'the EL2 StreamWorld is EL2-E2H, with ASIDs'),
  recinvsid: bit(1, 'C_BAD_STREAMID is recorded'),
  ptm: bit(2, 'broadcast TLB maintenance is ignored'),
  recCfgAts: bit(3, 'configuration errors of ATS requests are recorded'),
});

/** Stage 2 permission indirection. */
export const S2PII = reg64('S2PII', 0x030, res0('1.1'), { value: wide(63, 0, 'permission indirection') });

/** Status. */
export const STATUSR = reg32('STATUSR', 0x040, res0('1.1'), { dormant: ro(0, 'nothing is cached or under way') });

/** What happens to traffic while SMMUEN=0. Wait for UPDATE=0, write with UPDATE=1, wait for UPDATE=0. */
export const GBPA = reg32(
  'GBPA',
  0x044,
  { ...res0('1.5'), reset: 0x1000 },
  {
    memAttr: named('MemAttr', bits(3, 0, 'memory type')),
    mtcfg: bit(4, 'override the memory type'),
    alloccfg: bits(11, 8, 'allocation hints'),
    shcfg: bits(13, 12, 'shareability; 1 uses the incoming one'),
    privcfg: bits(17, 16, 'privilege'),
    instcfg: bits(19, 18, 'instruction or data'),
    abort: bit(20, 'abort all traffic'),
    update: bit(31, 'an update is under way'),
  },
);

/** Alternate bypass attributes, implementation defined. */
export const AGBPA = reg32('AGBPA', 0x048, res0('1.1'), { value: bits(31, 0, 'implementation defined') });

const irqs = {
  gerrorIrqen: bit(0, 'global errors'),
  priqIrqen: bit(1, 'PRI queue'),
  eventqIrqen: bit(2, 'event queue'),
};

/** Which interrupts are enabled; a change has taken effect when {@link IRQ_CTRLACK} shows it. */
export const IRQ_CTRL = reg32('IRQ_CTRL', 0x050, res0('1.5'), irqs);

/** What of {@link IRQ_CTRL} has taken effect. */
export const IRQ_CTRLACK = reg32('IRQ_CTRLACK', 0x054, res0('1.5'), {
  gerrorIrqen: ro(irqs.gerrorIrqen),
  priqIrqen: ro(irqs.priqIrqen),
  eventqIrqen: ro(irqs.eventqIrqen),
});

const errors = {
  cmdqErr: bit(0, 'a command failed: see CMDQ_CONS.ERR'),
  eventqAbtErr: bit(2, 'a write to the event queue aborted'),
  priqAbtErr: bit(3, 'a write to the PRI queue aborted'),
  msiCmdqAbtErr: bit(4, 'a CMD_SYNC MSI aborted'),
  msiEventqAbtErr: bit(5, 'an event queue MSI aborted'),
  msiPriqAbtErr: bit(6, 'a PRI queue MSI aborted'),
  msiGerrorAbtErr: bit(7, 'a global error MSI aborted'),
  sfmErr: bit(8, 'service failure mode entered'),
  cmdqpErr: bit(9, 'an enhanced command queue failed'),
  dptErr: bit(10, 'a device permission table lookup failed'),
};

/** Global errors: an error is active while its bit differs from {@link GERRORN}; the SMMU toggles only inactive ones. */
export const GERROR = reg32('GERROR', 0x060, res0('1.6'), {
  cmdqErr: ro(errors.cmdqErr),
  eventqAbtErr: ro(errors.eventqAbtErr),
  priqAbtErr: ro(errors.priqAbtErr),
  msiCmdqAbtErr: ro(errors.msiCmdqAbtErr),
  msiEventqAbtErr: ro(errors.msiEventqAbtErr),
  msiPriqAbtErr: ro(errors.msiPriqAbtErr),
  msiGerrorAbtErr: ro(errors.msiGerrorAbtErr),
  sfmErr: ro(errors.sfmErr),
  cmdqpErr: ro(errors.cmdqpErr),
  dptErr: ro(errors.dptErr),
});

/** Acknowledged global errors: software writes the value it read from {@link GERROR}. */
export const GERRORN = reg32('GERRORN', 0x064, res0('1.6'), errors);

/** The errors that a Linux driver looks at: {@link GERROR} up to SFM_ERR (smmuv3.md 1.6). */
export const GERROR_KNOWN = 0x1fd;

const msiAddress = {
  addr: address(51, 2, 'where the MSI is written; 0: no MSI'),
  addrTop: reserved(55, 52, 'ADDR[55:52] of 56-bit physical addresses'),
};
const msiData = { data: bits(31, 0, 'what the MSI writes') };
const msiAttributes = {
  memAttr: named('MemAttr', bits(3, 0, 'memory type of the MSI')),
  sh: bits(5, 4, SHAREABILITY, 'shareability of the MSI'),
};

/** Where the global error MSI is written. IRQ configuration may change while its interrupt is disabled and acknowledged. */
export const GERROR_IRQ_CFG0 = reg64('GERROR_IRQ_CFG0', 0x068, res0('1.5'), msiAddress);
/** What the global error MSI writes. */
export const GERROR_IRQ_CFG1 = reg32('GERROR_IRQ_CFG1', 0x070, res0('1.5'), msiData);
/** Attributes of the global error MSI. */
export const GERROR_IRQ_CFG2 = reg32('GERROR_IRQ_CFG2', 0x074, res0('1.5'), msiAttributes);

/** The stream table; may change while SMMUEN=0. Effective alignment: smmuv3.md 1.7. */
export const STRTAB_BASE = reg64('STRTAB_BASE', 0x080, res0('1.7'), {
  addr: address(55, 6, 'stream table, or its first level'),
  ra: bit(62, 'read-allocate hint'),
});

/** The shape of the stream table; may change while SMMUEN=0. */
export const STRTAB_BASE_CFG = reg32('STRTAB_BASE_CFG', 0x088, res0('1.7'), {
  log2size: bits(5, 0, 'StreamID bits covered; above SIDSIZE acts as SIDSIZE for the range check'),
  split: bits(10, 6, STRTAB_SPLIT, 'log2 of the STEs in a leaf; unknown values act as 6'),
  fmt: bits(17, 16, STRTAB_FMT, 'levels; reserved values act as linear'),
});

const queueBase = {
  log2size: bits(4, 0, 'log2 of the entries'),
  addr: address(55, 5, 'the queue; effective alignment is its size, at least 32 bytes'),
};

/** The command queue; may change while CMDQEN=0. */
export const CMDQ_BASE = reg64('CMDQ_BASE', 0x090, res0('1.7'), { ...queueBase, ra: bit(62, 'read-allocate hint') });
/** Where software writes the next command. The wrap bit stands at position LOG2SIZE. */
export const CMDQ_PROD = reg32('CMDQ_PROD', 0x098, res0('1.7'), { wr: bits(19, 0, 'write index with wrap bit') });
/** Where the SMMU reads the next command, and why it stopped. */
export const CMDQ_CONS = reg32('CMDQ_CONS', 0x09c, res0('1.7'), {
  rd: bits(19, 0, 'read index with wrap bit'),
  err: bits(30, 24, 'CERROR code, valid while CMDQ_ERR is active'),
});

/** The event queue; may change while EVENTQEN=0. */
export const EVENTQ_BASE = reg64('EVENTQ_BASE', 0x0a0, res0('1.7'), {
  ...queueBase,
  wa: bit(62, 'write-allocate hint'),
});
/** Where the event queue MSI is written. */
export const EVENTQ_IRQ_CFG0 = reg64('EVENTQ_IRQ_CFG0', 0x0b0, res0('1.5'), msiAddress);
/** What the event queue MSI writes. */
export const EVENTQ_IRQ_CFG1 = reg32('EVENTQ_IRQ_CFG1', 0x0b8, res0('1.5'), msiData);
/** Attributes of the event queue MSI. */
export const EVENTQ_IRQ_CFG2 = reg32('EVENTQ_IRQ_CFG2', 0x0bc, res0('1.5'), msiAttributes);

/** The PRI queue; may change while PRIQEN=0. */
export const PRIQ_BASE = reg64('PRIQ_BASE', 0x0c0, res0('1.7'), { ...queueBase, wa: bit(62, 'write-allocate hint') });
/** Where the PRI queue MSI is written. */
export const PRIQ_IRQ_CFG0 = reg64('PRIQ_IRQ_CFG0', 0x0d0, res0('1.5'), msiAddress);
/** What the PRI queue MSI writes. */
export const PRIQ_IRQ_CFG1 = reg32('PRIQ_IRQ_CFG1', 0x0d8, res0('1.5'), msiData);
/** Attributes of the PRI queue MSI, and when it is sent. */
export const PRIQ_IRQ_CFG2 = reg32('PRIQ_IRQ_CFG2', 0x0dc, res0('1.5'), {
  ...msiAttributes,
  lo: bit(31, 'interrupt on a Last request instead of empty to non-empty'),
});

/** Address translation operation: start. */
export const GATOS_CTRL = reg32('GATOS_CTRL', 0x100, res0('1.1'), { value: bits(31, 0, 'contents not described') });
/** Address translation operation: for which stream. */
export const GATOS_SID = reg64('GATOS_SID', 0x108, res0('1.1'), { value: wide(63, 0, 'contents not described') });
/** Address translation operation: which address. */
export const GATOS_ADDR = reg64('GATOS_ADDR', 0x110, res0('1.1'), { value: wide(63, 0, 'contents not described') });
/** Address translation operation: the result. */
export const GATOS_PAR = reg64('GATOS_PAR', 0x118, res0('1.1'), { value: ro(wide(63, 0, 'contents not described')) });
/** Memory partitioning: identification. */
export const MPAMIDR = reg32('MPAMIDR', 0x130, res0('1.1'), { value: ro(bits(31, 0, 'contents not described')) });
/** Memory partitioning of the SMMU's own accesses. */
export const GMPAM = reg32('GMPAM', 0x138, res0('1.1'), { value: bits(31, 0, 'contents not described') });
/** Memory partitioning of bypassing traffic. */
export const GBPMPAM = reg32('GBPMPAM', 0x13c, res0('1.1'), { value: bits(31, 0, 'contents not described') });
/** Virtual ATOS page: for which VMID. */
export const VATOS_SEL = reg32('VATOS_SEL', 0x180, res0('1.1'), { value: bits(31, 0, 'contents not described') });

const outputProd = {
  wr: bits(19, 0, 'write index with wrap bit'),
  ovflg: bit(31, 'overflow; unacknowledged while it differs from OVACKFLG'),
};
const outputCons = {
  rd: bits(19, 0, 'read index with wrap bit'),
  ovackflg: bit(31, 'overflow acknowledged: software copies OVFLG here'),
};

/** Where the SMMU writes the next event; in register page 1. */
export const EVENTQ_PROD = reg32('EVENTQ_PROD', 0x100a8, res0('1.7'), outputProd);
/** Where software reads the next event; in register page 1. */
export const EVENTQ_CONS = reg32('EVENTQ_CONS', 0x100ac, res0('1.7'), outputCons);
/** Where the SMMU writes the next page request; in register page 1. */
export const PRIQ_PROD = reg32('PRIQ_PROD', 0x100c8, res0('1.7'), outputProd);
/** Where software reads the next page request; in register page 1. */
export const PRIQ_CONS = reg32('PRIQ_CONS', 0x100cc, res0('1.7'), outputCons);

/** Bytes of the register file: two pages of 64 KiB (smmuv3.md 1). */
export const REGISTER_BYTES = 0x20000;

/** Where register page 1 starts; a device with broken page 1 has its four registers 0x10000 lower (smmuv3.md 1.1). */
export const PAGE1 = 0x10000;

/** The peripheral and component identification block, first and last register (smmuv3.md 1.1). */
export const ID_BLOCK = { first: 0xfd0, last: 0xffc } as const;

/** Where the Secure bank starts (smmuv3.md 1.1). */
export const SECURE_BANK = 0x8000;

/** Every register by offset order, for register files, dumps and tests. */
export const REGISTERS: readonly AnyRegister[] = [
  IDR0,
  IDR1,
  IDR2,
  IDR3,
  IDR4,
  IDR5,
  IIDR,
  AIDR,
  CR0,
  CR0ACK,
  CR1,
  CR2,
  S2PII,
  STATUSR,
  GBPA,
  AGBPA,
  IRQ_CTRL,
  IRQ_CTRLACK,
  GERROR,
  GERRORN,
  GERROR_IRQ_CFG0,
  GERROR_IRQ_CFG1,
  GERROR_IRQ_CFG2,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
  CMDQ_BASE,
  CMDQ_PROD,
  CMDQ_CONS,
  EVENTQ_BASE,
  EVENTQ_IRQ_CFG0,
  EVENTQ_IRQ_CFG1,
  EVENTQ_IRQ_CFG2,
  PRIQ_BASE,
  PRIQ_IRQ_CFG0,
  PRIQ_IRQ_CFG1,
  PRIQ_IRQ_CFG2,
  GATOS_CTRL,
  GATOS_SID,
  GATOS_ADDR,
  GATOS_PAR,
  MPAMIDR,
  GMPAM,
  GBPMPAM,
  VATOS_SEL,
  IDR6,
  EVENTQ_PROD,
  EVENTQ_CONS,
  PRIQ_PROD,
  PRIQ_CONS,
];
