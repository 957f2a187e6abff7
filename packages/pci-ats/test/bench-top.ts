import {
  BusMmio,
  type Chooser,
  type Coroutine,
  FairChooser,
  Kernel,
  type Outcome,
  PhysicalBus,
} from '@iommukit/kernel';
import {
  Atc,
  type AtcOptions,
  type AtsEndpoint,
  assignBar,
  type Downstream,
  EcamWindow,
  enableAts,
  enablePasid,
  enablePri,
  encodeTranslation,
  type Link,
  PageRequestInterface,
  PcieLink,
  PciFunction,
  type PciFunctionOptions,
  setBusMaster,
  type TranslationAgent,
  type Upstream,
} from '../src/index.js';

export const ECAM = 0x10_0000_0000;
export const BDF = 0x18;
export const CONFIG = ECAM + BDF * 4096;
export const NAME = '0000:00:03.0';

export const OPTIONS: PciFunctionOptions = {
  vendorId: 0x1d55,
  deviceId: 0x0e57,
  classCode: 0x120000,
  ats: { queueDepth: 32, pageAligned: true, globalInvalidate: true },
  pri: { capacity: 16, prgResponsePasidRequired: true },
  pasid: { width: 20, exec: true, priv: true },
};

/** An agent that answers translation requests from a map of pages, and keeps everything that it is sent. */
export class FakeAgent implements TranslationAgent {
  readonly kernel: Kernel;
  link: Link | null = null;
  readonly seen: Upstream[] = [];
  /** Rights of pages; identity translation. Pages that are not here are denied. */
  readonly pages = new Map<number, { perm: number; order: number; attributes?: number }>();
  /** False: translation requests are kept in {@link seen}, and the test answers. */
  answers = true;
  /** Pages of a translation unit. */
  unit = 1;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  connect(link: Link): void {
    this.link = link;
  }

  *receive(link: Link, tlp: Upstream): Coroutine<void> {
    this.seen.push(tlp);
    if (tlp.kind === 'translation-request' && this.answers) yield* this.answer(tlp);
    if (tlp.kind === 'read')
      yield* link.down({ kind: 'completion', tag: tlp.tag, status: 'ok', data: new Uint8Array(tlp.bytes) });
  }

  *answer(tlp: Extract<Upstream, { kind: 'translation-request' }>, status: 'ok' | 'ur' | 'ca' = 'ok'): Coroutine<void> {
    const entries = new Uint32Array(status === 'ok' ? tlp.count * 2 : 0);
    for (let n = 0; n * 2 < entries.length; n++) {
      const page = tlp.page + n * this.unit;
      const found = this.pages.get(page) ?? { perm: 0, order: 0 };
      encodeTranslation(entries, n * 2, page, found.order, found.perm, found.attributes);
    }
    yield* this.link!.down({ kind: 'translation-completion', tag: tlp.tag, status, entries, born: this.kernel.steps });
  }

  translate(): boolean {
    return false;
  }

  kinds(): string[] {
    return this.seen.map((tlp) => tlp.kind);
  }
}

/** A function with a register page, its ATC and its page request interface, behind a link. */
export class FakeDevice implements AtsEndpoint {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: 0x4000_0000, bytes: 2 ** 21 }]);
  readonly ecam = new EcamWindow(this.bus, ECAM, 1);
  readonly agent = new FakeAgent(this.kernel);
  readonly irq = { name: 'intx', pulses: 0, set: () => {}, pulse: () => void this.irq.pulses++, handle: () => {} };
  readonly link = new PcieLink(this.kernel, { name: NAME, stream: 0x18, irq: this.irq });
  readonly registers = new Uint32Array(1024);
  readonly fn: PciFunction;
  readonly atc: Atc;
  readonly pri: PageRequestInterface;
  readonly config = new BusMmio(this.kernel, this.bus, CONFIG, 4096, `${NAME} config`);
  readonly seen: Downstream[] = [];
  readonly onCompletion: (() => void)[] = [];

  constructor(
    options: Partial<PciFunctionOptions> = {},
    entries = 8,
    AtcClass: typeof Atc = Atc,
    PriClass: typeof PageRequestInterface = PageRequestInterface,
    more: Pick<AtcOptions, 'classes' | 'pushesBack'> = {},
  ) {
    const { kernel, link } = this;
    this.fn = new PciFunction(kernel, this.bus, { ...OPTIONS, ...options }, [
      {
        bytes: 4096,
        read: (offset, _bytes, out) => {
          out[0] = this.registers[offset / 4];
        },
        write: (offset, _bytes, lo) => {
          this.registers[offset / 4] = lo;
        },
      },
    ]);
    this.atc = new AtcClass({
      kernel,
      name: `${NAME} ATC`,
      link,
      fn: this.fn,
      memory: this.bus.memory,
      entries,
      ...more,
    });
    this.pri = new PriClass({ kernel, link, fn: this.fn });
    this.fn.listener = {
      atsDisabled: () => this.atc.dropAll(),
      priEnabled: () => this.pri.enabled(),
      priDisabled: () => this.pri.disabled(),
      priReset: () => this.pri.reset(),
    };
    this.ecam.add(BDF, this.fn.config);
    link.join(this, this.agent);
  }

  *receive(tlp: Downstream): Coroutine<void> {
    this.seen.push(tlp);
    if (tlp.kind === 'translation-completion') this.atc.answer(tlp);
    if (tlp.kind === 'invalidate-request') yield* this.atc.invalidate(tlp);
    if (tlp.kind === 'prg-response') this.pri.respond(tlp);
    if (tlp.kind === 'completion') for (const wake of this.onCompletion.splice(0)) wake();
  }

  /** Everything on, as a driver does it. */
  *enable(credits = 4): Coroutine<void> {
    const { config } = this;
    yield* assignBar(config, 0, 0x1_0000_0000);
    yield* setBusMaster(config, true);
    yield* enablePasid(config, 6);
    yield* enableAts(config, 12);
    yield* enablePri(config, credits);
  }

  /** Runs `body` as the only actor to its end. */
  run(body: () => Coroutine<void>, chooser: Chooser = new FairChooser()): Outcome {
    this.kernel.begin(chooser);
    this.kernel.spawn('test', body);
    return this.kernel.run();
  }
}

/** Runs a body on its own kernel and expects it to finish. */
export function finish(device: FakeDevice, body: () => Coroutine<void>, chooser?: Chooser): void {
  const outcome = device.run(body, chooser);
  if (outcome.end !== 'finished') throw new Error(`the run ended with ${JSON.stringify(outcome)}`);
}
