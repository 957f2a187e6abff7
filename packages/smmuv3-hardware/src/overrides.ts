import { LINE } from '@iommukit/kernel';
import { WANT_PRIVILEGED, WANT_TRANSLATION } from '@iommukit/pci-ats';
import { FLAG } from './context-fields.js';

const { READ, WRITE, EXEC } = LINE;

/** A request as STE.PRIVCFG and INSTCFG make it look (2.2); INSTCFG is about reads, and not about translation requests. */
export function overridden(want: number, overrides: number): number {
  if ((overrides & FLAG.UNPRIVILEGED) !== 0) want &= ~WANT_PRIVILEGED;
  if ((overrides & FLAG.PRIVILEGED) !== 0) want |= WANT_PRIVILEGED;
  if ((want & (WRITE | WANT_TRANSLATION)) !== 0) return want;
  if ((overrides & FLAG.INSTRUCTION) !== 0 && (want & READ) !== 0) return (want & ~READ) | EXEC;
  return (overrides & FLAG.DATA) !== 0 && (want & EXEC) !== 0 ? (want & ~EXEC) | READ : want;
}
