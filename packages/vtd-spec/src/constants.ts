/** Bits of a PASID, at most (vtd.md 9). */
export const PASID_BITS = 20;
/** PASIDs, at most (vtd.md 9). */
export const PASID_COUNT = 0x100000;
/** PASIDs that an extended-mode driver makes tables for, at most: 1 MiB of entries (vtd.md VTD-44). */
export const ECS_PASID_CAP = 0x20000;
/** Slots of the invalidation queue that Linux sets up (vtd.md 3.13, 9). */
export const QI_SLOTS = 256;
/** PQS of the page request queue that Linux sets up since 6.1: 64 KiB (vtd.md 1.10, 9). */
export const LINUX_PQS = 4;
/** The domain that all SVA and pass-through entries share in Linux (vtd.md VTD-5). */
export const FIRST_STAGE_DID = 1;
/** Access flags of the fault callback in the API of 2015 to 2017 (vtd.md 9). */
export const SVM_FAULT = { exec: 2, priv: 1, write: 4, read: 8 } as const;
/** Flags of binding in Linux 4.19 to 5.10 (vtd.md 9). */
export const SVM_BIND = { privatePasid: 1, supervisor: 2, guestMode: 4, guestPasid: 8 } as const;
/** A requester id: bus, device and function (vtd.md 9). */
export const requesterId = (bus: number, devfn: number): number => (bus << 8) | devfn;
