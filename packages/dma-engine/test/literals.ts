// Numbers of the README's register map, and of PCIe: tests use these, never the declarations that they check.

export const COPY = 1;
export const FILL = 2;
export const CHECKSUM = 3;

export const RUNNING = 1;
export const DONE = 2;
export const CANCELLED = 3;
export const FAILED = 4;
export const INVALID_JOB = 5;
export const STOPPED = 6;

/** Rights. */
export const R = 1;
export const W = 2;

/** Answers to page requests, on the wire. */
export const INVALID_REQUEST = 1;
export const FAILURE = 15;

export const PAGE = 4096;

/** Bytes that differ from each other. */
export const ramp = (count: number): number[] => Array.from({ length: count }, (_unused, i) => (i * 7 + 3) & 0xff);

/** Flags of OPERATION. */
export const NO_PASID = 0x100;
export const ENDLESS = 0x200;
export const EAGER = 0x400;
export const PRIVILEGED = 0x800;
