import { LINE } from '@iommukit/kernel';

const { READ, WRITE, EXEC } = LINE;
/** The bits of a request's wants that are rights. */
export const RIGHTS = READ | WRITE | EXEC;
/** Bit of `want` for a privileged request. */
export const WANT_PRIVILEGED = 8;
/** Bit of `want`: the right to write is welcome, and makes a clean page dirty; without it the request is served too (ATS with NW=0). */
export const WANT_WRITE_TOO = 16;
/** Bit of `want`: a translation request. Nothing here depends on it. */
export const WANT_TRANSLATION = 32;

/** Rights of privileged requests are kept in a line's flags this many bits above those of LINE. */
export const PRIVILEGED_SHIFT = 3;

/** The rights of a request's mode in a line's flags. */
export const inModeOf = (want: number, flags: number): number =>
  (want & WANT_PRIVILEGED) === 0 ? flags & RIGHTS : (flags >> PRIVILEGED_SHIFT) & RIGHTS;

/** What becomes of the privilege that a request claims: without a PASID it has none of its own, and RID_PRIV says it (vtd.md 2.8). */
export const PRIVILEGE = {
  /** As the request says. */
  OWN: 0,
  NEVER: 1,
  ALWAYS: 2,
} as const;

/** A request as {@link PRIVILEGE} makes it look. */
export const judgedBy = (want: number, privilege: number): number =>
  privilege === PRIVILEGE.OWN
    ? want
    : privilege === PRIVILEGE.ALWAYS
      ? want | WANT_PRIVILEGED
      : want & ~WANT_PRIVILEGED;

/** The rights that a request needs, and those that are welcome. */
export const wishes = (want: number): number => (want & RIGHTS) | ((want & WANT_WRITE_TOO) !== 0 ? WRITE : 0);

/** The rights of {@link wishes} that a line's flags do not have. */
export const missingRights = (want: number, flags: number): number => wishes(want) & ~inModeOf(want, flags);

/** Nothing that the request needs is missing. */
export const grants = (want: number, flags: number): boolean => (want & RIGHTS & ~inModeOf(want, flags)) === 0;
