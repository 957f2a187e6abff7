import type { Coroutine } from '@iommukit/kernel';
import { AT, type Draw, type HostileKnowledge, hostileUpstream, type Upstream } from '@iommukit/pci-ats';
import type { Engine } from './engine.js';

/** What a hostile device does behind its driver's back: messages that its link takes, whatever its registers say. */
export interface HostileProgram {
  readonly name: string;
  /** True: it does harm where the IOMMU trusts the addresses that a device calls translated (pcie-ats.md 4). */
  readonly forges: boolean;
  /** Sends the messages; called by a task of the caller's. `knowledge`: what it has found out. */
  run(engine: Engine, draw: Draw, knowledge: HostileKnowledge): Coroutine<void>;
}

/** Messages of a program that draws them. */
const ROUNDS = 64;
/** Page request group indexes. */
const INDEXES = 512;

function isForged(tlp: Upstream): boolean {
  return (tlp.kind === 'read' || tlp.kind === 'write') && tlp.at === AT.TRANSLATED;
}

/** A page that the program knows of, or page 0. */
function pageOf(draw: Draw, { pages = [] }: HostileKnowledge): number {
  return pages.length === 0 ? 0 : pages[draw(pages.length)]!;
}

/** A PASID that the program knows of, or 1. */
function pasidOf(draw: Draw, { pasids = [] }: HostileKnowledge): number {
  return pasids.length === 0 ? 1 : pasids[draw(pasids.length)]!;
}

/** The programs, for fuzz tests of an IOMMU and its driver. Those that do not forge must leave everybody else in peace. */
export const HOSTILE_PROGRAMS: readonly HostileProgram[] = [
  {
    name: 'any messages',
    forges: false,
    *run({ link }, draw, knowledge) {
      for (let i = 0; i < ROUNDS; i++) {
        const tlp = hostileUpstream(draw, knowledge);
        if (!isForged(tlp)) yield* link.up(tlp);
      }
    },
  },
  {
    name: 'addresses that nobody translated',
    forges: true,
    *run({ link }, draw, knowledge) {
      for (let i = 0; i < ROUNDS; i++) {
        const data = new Uint8Array(8).fill(draw(256));
        const pasid = pasidOf(draw, knowledge);
        const page = pageOf(draw, knowledge);
        yield* link.up({ kind: 'write', at: AT.TRANSLATED, pasid, page, offset: draw(512) * 8, data, witness: 0 });
      }
    },
  },
  {
    name: 'page requests without end, beyond every credit',
    forges: false,
    *run({ link }, draw, knowledge) {
      const pasid = pasidOf(draw, knowledge);
      for (let prgi = 0; prgi < INDEXES; prgi++) {
        const page = pageOf(draw, knowledge) + draw(4);
        yield* link.up({ kind: 'page-request', pasid, prgi, page, perm: 1 + draw(7), last: draw(4) === 0 });
      }
    },
  },
  {
    name: 'a group index used again before its answer',
    forges: false,
    *run({ link }, draw, knowledge) {
      for (let i = 0; i < ROUNDS; i++) {
        const page = pageOf(draw, knowledge);
        const pasid = pasidOf(draw, knowledge);
        yield* link.up({ kind: 'page-request', pasid, prgi: 3, page, perm: 1, last: draw(3) !== 0 });
      }
    },
  },
  {
    name: 'stop markers for everybody',
    forges: false,
    *run({ link }, draw, knowledge) {
      for (let i = 0; i < ROUNDS; i++) {
        const pasid = draw(4) === 0 ? -1 : pasidOf(draw, knowledge) + draw(2);
        yield* link.up({ kind: 'page-request', pasid, prgi: draw(2) * 3, page: 0, perm: 0, last: true });
      }
    },
  },
  {
    name: 'completions of invalidations that nobody sent',
    forges: false,
    *run({ link }, draw) {
      for (let i = 0; i < ROUNDS; i++)
        yield* link.up({ kind: 'invalidate-completion', itags: 2 ** draw(32), count: draw(9) });
    },
  },
];
