import type { TlbInvalidation } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Rig } from '../test/rig.js';
import { Broadcast } from './index.js';

const PAGE = 0x7f1234567;
const LAST = 2 ** 52 - 1;
/** CR2: E2H, RECINVSID, PTM. */
const [E2H, RECINVSID, PTM] = [1, 2, 4];
/** STE dw1 of stream world EL2, with EATS = 1. */
const EL2 = 0x9000_0000n;
/** CD.ASET is bit 47: cleared, the ASID is shared with CPUs. */
const ASET = 1n << 47n;

const message = (kind: TlbInvalidation['kind'], more: Partial<TlbInvalidation> = {}): TlbInvalidation => ({
  kind,
  level: 'el1',
  vmid: 0,
  asid: kind === 'all' || kind === 'vaa' ? -1 : 0x12,
  first: kind === 'all' || kind === 'asid' ? 0 : PAGE,
  last: kind === 'all' || kind === 'asid' ? LAST : PAGE,
  leaf: false,
  ...more,
});

interface Options {
  readonly cr2?: number;
  readonly btm?: boolean;
  readonly aset?: boolean;
  readonly world?: bigint;
  /** Attributes of the leaf: 0xc43 has nG, 0x443 is global. */
  readonly leaf?: bigint;
  readonly parts?: object;
}

/** SID 0x42, PASID 5 with ASID 0x12: one page cached, whose table has changed since. */
function stale({
  cr2 = RECINVSID,
  btm = true,
  aset = false,
  world = 0x1000_0000n,
  leaf = 0xc43n,
  parts,
}: Options = {}): Rig {
  const rig = new Rig({ btm, hyp: true }, {}, parts).enable(0);
  rig.write(0x2c, cr2);
  rig.write(0x20, 0x1f);
  const table = rig.cdTable(0x42, 6, world);
  const root = rig.cd(table, 5, Rig.cd0(0x12, 0n, aset ? 0n : ASET));
  rig.map(root, PAGE, 0x40100, leaf);
  expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
  rig.map(root, PAGE, 0x40200, leaf);
  return rig;
}

/** Sends a message as a CPU does, with the barrier; true if the TLB line is gone. */
function dropped(rig: Rig, sent: TlbInvalidation): boolean {
  const { tlbBroadcast } = rig.kernel;
  rig.kernel.spawn('cpu', function* () {
    yield* tlbBroadcast.send(sent);
    yield* tlbBroadcast.sync();
  });
  expect(rig.settle().end).toBe('finished');
  return rig.translate(0x42, 5, PAGE) === 0x40200;
}

describe('Broadcast (smmuv3.md 3.6, SMMU-16, TLB-9)', () => {
  it.each([
    ['its ASID', message('asid'), true],
    ['another ASID', message('asid', { asid: 0x13 }), false],
    ['its page', message('va'), true],
    ['its page, leaf', message('va', { leaf: true }), true],
    ['a range with its page', message('va', { first: PAGE - 5, last: PAGE + 5 }), true],
    ['the next page', message('va', { first: PAGE + 1, last: PAGE + 1 }), false],
    ['its page, of another ASID', message('va', { asid: 0x13 }), false],
    ['its page, of another VMID', message('va', { vmid: 1 }), false],
    ['its page, of every ASID', message('vaa'), true],
    ['another page, of every ASID', message('vaa', { first: 0, last: PAGE - 1 }), false],
    ['everything', message('all'), true],
    ['everything of another VMID', message('all', { vmid: 1 }), false],
    ['everything of EL2', message('all', { level: 'el2' }), false],
  ])('applies a message for %s', (_name, sent, expected) => {
    expect(dropped(stale(), sent)).toBe(expected);
  });

  it.each([
    ['by address and ASID', message('va'), false],
    ['by ASID', message('asid'), false],
    ['by address, of every ASID', message('vaa'), true],
    ['of everything', message('all'), true],
  ])('skips lines of the private set (ASET=1) for a message %s, or not', (_name, sent, expected) => {
    expect(dropped(stale({ aset: true }), sent)).toBe(expected);
  });

  it('reaches global lines by address, and not by ASID', () => {
    expect(dropped(stale({ leaf: 0x443n }), message('va', { asid: 0x99 }))).toBe(true);
    expect(dropped(stale({ leaf: 0x443n }), message('asid'))).toBe(false);
  });

  it.each([
    ['el2', 'EL2-E2H', EL2, E2H, true],
    ['el1', 'EL2-E2H', EL2, E2H, false],
    ['el2', 'EL2 without E2H', EL2, 0, false],
    ['el1', 'NS-EL1', 0x1000_0000n, 0, true],
    ['el2', 'NS-EL1', 0x1000_0000n, E2H, false],
  ] as const)(
    'a message of %s and a stream of %s: exception levels must match (TLB-9)',
    (level, _world, world, cr2, expected) => {
      for (const kind of ['va', 'vaa', 'asid', 'all'] as const) {
        expect(dropped(stale({ world, cr2: cr2 | RECINVSID }), message(kind, { level }))).toBe(expected);
      }
    },
  );

  it('ignores everything while CR2.PTM is 1, and where IDR0.BTM is 0 (SMMU-16)', () => {
    expect(dropped(stale({ cr2: PTM }), message('all'))).toBe(false);
    expect(dropped(stale({ btm: false }), message('all'))).toBe(false);
    expect(stale({ btm: false }).kernel.tlbBroadcast.ports).toEqual([]);
  });

  it('would miss CPUs at EL2 if the levels were mixed up: the test above would see it (TLB-9, stream-world-mismatch)', () => {
    class Mixed extends Broadcast {
      override worldOf(): number {
        return 0;
      }
    }
    const rig = stale({ world: EL2, cr2: E2H, parts: { Broadcast: Mixed } });
    expect(dropped(rig, message('va', { level: 'el2' }))).toBe(false);
  });

  it('says in IDR0 that it does (smmuv3.md 1.2)', () => {
    expect(new Rig({ btm: true }).read(0) & 0x20).toBe(0x20);
    expect(new Rig({}, { btm: 'on' }).read(0) & 0x20).toBe(0x20);
    expect(new Rig().read(0) & 0x20).toBe(0);
  });

  it('never reaches an ATC (SMMU-16, MN-15)', () => {
    const rig = stale();
    const link = rig.link(0x42);
    dropped(rig, message('all'));
    expect(link.sent).toEqual([]);
  });
});
