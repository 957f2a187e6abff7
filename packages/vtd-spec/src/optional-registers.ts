import { bit, bits, reg32, reg64, ro, table, wide } from '@iommukit/bitfield';

const rsvdz = (ref: string) => ({ ref: `vtd.md ${ref}`, gaps: 'reserved-zero' }) as const;

/** Performance monitoring: what there is. All of this block is from one source. */
export const PERFCAP = reg64('PERFCAP', 0x300, rsvdz('1.1'), {
  counters: ro(bits(15, 0, 'counters')),
  width: ro(bits(22, 16, 'bits of a counter')),
  groups: ro(bits(28, 24, 'event groups')),
  filters: ro(bits(36, 32, 'filters')),
  interrupt: ro(bit(50, 'interrupt on overflow')),
  stride: ro(bits(54, 52, 'blocks are 2^(x+10) bytes apart')),
});
/** Performance monitoring: where the configuration is. From one source. */
export const PERFCFGOFF = reg32('PERFCFGOFF', 0x310, rsvdz('1.1'), { value: ro(bits(31, 0, 'offset')) });
/** Performance monitoring: where the overflow bits are. From one source. */
export const PERFOVFOFF = reg32('PERFOVFOFF', 0x318, rsvdz('1.1'), { value: ro(bits(31, 0, 'offset')) });
/** Performance monitoring: where the counters are. From one source. */
export const PERFCNTROFF = reg32('PERFCNTROFF', 0x31c, rsvdz('1.1'), { value: ro(bits(31, 0, 'offset')) });
/** Performance monitoring: interrupt status. From one source; the access rule is not described. */
export const PERFINTRSTS = reg32('PERFINTRSTS', 0x324, rsvdz('1.1'), { pis: bit(0, 'a counter overflowed') });
/** Performance monitoring: interrupt control. From one source. */
export const PERFINTRCTL = reg32('PERFINTRCTL', 0x328, rsvdz('1.1'), { value: bits(31, 0, 'bits not described') });
/** Performance monitoring: events of the first group; the others follow. From one source. */
export const PERFEVNTCAP = reg64('PERFEVNTCAP', 0x380, rsvdz('1.1'), { events: ro(bits(27, 0, 'event mask')) });

/** Enhanced command: bits below the operand are the command. From one source. */
export const ECMD = reg64('ECMD', 0x400, rsvdz('1.1'), {
  command: bits(7, 0, 'ECMD_COMMAND; the width is inferred'),
  operandA: bits(63, 16, 'operand A; where it ends is inferred'),
});
/** Enhanced command: the second operand. From one source. */
export const ECEO = reg64('ECEO', 0x408, rsvdz('1.1'), { operandB: wide(63, 0, 'operand B') });
/** Enhanced command: response. From one source. */
export const ECRSP = reg64('ECRSP', 0x410, rsvdz('1.1'), { ip: ro(bit(0, 'in progress')) });

const eccap = (n: number) =>
  reg64(`ECCAP${n}`, 0x430 + 8 * n, rsvdz('1.1'), { value: ro(wide(63, 0, 'commands supported, not described')) });

/** Enhanced commands: which there are. From one source. */
export const ECCAP = [eccap(0), eccap(1), eccap(2), eccap(3)] as const;

/** Virtual command capability; where it stands is disputed, see {@link VIRTUAL_COMMAND_OFFSETS}. */
export const VCCAP = table('VCCAP', 8, rsvdz('D-7'), { pas: bit(0, 'PASIDs can be allocated; from one source') });
/** Virtual command; where it stands is disputed. */
export const VCMD = table('VCMD', 8, rsvdz('D-7'), {
  command: bits(7, 0, 'command'),
  operand: wide(63, 8, 'operand'),
});
/** Virtual command response; where it stands is disputed. */
export const VCRSP = table('VCRSP', 8, rsvdz('D-7'), {
  ip: bit(0, 'in progress'),
  sc: bits(2, 1, 'status'),
  result: wide(63, 8, 'result'),
});

/** Where the virtual command registers stand: Linux 5.10 to 6.1 and the text of 2021 disagree (vtd.md D-7). */
export const VIRTUAL_COMMAND_OFFSETS = {
  linux: { vcmd: 0xe00, vcrsp: 0xe10, vccap: 0xe30 },
  text2021: { vccap: 0xe00, vcmd: 0xe10, vcrsp: 0xe20 },
} as const;
