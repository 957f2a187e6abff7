import {
  CR0,
  CR1,
  CR2,
  EVENTQ_BASE,
  EVENTQ_CONS,
  EVENTQ_PROD,
  GBPA,
  PAGE1,
  REGISTER_BYTES,
  STRTAB_BASE,
  STRTAB_BASE_CFG,
} from '@iommukit/smmuv3-spec';
import type { RegisterSequence, RegisterWrite } from './register-sequence.js';
import type { ReadRegister } from './register-words.js';

const UPDATE = GBPA.f.update.maskLo;

/**
 * SMMUv3 (SMMU-29): CR1, CR2, the stream table, the event queue, then CR0, without the command queue. Registers that are needed: CR0,
 * CR1, CR2, GBPA, STRTAB_BASE, STRTAB_BASE_CFG, and EVENTQ_BASE where CR0.EVENTQEN is set.
 */
export const smmuv3Sequence: RegisterSequence = {
  backend: 'smmuv3',
  align: PAGE1,
  bytes: REGISTER_BYTES,
  writes: smmuv3Writes,
  interrupts: () => false,
};

function smmuv3Writes(read: ReadRegister): RegisterWrite[] {
  const writes: RegisterWrite[] = [];
  const copy = (name: string, offset: number): void => void writes.push({ name, offset, value: read(offset, name) });
  const copy64 = ({ name, offset }: { readonly name: string; readonly offset: number }): void => {
    copy(name, offset);
    copy(name, offset + 4);
  };
  const control = read(CR0.offset, CR0.name);
  const { smmuen, eventqen, atschk } = CR0.f;
  copy(CR1.name, CR1.offset);
  copy(CR2.name, CR2.offset);
  writes.push({ name: GBPA.name, offset: GBPA.offset, value: (read(GBPA.offset, GBPA.name) | UPDATE) >>> 0 });
  if (smmuen.of(control) === 1) {
    copy64(STRTAB_BASE);
    copy(STRTAB_BASE_CFG.name, STRTAB_BASE_CFG.offset);
  }
  if (eventqen.of(control) === 1) {
    copy64(EVENTQ_BASE);
    writes.push(
      { name: EVENTQ_PROD.name, offset: EVENTQ_PROD.offset, value: 0 },
      { name: EVENTQ_CONS.name, offset: EVENTQ_CONS.offset, value: 0 },
      { name: CR0.name, offset: CR0.offset, value: CR0.pack({ eventqen: 1 }) },
    );
  }
  const value = (control & (smmuen.maskLo | eventqen.maskLo | atschk.maskLo)) >>> 0;
  writes.push({ name: CR0.name, offset: CR0.offset, value });
  return writes;
}
