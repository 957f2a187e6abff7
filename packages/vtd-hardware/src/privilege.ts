import { WANT_PRIVILEGED } from '@iommukit/pci-ats';

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
