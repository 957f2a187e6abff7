/** What a VT-d unit can do, read from VER, CAP and ECAP at probe. Named as the fields are where they are one. */
export interface VtdFeatures {
  readonly version: number;
  // ── CAP ────────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Domain ids have so many bits. */
  readonly domainBits: number;
  readonly rwbf: boolean;
  /** Caching mode: what is not present may be cached. */
  readonly cm: boolean;
  /** Second-stage widths as a mask: 2 is 39 bits, 4 is 48, 8 is 57. */
  readonly sagaw: number;
  /** Bits of an input address of the second stage. */
  readonly guestBits: number;
  /** Large second-stage pages as a mask: 1 is 2 MiB, 2 is 1 GiB. */
  readonly sllps: number;
  /** Offset of the fault records in the register window. */
  readonly recordsAt: number;
  readonly records: number;
  /** Type 2 invalidations of pages, up to 2^`mamv` of them. */
  readonly psi: boolean;
  readonly mamv: number;
  readonly dwd: boolean;
  readonly drd: boolean;
  readonly fl1gp: boolean;
  readonly fl5lp: boolean;
  /** SRTP drops all translation caches by itself. */
  readonly esrtps: boolean;
  // ── ECAP ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Structures are read coherently; otherwise cache lines would have to be written back. */
  readonly coherent: boolean;
  readonly qi: boolean;
  /** Device TLBs: ATS. */
  readonly dt: boolean;
  readonly pt: boolean;
  readonly sc: boolean;
  readonly ecs: boolean;
  readonly mts: boolean;
  readonly nest: boolean;
  /** Deferred invalidation of the extended-context mode. */
  readonly dis: boolean;
  readonly prs: boolean;
  readonly ers: boolean;
  readonly srs: boolean;
  readonly eafs: boolean;
  readonly pasid: boolean;
  /** Bits of a PASID; 0 without requests with PASID. */
  readonly pasidBits: number;
  readonly dit: boolean;
  readonly pds: boolean;
  readonly smts: boolean;
  readonly slads: boolean;
  readonly slts: boolean;
  readonly flts: boolean;
  readonly smpwcs: boolean;
  /** Its walks see what the CPUs store: they look into their caches (SMPWCS), or there are none to miss. */
  readonly seesStores: boolean;
}
