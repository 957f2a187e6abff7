import type { Step } from '@iommukit/kernel';
import type { Downstream, Upstream } from './tlp.js';

/**
 * The wire between a device and its root complex: lanes up posted, up non-posted, down posted, down completions. The head
 * of each lane is delivered by a task of its own, in PCIe order: posted messages may overtake the others, never the reverse.
 */
export interface Link {
  /** The StreamID of what is sent up here. */
  readonly stream: number;
  /** The device's name, for oracles. */
  readonly name?: string;
  /**
   * True for a platform device whose transactions an IOMMU may hold back until their page is there; absent or false for PCI
   * Express, where every transaction ends within a time limit (FEAT-5).
   */
  readonly stalls?: boolean;
  up(tlp: Upstream): Step<void>;
  down(tlp: Downstream): Step<void>;
  /** Surprise removal: what is under way is lost, and so is everything sent later. */
  remove(): void;
}

/** Where a translation came to. Reused by its owner, never kept. */
export interface Translation {
  /** Frame (physical address / 4096) of the requested page. */
  frame: number;
  /** Rights: 1 read, 2 write, 4 execute. */
  perm: number;
  /** log2 of the number of bytes that the mapping covers. */
  log2Size: number;
  /** 0, or the fault's event number in the agent's own specification. */
  reason: number;
  /** The level at which the walk ended. */
  level: number;
}

/** An IOMMU, to devices. */
export interface TranslationAgent {
  /** Connects a device's link; its messages arrive at {@link receive}. */
  connect(link: Link): void;
  /** Takes one message of a device; called by the lane's own task. */
  receive(link: Link, tlp: Upstream): Step<void>;
  /**
   * One atomic step: translates `page` (address / 4096) of (`stream`, `pasid`; -1 without) for the rights `want`
   * (1 read, 2 write, 4 execute, 8 privileged). False: `out.reason` says why.
   */
  translate(stream: number, pasid: number, page: number, want: number, out: Translation): boolean;
}

/** A device, to its link. */
export interface AtsEndpoint {
  /** Takes one message; called by the lane's own task. */
  receive(tlp: Downstream): Step<void>;
}
