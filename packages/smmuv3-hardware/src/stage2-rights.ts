import { LINE } from '@iommukit/kernel';
import { S2XN, Stage2Page } from '@iommukit/paging';
import { CLEAN, PRIVILEGED_SHIFT } from '@iommukit/pci-ats';

const { READ, WRITE, EXEC } = LINE;
const { s2ap, xn } = Stage2Page.f;
/** S2AP in the low word of a leaf. */
const READABLE = 1 << s2ap.shift;
const WRITABLE = 2 << s2ap.shift;

/**
 * Rights of a stage-2 leaf (smmuv3.md 3.2), as `rightsOf` has them: reading and writing are the same for every privilege, executing
 * needs the right to read. `managed`: the dirty state is (3.5), and a clean page has {@link CLEAN} for the right to write.
 */
export function rightsOfStage2(lo: number, hi: number, managed: boolean): number {
  const readable = (lo & READABLE) !== 0;
  const writable = (lo & WRITABLE) !== 0;
  const never = (hi >>> xn.shift) & 3;
  const data = (readable ? READ : 0) | (writable ? WRITE : 0);
  const user = readable && (never === S2XN.ALL || never === S2XN.UNPRIVILEGED) ? EXEC : 0;
  const privileged = readable && (never === S2XN.ALL || never === S2XN.PRIVILEGED) ? EXEC : 0;
  return data | user | ((data | privileged) << PRIVILEGED_SHIFT) | (managed && !writable ? CLEAN : 0);
}
