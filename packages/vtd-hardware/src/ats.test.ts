import { describe, expect, it } from 'vitest';
import { Rig, SID, type TestLink } from '../test/rig.js';
import { Translator } from './index.js';

const PAGE = 0x7f1234567;
const ask = (over: object = {}) => ({
  kind: 'translation-request' as const,
  tag: 9,
  pasid: 5,
  page: PAGE,
  count: 1,
  noWrite: false,
  exec: false,
  priv: false,
  ...over,
});

const GAITS = ['atomic', 'stepwise'] as const;

function rigged(capabilities = {}, qw2 = 0n) {
  const rig = new Rig(capabilities).enable();
  const directory = rig.context();
  const root = rig.pasid(directory, 5, 0x49n, 0x80_0001n, rig.frames(0), qw2);
  return { rig, directory, root, link: rig.link() };
}
/** The answer to one request: its status, and the entries as 64-bit words. */
function answer(rig: Rig, link: TestLink, over: object = {}): string[] {
  rig.deliver(link, ask(over));
  const tlp = link.sent.pop();
  if (tlp?.kind !== 'translation-completion') throw new Error('no completion');
  expect(tlp.tag).toBe(9);
  const words: string[] = [];
  for (let i = 0; i < tlp.entries.length; i += 2) {
    words.push(((BigInt(tlp.entries[i + 1]) << 32n) | BigInt(tlp.entries[i])).toString(16));
  }
  return [tlp.status, ...words];
}

/** Fails every translation with one reason. */
function failing(reason: number): typeof Translator {
  return class extends Translator {
    override obtain(): number {
      return this.fail(reason, 0);
    }
  };
}

describe('TranslationRequests', () => {
  // The classes of vtd.md 5.1 to 5.3, written out.
  const recoverable = [0x05, 0x06, 0x71, 0x75, 0x76, 0x77, 0x79, 0x81, 0x82, 0x85, 0x86];
  const unsupported = [0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x0d];
  const scalable = [0x30, 0x31, 0x33, 0x38, 0x39, 0x3a, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x48];
  const aborted = [0x04, 0x07, 0x0c, 0x0e, 0x46, 0x50, 0x51, 0x52, 0x58, 0x59, 0x5a, 0x5b, 0x5c, 0x5d];
  const tables = [0x70, 0x72, 0x73, 0x74, 0x78, 0x7a, 0x7b, 0x7c, 0x7d, 0x80, 0x83, 0x84, 0x87, 0x90, 0x91];

  it.each([
    ...recoverable.map((reason) => [reason, ['ok', '0'], 0] as const),
    ...[...unsupported, ...scalable].map((reason) => [reason, ['ur'], 1] as const),
    ...[...aborted, ...tables].map((reason) => [reason, ['ca'], 1] as const),
  ])('answers fault reason %i with %j and %i records (5.3)', (reason, expected, records) => {
    const rig = new Rig({}, {}, { Translator: failing(reason) }).enable();
    rig.pasid(rig.context(), 5);
    expect(answer(rig, rig.link())).toEqual(expected);
    expect(rig.faults().length).toBe(records);
  });
});

