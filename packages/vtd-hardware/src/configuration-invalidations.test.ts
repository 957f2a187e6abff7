import { describe, expect, it } from 'vitest';
import { Rig, SID } from '../test/rig.js';

const PAGE = 0x7f0000001;
const [OLD, NEW] = [0x40100, 0x40200];

/** Two requesters with PASIDs 5 (DID 1) and 6 (DID 2) that are cached; the tables say something else since. */
function cached() {
  const rig = new Rig().enable();
  const sids = [SID, 0x0103];
  const directories = sids.map((sid) => rig.context(sid));
  for (const [n, sid] of sids.entries()) {
    for (const [pasid, did] of [
      [5, 0x80_0001n],
      [6, 0x80_0002n],
    ] as const) {
      rig.map(rig.pasid(directories[n], pasid, 0x49n, did), PAGE, OLD);
      expect(rig.translate(sid, pasid, PAGE)).toBe(OLD);
    }
  }
  return { rig, sids, directories };
}

describe('ConfigurationInvalidations', () => {
  it.each([
    ['of all PASIDs (golden)', [0x0000000000000037n], ['100/5', '100/6', '103/5', '103/6']],
    ['of a domain', [0x0000000000010007n], ['100/5', '103/5']],
    ['of one PASID (golden)', [0x0000000500010017n], ['100/5', '103/5']],
    ['of one PASID of another domain', [0x0000000500020017n], []],
  ])('drops cached PASID entries %s (3.7)', (_name, words, expected) => {
    const { rig, sids, directories } = cached();
    for (const directory of directories) {
      for (const [pasid, did] of [
        [5, 0x80_0001n],
        [6, 0x80_0002n],
      ] as const) {
        rig.map(rig.pasid(directory, pasid, 0x49n, did), PAGE, NEW);
      }
    }
    // Translations are another cache, which is emptied: what tells is where the tables are.
    rig.invalidate(words, [0xd2n], rig.wait(0));
    expect(rig.statusOf(0)).toBe(2);
    const found = sids.flatMap((sid) =>
      [5, 6].filter((pasid) => rig.translate(sid, pasid, PAGE) === NEW).map((pasid) => `${sid.toString(16)}/${pasid}`),
    );
    expect(found).toEqual(expected);
  });

  it.each([
    ['of all devices', [0x11n], ['100', '103']],
    ['of one device (golden)', [0x0000010000000031n], ['100']],
    ['of one device, whatever the domain in scalable mode', [0x0000010012340031n], ['100']],
    ['of a domain: of all, for these entries have none', [0x12340021n], ['100', '103']],
    ['of a device whose function bits 1 and 0 are masked with FM=3', [0x0003010000000031n], ['100', '103']],
    ['of a device whose function bits 2 and 1 are masked with FM=2', [0x0002010000000031n], ['100']],
    ['of another device', [0x0000020000000031n], []],
  ])('drops cached context entries %s (3.1)', (_name, words, expected) => {
    const { rig, sids } = cached();
    for (const sid of sids) rig.store(rig.contextAt(sid), 0n);
    rig.invalidate(words, [0x37n], [0xd2n], rig.wait(0));
    const found = sids.filter((sid) => rig.translate(sid, 5, PAGE) === 'fault 0x41').map((sid) => sid.toString(16));
    expect(found).toEqual(expected);
  });

  it('drops cached context entries by domain in legacy mode', () => {
    const rig = new Rig().enable(0);
    for (const [sid, did] of [
      [SID, 7],
      [0x0103, 8],
    ])
      rig.mapSecond(rig.legacy(sid, did), PAGE, OLD);
    for (const sid of [SID, 0x0103]) expect(rig.translate(sid, -1, PAGE)).toBe(OLD);
    for (const [sid, did] of [
      [SID, 7],
      [0x0103, 8],
    ])
      rig.mapSecond(rig.legacy(sid, did), PAGE, NEW);
    rig.invalidate([0x70021n], [0xd2n], rig.wait(0));
    expect([rig.translate(SID, -1, PAGE), rig.translate(0x0103, -1, PAGE)]).toEqual([NEW, OLD]);
    // Device-selective with the wrong domain drops nothing here.
    rig.invalidate([0x0000010300070031n], [0xd2n]);
    expect(rig.translate(0x0103, -1, PAGE)).toBe(OLD);
    rig.invalidate([0x0000010300080031n], [0xd2n]);
    expect(rig.translate(0x0103, -1, PAGE)).toBe(NEW);
  });
});
