import { GCMD, GSTS, INTERRUPT_RANGE, RTADDR } from '@iommukit/vtd-spec';
import type { RegisterSequence, RegisterWrite } from './register-sequence.js';
import type { ReadRegister } from './register-words.js';

const WINDOW = 0x1000;
const PAGE = 4096;

/** VT-d (vtd.md 1.4, 1.5): the root table and its mode, SRTP, then TE. Registers that are needed: GSTS, RTADDR. */
export const vtdSequence: RegisterSequence = {
  backend: 'vtd',
  align: WINDOW,
  bytes: WINDOW,
  writes: vtdWrites,
  interrupts: (page, pasid) =>
    pasid < 0 && page >= INTERRUPT_RANGE.first / PAGE && page <= Math.floor(INTERRUPT_RANGE.last / PAGE),
};

function vtdWrites(read: ReadRegister): RegisterWrite[] {
  const status = read(GSTS.offset, GSTS.name);
  const writes: RegisterWrite[] = [];
  if (GSTS.f.rtps.of(status) === 1) {
    writes.push(
      { name: RTADDR.name, offset: RTADDR.offset, value: read(RTADDR.offset, RTADDR.name) },
      { name: RTADDR.name, offset: RTADDR.offset + 4, value: read(RTADDR.offset + 4, RTADDR.name) },
      { name: GCMD.name, offset: GCMD.offset, value: GCMD.pack({ srtp: 1 }) },
    );
  }
  if (GSTS.f.tes.of(status) === 1) writes.push({ name: GCMD.name, offset: GCMD.offset, value: GCMD.pack({ te: 1 }) });
  return writes;
}