describe.each(GAITS)('TranslationRequests, %s (vtd.md 5.3)', (gait) => {
  it('grants what the table allows, Exe only when asked for', () => {
    const { rig, root, link } = rigged({ gait });
    rig.map(root, PAGE, 0x40123);
    rig.map(root, PAGE + 1, 0x40124, 5n);
    rig.map(root, PAGE + 2, 0x40125, (1n << 63n) | 7n);
    expect(answer(rig, link)).toEqual(['ok', '40123003']);
    expect(answer(rig, link, { exec: true })).toEqual(['ok', '4012300b']);
    expect(answer(rig, link, { page: PAGE + 1 })).toEqual(['ok', '40124001']);
    expect(answer(rig, link, { page: PAGE + 2, exec: true })).toEqual(['ok', '40125003']);
    expect(rig.faults()).toEqual([]);
  });

  it('makes a page dirty when it grants writing, unless NW forbids it; then a clean page is not writable', () => {
    const { rig, root, link } = rigged({ gait });
    rig.map(root, PAGE, 0x40123);
    const leaf = () => {
      let table = root;
      for (let level = 4; level > 1; level--) {
        table = Number(rig.load(table + (Math.floor(PAGE / 512 ** (level - 1)) % 512) * 8) & 0xffff_ffff_f000n);
      }
      return rig.load(table + (PAGE % 512) * 8) & 0xfffn;
    };
    expect(answer(rig, link, { noWrite: true })).toEqual(['ok', '40123001']);
    expect(leaf()).toBe(0x27n);
    expect(answer(rig, link)).toEqual(['ok', '40123003']);
    expect(leaf()).toBe(0x67n);
    expect(answer(rig, link, { noWrite: true })).toEqual(['ok', '40123003']);
  });

  it('takes NW for 0 without ECAP.NWFS', () => {
    const { rig, root, link } = rigged({ gait, nwfs: false });
    rig.map(root, PAGE, 0x40123);
    expect(answer(rig, link, { noWrite: true })).toEqual(['ok', '40123003']);
  });

  it('answers R=W=0 without a record where a device can recover: not present, user, read-only', () => {
    const { rig, root, link } = rigged({ gait });
    rig.map(root, PAGE + 1, 0x40124, 3n);
    expect(answer(rig, link)).toEqual(['ok', '0']);
    expect(answer(rig, link, { page: PAGE + 1 })).toEqual(['ok', '0']);
    expect(rig.faults()).toEqual([]);
  });

  it('echoes privilege, which needs SRE (0x5d)', () => {
    const { rig, root, link } = rigged({ gait }, 1n);
    rig.map(root, PAGE + 1, 0x40124, 3n);
    expect(answer(rig, link, { priv: true })).toEqual(['ok', '10']);
    expect(answer(rig, link, { page: PAGE + 1, priv: true })).toEqual(['ok', '40124013']);
    const { rig: user, link: userLink } = rigged({ gait });
    expect(answer(user, userLink, { priv: true })).toEqual(['ca']);
    expect(user.faults().map(([, qw1]) => qw1.slice(4, 10))).toEqual(['00055d']);
  });

  it('gives the size of the mapping, and one page each where several are asked for', () => {
    const { rig, root, link } = rigged({ gait });
    rig.map(root, 0x40000, 0x40200, 0x87n, 2);
    expect(answer(rig, link, { page: 0x40003 })).toEqual(['ok', '402ff803']);
    expect(answer(rig, link, { page: 0x401fe, count: 3 })).toEqual(['ok', '403fe003', '403ff003', '0']);
  });

  it.each([
    ['no context entry: 0x41', 0n, 0x49n, 5, '41', 'ur'],
    ['DTE=0: 0x44', 0x19n, 0x49n, 5, '44', 'ur'],
    ['PASIDE=0: 0x45', 0x15n, 0x49n, 5, '45', 'ur'],
    ['PASID entry not present: 0x59', 0x1dn, 0n, 5, '59', 'ca'],
    ['PASID entry invalid: 0x5b', 0x1dn, 1n, 5, '5b', 'ca'],
  ])(
    'answers UR or CA and records what comes before the page tables: %s',
    (_name, flags, qw0, pasid, reason, status) => {
      const rig = new Rig({ gait }).enable();
      const directory = rig.context(SID, flags);
      rig.pasid(directory, pasid, qw0);
      const link = rig.link();
      expect(answer(rig, link)).toEqual([status]);
      const [record] = rig.faults();
      // F, T1, AT=1, the PASID and the reason; PP and the requester.
      expect(record).toEqual(['0x00007f1234567000', `0xd00005${reason}80000100`]);
      // FPD suppresses the record, not the answer.
      if (flags !== 0n) {
        rig.store(rig.contextAt(SID), BigInt(directory) | 0x400n | flags | 2n);
        rig.invalidate([0x11n], [0x37n], [0xd2n]);
        expect(answer(rig, link)).toEqual([status]);
        expect(rig.faults()).toEqual([]);
      }
    },
  );

  it.each([
    ['reserved bits in an entry: 0x72', (1n << 51n) | 7n, '72'],
    ['a table where no memory is: 0x70', 0, '70'],
  ])('answers CA and records broken tables: %s', (_name, attributes, reason) => {
    const { rig, root, link } = rigged({ gait });
    if (attributes === 0) {
      rig.map(root, PAGE, 0x40123);
      rig.store(root + (Math.floor(PAGE / 512 ** 3) % 512) * 8, 0x8000_0000_0000n - 0x1000n + 7n);
    } else rig.map(root, PAGE, 0x40123, attributes as bigint);
    expect(answer(rig, link)).toEqual(['ca']);
    expect(rig.faults().map(([, qw1]) => qw1.slice(8, 10))).toEqual([reason]);
  });

  it('answers UR without a record while translation is off, without ECAP.DT, and to what no request can say', () => {
    const { rig, link } = rigged({ gait });
    expect(answer(rig, link, { page: 2 ** 52 })).toEqual(['ur']);
    expect(answer(rig, link, { page: 0.5 })).toEqual(['ur']);
    rig.command(0, 0x0400_0000);
    expect(answer(rig, link)).toEqual(['ur']);
    const { rig: without, link: other } = rigged({ gait, dt: false });
    expect(answer(without, other)).toEqual(['ur']);
    expect([rig.faults(), without.faults()]).toEqual([[], []]);
  });

  it('gives pass-through addresses as they are, a page each', () => {
    const rig = new Rig({ gait }).enable();
    const directory = rig.context();
    rig.store(rig.pasidAt(directory, 0), 0x109n, 0x80_0001n, 0n);
    expect(answer(rig, rig.link(), { pasid: -1, page: 0x40123 })).toEqual(['ok', '40123003']);
  });

  it('translates requests of legacy mode with TT=1 and blocks those of TT=0 and 2 (0x0d)', () => {
    const rig = new Rig({ gait }).enable(0);
    const root = rig.legacy();
    rig.mapSecond(root, 0x1234, 0x40123);
    rig.mapSecond(root, 0x1235, 0x40124, 1n);
    // A page that may only be written.
    rig.mapSecond(root, 0x1236, 0x40125, 2n);
    const link = rig.link();
    expect(answer(rig, link, { pasid: -1, page: 0x1234 })).toEqual(['ok', '40123003']);
    expect(answer(rig, link, { pasid: -1, page: 0x1235 })).toEqual(['ok', '40124001']);
    expect(answer(rig, link, { pasid: -1, page: 0x1236 })).toEqual(['ok', '40125002']);
    expect(answer(rig, link, { pasid: -1, page: 0x1237 })).toEqual(['ok', '0']);
    for (const tt of [0, 2]) {
      rig.legacy(SID, 7, tt, root);
      rig.invalidate([0x11n], [0xd2n]);
      expect(answer(rig, link, { pasid: -1, page: 0x1234 })).toEqual(['ur']);
      expect(rig.faults().map(([, qw1]) => qw1.slice(8, 10))).toEqual(['0d']);
    }
  });

  it('answers a request with PASID in legacy mode UR and records 0x31', () => {
    const rig = new Rig({ gait }).enable(0);
    rig.legacy();
    expect(answer(rig, rig.link())).toEqual(['ur']);
    expect(rig.faults().map(([, qw1]) => qw1.slice(8, 10))).toEqual(['31']);
  });
});
