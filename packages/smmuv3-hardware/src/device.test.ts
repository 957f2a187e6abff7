import { FairChooser, Kernel, PhysicalBus, RandomChooser, ThreadedInterrupt } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { BASE, Rig } from '../test/rig.js';
import { type SmmuV3, smmuV3Hardware, TlbCommands } from './index.js';

const PAGE = 0x7f1234567;

/** A mutant: one step does nothing. */
class ForgetsAsid extends TlbCommands {
  override nhAsid(): number {
    return 0;
  }
}

describe('SmmuV3', () => {
  it('is made by the module for its compatible string, with parts that override single steps', () => {
    const kernel = new Kernel();
    const bus = new PhysicalBus(kernel, [{ base: 0x4000_0000, bytes: 2 ** 21 }]);
    const irq = (name: string) => new ThreadedInterrupt(kernel, name);
    const place = { kernel, bus, name: 'smmu', base: BASE, bytes: 0x20000, capabilities: {}, irq };
    const parts = { ...smmuV3Hardware.parts, TlbCommands: ForgetsAsid };
    const smmu: SmmuV3 = smmuV3Hardware.create(place, {}, parts);
    expect(smmuV3Hardware.matches).toEqual(['arm,smmu-v3']);
    expect(smmu.tlbCommands).toBeInstanceOf(ForgetsAsid);
    expect(smmu.name).toBe('smmu');
    expect(() => smmuV3Hardware.create(place)).toThrow(/EBUSY/);
  });

  it('consumes commands while devices translate, in any schedule: no old translation after the SYNC', () => {
    for (let seed = 1; seed <= 200; seed++) {
      const rig = new Rig().enable();
      const table = rig.cdTable(0x42, 6);
      const root = rig.cd(table, 5, Rig.cd0(0x12));
      rig.map(root, PAGE, 0x40100);
      const link = rig.link(0x42);
      const request = {
        kind: 'translation-request',
        tag: 1,
        pasid: 5,
        page: PAGE,
        count: 1,
        noWrite: true,
        exec: false,
        priv: false,
      } as const;
      let synced = 0;
      rig.kernel.spawn('driver', function* () {
        yield* rig.kernel.point(Math.floor(root / 8), true);
        rig.map(root, PAGE, 0x40200);
        yield* rig.kernel.point(Math.floor((BASE + 0x98) / 8), true);
        rig.post(0x0012000000000011n, 0n, 0x0fc02046n, 0n);
        yield* rig.kernel.until(Math.floor((BASE + 0x9c) / 8), () => rig.cons === 2, 'the SYNC');
        synced = link.sent.length;
      });
      rig.kernel.spawn('device', function* () {
        for (let i = 0; i < 6; i++) yield* rig.smmu.receive(link, request);
      });
      rig.kernel.begin(new RandomChooser(seed));
      expect(rig.kernel.run().end).toBe('finished');
      const late = link.sent
        .slice(synced + 1)
        .map((tlp) => (tlp.kind === 'translation-completion' ? tlp.entries[0] : 0));
      expect(late.filter((entry) => entry >>> 12 !== 0x40200)).toEqual([]);
    }
  });

  it('wakes a driver that polls CMDQ_CONS, and runs the same way twice', () => {
    const steps = [1, 2].map(() => {
      const rig = new Rig().enable();
      rig.post(0x0fc02046n, 0n);
      rig.kernel.spawn('driver', function* () {
        expect(yield* rig.kernel.until(Math.floor((BASE + 0x9c) / 8), () => rig.cons === 1, 'CONS', 1000)).toBe(true);
      });
      rig.kernel.begin(new FairChooser());
      expect(rig.kernel.run().end).toBe('finished');
      return rig.kernel.steps;
    });
    expect(steps[0]).toBe(steps[1]);
  });
});
