import type { Device } from '@iommukit/core';
import { BusMmio, type Coroutine, type Setting } from '@iommukit/kernel';
import { type Downstream, EcamWindow, PcieLink, PciFunction } from '@iommukit/pci-ats';
import { Bench, type BenchOptions } from './bench.js';

const ECAM = 0x1000_0000;

/** StreamID of the benches' PCI function 00:03.0. */
export const PCI_SID = 0x18;

/** A PCI function that answers invalidations and writes down what it gets. */
export class PciBench extends Bench {
  readonly function: PciFunction;
  readonly link: PcieLink;
  readonly pci: Device;
  /** Messages from the root complex, with whether ATS was on when they came. */
  readonly got: (Downstream & { readonly atsOn: boolean })[] = [];

  constructor(options: BenchOptions & { readonly pasidRequired?: boolean; readonly pri?: boolean } = {}) {
    super(options);
    const { kernel, bus } = this;
    this.function = new PciFunction(
      kernel,
      bus,
      {
        vendorId: 0x1d55,
        deviceId: 1,
        classCode: 0x120000,
        ats: { queueDepth: 32, pageAligned: true, globalInvalidate: false },
        pri: options.pri === false ? null : { capacity: 16, prgResponsePasidRequired: options.pasidRequired ?? false },
        pasid: { width: 20, exec: false, priv: false },
      },
      [],
    );
    new EcamWindow(bus, ECAM, 1).add(PCI_SID, this.function.config);
    this.link = new PcieLink(kernel, { name: '0000:00:03.0', stream: PCI_SID });
    this.link.join({ receive: (tlp) => this.receive(tlp) }, this.hardware);
    const properties: Readonly<Record<string, Setting>> = { 'ats-supported': true, ...options.properties };
    this.pci = {
      ...this.makeDevice('0000:00:03.0', [PCI_SID], properties),
      config: new BusMmio(kernel, bus, ECAM + PCI_SID * 4096, 4096, '0000:00:03.0'),
      property: (key) => properties[key] ?? null,
    };
  }

  *receive(tlp: Downstream): Coroutine<void> {
    this.got.push({ ...tlp, atsOn: this.function.state.ats });
    if (tlp.kind !== 'invalidate-request') return;
    yield* this.link.up({ kind: 'invalidate-completion', itags: (1 << tlp.itag) >>> 0, count: 1 });
  }

  override *start(): Coroutine<void> {
    yield* this.driver.start();
    yield* this.driver.probeDevice(this.pci);
    yield* this.driver.enable(this.pci, 'iopf');
    yield* this.driver.enable(this.pci, 'sva');
  }

  /** The device asks for a page. */
  *ask(pasid: number, prgi: number, page: number, perm: number, last = true): Coroutine<void> {
    yield* this.link.up({ kind: 'page-request', pasid, prgi, page, perm, last });
  }

  /** Answers that the device got: [group, code, PASID]. */
  answers(): number[][] {
    return this.got.flatMap((tlp) => (tlp.kind === 'prg-response' ? [[tlp.prgi, tlp.code, tlp.pasid]] : []));
  }

  /** Invalidations that the device got: PASID and body. */
  invalidations(): string[] {
    return this.got.flatMap((tlp) =>
      tlp.kind === 'invalidate-request' ? [`${tlp.pasid} ${tlp.hi.toString(16)}.${tlp.lo.toString(16)}`] : [],
    );
  }
}
