import { LINE } from '@iommukit/kernel';
import { FLAG } from './context-fields.js';
import { PRIVILEGED_SHIFT } from './rights.js';

const { READ, WRITE, EXEC } = LINE;
/** The bits of a request's wants that are rights. */
export const RIGHTS = READ | WRITE | EXEC;
/** Bit of `want` for a privileged request. */
export const WANT_PRIVILEGED = 8;
/** Bit of `want`: the right to write is welcome, and makes a clean page dirty; without it the request is served too (ATS with NW=0). */
export const WANT_WRITE_TOO = 16;
/** Bit of `want`: a translation request. What INSTCFG says is about transactions. */
export const WANT_TRANSLATION = 32;

/** The rights of a request's mode in a line's flags. */
export const inModeOf = (want: number, flags: number): number =>
  (want & WANT_PRIVILEGED) === 0 ? flags & RIGHTS : (flags >> PRIVILEGED_SHIFT) & RIGHTS;

/** A request as STE.PRIVCFG and INSTCFG make it look (2.2); INSTCFG is about reads, and not about translation requests. */
export function overridden(want: number, overrides: number): number {
  if ((overrides & FLAG.UNPRIVILEGED) !== 0) want &= ~WANT_PRIVILEGED;
  if ((overrides & FLAG.PRIVILEGED) !== 0) want |= WANT_PRIVILEGED;
  if ((want & (WRITE | WANT_TRANSLATION)) !== 0) return want;
  if ((overrides & FLAG.INSTRUCTION) !== 0 && (want & READ) !== 0) return (want & ~READ) | EXEC;
  return (overrides & FLAG.DATA) !== 0 && (want & EXEC) !== 0 ? (want & ~EXEC) | READ : want;
}

/** The rights that a request needs, and those that are welcome. */
export const wishes = (want: number): number => (want & RIGHTS) | ((want & WANT_WRITE_TOO) !== 0 ? WRITE : 0);

/** The rights of {@link wishes} that a line's flags do not have. */
export const missingRights = (want: number, flags: number): number => wishes(want) & ~inModeOf(want, flags);
