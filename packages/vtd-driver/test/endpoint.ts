import type { Coroutine, Kernel, PhysicalBus } from '@iommukit/kernel';
import { AT, Atc, type Downstream, PageRequestInterface, PcieLink, PciFunction } from '@iommukit/pci-ats';

/** How an access of an {@link Endpoint} ended. */
export type AccessEnd = 'done' | 'denied' | 'ur' | 'ca' | 'off' | 'gave up';

/** A PCI function with an ATC and page requests: it writes or reads single bytes, and nothing else. */
export class Endpoint {
  readonly fn: PciFunction;
  readonly link: PcieLink;
  readonly atc: Atc;
  readonly pri: PageRequestInterface;
  /** What came down, by kind. */
  readonly got: Downstream[] = [];
  /** False: it does not answer invalidations. */
  answers = true;
  reads: { readonly tag: number; status: string | null }[] = [];

  constructor(kernel: Kernel, bus: PhysicalBus, name: string, stream: number) {
    this.link = new PcieLink(kernel, { name, stream });
    const ids = { vendorId: 0x1d55, deviceId: 1, classCode: 0x120000 };
    this.fn = new PciFunction(
      kernel,
      bus,
      {
        ...ids,
        ats: { queueDepth: 32, pageAligned: true, globalInvalidate: false },
        pri: { capacity: 8, prgResponsePasidRequired: true },
        pasid: { width: 20, exec: false, priv: true },
      },
      [],
    );
    const { link, fn } = this;
    this.atc = new Atc({ kernel, name: `${name} ATC`, link, fn, memory: bus.memory, entries: 16 });
    this.pri = new PageRequestInterface({ kernel, link, fn });
  }

  *receive(tlp: Downstream): Coroutine<void> {
    this.got.push(tlp);
    if (tlp.kind === 'translation-completion') this.atc.answer(tlp);
    else if (tlp.kind === 'prg-response') this.pri.respond(tlp);
    else if (tlp.kind === 'invalidate-request' && this.answers) yield* this.atc.invalidate(tlp);
  }

  /** One access through the ATC; asks for the page where it has no right, up to `tries` times. */
  *access(pasid: number, page: number, write = true, tries = 8): Coroutine<AccessEnd> {
    const { atc, fn } = this;
    const want = write ? 2 : 1;
    for (let i = 0; i < tries; ) {
      if (!fn.state.ats) return 'off';
      const line = atc.lookup(pasid, page);
      if (line >= 0 && (atc.rights(line) & want) === want) return yield* this.use(line, pasid, page, write);
      const outcome = yield* atc.translate(pasid, page, want);
      if (outcome === 'ur') return 'ur';
      if (outcome === 'cached' || outcome === 'again') continue;
      i++;
      // After an abort some functions ask for the page all the same.
      const group = yield* this.pri.request(pasid, [page], want);
      if (group === null) return 'off';
      if ((yield* this.pri.answerOf(group)) !== 0) return 'denied';
    }
    return 'gave up';
  }

  *use(line: number, pasid: number, page: number, write: boolean): Coroutine<AccessEnd> {
    const { atc } = this;
    atc.pin(line);
    const [frame, witness] = [atc.frameOf(line, page), atc.witnessOf(line, page)];
    const common = { at: AT.TRANSLATED, pasid, page: frame, offset: 0, witness };
    if (write) yield* this.link.up({ kind: 'write', ...common, data: Uint8Array.of(0x5a) });
    else yield* this.link.up({ kind: 'read', ...common, tag: 1, bytes: 1 });
    if (atc.unpin(line)) yield* atc.settle();
    return 'done';
  }

  /** One write that the unit translates. */
  *untranslated(pasid: number, page: number): Coroutine<void> {
    const data = Uint8Array.of(0xa5);
    yield* this.link.up({ kind: 'write', at: AT.UNTRANSLATED, pasid, page, offset: 0, data, witness: 0 });
  }
}
