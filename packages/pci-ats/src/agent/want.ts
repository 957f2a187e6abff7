import { LINE } from '@iommukit/kernel';

const { READ, WRITE, EXEC } = LINE;
/** The bits of a request's `want` that are rights. */
export const RIGHTS = READ | WRITE | EXEC;
/** Bit of `want` for a privileged request. */
export const WANT_PRIVILEGED = 8;
/** Bit of `want`: the right to write is welcome, and makes a clean page dirty; without it the request is served too (ATS with NW=0). */
export const WANT_WRITE_TOO = 16;
/** Bit of `want`: a translation request, not a transaction. */
export const WANT_TRANSLATION = 32;

/** Rights of privileged requests are kept in a line's flags this many bits above those of LINE. */
export const PRIVILEGED_SHIFT = 3;

/** Bit of a line's flags: it lacks the right to write only because its page is clean; a write makes it dirty, where hardware does that. */
export const CLEAN = 64;

/** The rights of a request's mode in a line's flags. */
export const inModeOf = (want: number, flags: number): number =>
  (want & WANT_PRIVILEGED) === 0 ? flags & RIGHTS : (flags >> PRIVILEGED_SHIFT) & RIGHTS;

/** The rights that a request needs, and those that are welcome. */
export const wishes = (want: number): number => (want & RIGHTS) | ((want & WANT_WRITE_TOO) !== 0 ? WRITE : 0);

/** The rights of {@link wishes} that a line's flags do not have. */
export const missingRights = (want: number, flags: number): number => wishes(want) & ~inModeOf(want, flags);

/** Nothing that the request needs is missing. */
export const grants = (want: number, flags: number): boolean => (want & RIGHTS & ~inModeOf(want, flags)) === 0;
