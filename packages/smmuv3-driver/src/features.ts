/** What an SMMU can do, read from its ID registers at probe. */
export interface SmmuFeatures {
  readonly stage1: boolean;
  readonly stage2: boolean;
  readonly aarch64: boolean;
  readonly coherent: boolean;
  readonly broadcast: boolean;
  /** Which flags it updates in tables by itself. */
  readonly httu: 'none' | 'access' | 'dirty';
  readonly hypervisor: boolean;
  readonly ats: boolean;
  readonly pri: boolean;
  readonly sev: boolean;
  readonly asidBits: number;
  readonly littleEndian: boolean;
  /** Stalls: optional, never, or forced (smmuv3.md 1.2). */
  readonly stall: 'optional' | 'never' | 'forced';
  readonly terminateAborts: boolean;
  readonly twoLevelStreams: boolean;
  readonly twoLevelContexts: boolean;
  readonly streamBits: number;
  readonly ssidBits: number;
  /** log2 of the largest queues. */
  readonly commandBits: number;
  readonly eventBits: number;
  readonly priBits: number;
  /** Fixed resources that the driver cannot work with: REL, QUEUES_PRESET, TABLES_PRESET. */
  readonly preset: readonly string[];
  readonly attributeOverride: boolean;
  readonly rangeInvalidation: boolean;
  /** How blocks and smaller entries may change places: 0 not while valid, 1 by nT, 2 freely (IDR3.BBML). */
  readonly blockChanges: 0 | 1 | 2;
  /** Output address bits. */
  readonly outputBits: number;
  /** Virtual address bits with 64 KiB pages; with others 48, or 52 with {@link largeAddresses}. */
  readonly inputBits: number;
  /** 52-bit addresses with pages of 4 KiB and 16 KiB (IDR5.DS, LPA2). */
  readonly largeAddresses: boolean;
  /** log2 of the page sizes it walks. */
  readonly granules: readonly number[];
  readonly implementation: number;
  readonly architecture: number;
}
