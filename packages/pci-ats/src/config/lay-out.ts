import { AtsCapability, CAPABILITY, FIRST_CAPABILITY, PasidCapability, PriCapability } from './capabilities.js';
import { BAR0, Type0Header } from './header.js';
import type { PciFunction } from './pci-function.js';

/** The content of configuration space after power-on. */
export function layOut(self: PciFunction): void {
  const { config, options, offsets } = self;
  const words = Type0Header.make({
    vendorId: options.vendorId,
    deviceId: options.deviceId,
    classCode: options.classCode,
    interruptPin: 1,
    ...Object.fromEntries(self.bars.map((_bar, i) => [`bar${i * 2}`, 0b100])),
  });
  config.place(Type0Header, 0, words);
  for (let i = self.bars.length * 2; i < 6; i++) config.placed[BAR0 / 4 + i] = null;
  const chain: { key: 'ats' | 'pri' | 'pasid'; bytes: number }[] = [];
  if (options.ats !== null) chain.push({ key: 'ats', bytes: 16 });
  if (options.pri !== null) chain.push({ key: 'pri', bytes: 16 });
  if (options.pasid !== null) chain.push({ key: 'pasid', bytes: 16 });
  let at = FIRST_CAPABILITY;
  chain.forEach(({ key, bytes }, i) => {
    offsets[key] = at;
    const next = i + 1 < chain.length ? at + bytes : 0;
    placeCapability(self, key, next);
    at += bytes;
  });
}

function placeCapability(
  { config, options, offsets, pf }: PciFunction,
  key: 'ats' | 'pri' | 'pasid',
  next: number,
): void {
  const { ats, pri, pasid } = options;
  if (key === 'ats' && ats !== null) {
    const words = AtsCapability.make({
      id: CAPABILITY.ATS,
      version: 1,
      next,
      // A virtual function shares the queue of its physical one, and says 0 (pcie-ats.md 1.4).
      queueDepth: pf === null ? ats.queueDepth % 32 : 0,
      pageAligned: ats.pageAligned ? 1 : 0,
      globalInvalidate: ats.globalInvalidate ? 1 : 0,
    });
    config.place(AtsCapability, offsets.ats, words);
  }
  if (key === 'pri' && pri !== null) {
    // P-5: Stopped is 1 after reset, as software waits for it before it enables.
    const words = PriCapability.make({
      id: CAPABILITY.PRI,
      version: 1,
      next,
      stopped: 1,
      prgResponsePasidRequired: pri.prgResponsePasidRequired ? 1 : 0,
      capacity: pri.capacity,
    });
    config.place(PriCapability, offsets.pri, words);
  }
  if (key === 'pasid' && pasid !== null) {
    const words = PasidCapability.make({
      id: CAPABILITY.PASID,
      version: 1,
      next,
      execSupported: pasid.exec ? 1 : 0,
      privSupported: pasid.priv ? 1 : 0,
      maxWidth: pasid.width,
    });
    config.place(PasidCapability, offsets.pasid, words);
  }
}
