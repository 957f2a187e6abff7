/** What an SMMU can do, read from its ID registers at probe. */
export interface SmmuFeatures {
  readonly stage1: boolean;
  readonly stage2: boolean;
  readonly aarch64: boolean;
  readonly coherent: boolean;
  readonly broadcast: boolean;
  readonly httu: number;
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
  /** Output address bits. */
  readonly outputBits: number;
  /** Virtual address bits. */
  readonly inputBits: number;
  /** log2 of the page sizes it walks. */
  readonly granules: readonly number[];
  readonly implementation: number;
  readonly architecture: number;
}

/** Something that is missing, for people, and the rule that asks for it. */
export interface Refusal {
  readonly reason: string;
  readonly rule: string;
}
