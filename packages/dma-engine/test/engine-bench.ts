import {
  BusMmio,
  type Chooser,
  type Coroutine,
  FairChooser,
  Kernel,
  Observer,
  type Outcome,
  PhysicalBus,
  type Setting,
  type Settings,
} from '@iommukit/kernel';
import {
  assignBar,
  type Downstream,
  EcamWindow,
  enableAts,
  enablePasid,
  enablePri,
  encodeInvalidate,
  encodeTranslation,
  type Link,
  PcieLink,
  setBusMaster,
  type TranslationAgent,
  type Upstream,
} from '@iommukit/pci-ats';
import { type DmaEngine, dmaEngine, type EngineParts } from '../src/index.js';

const ECAM = 0x10_0000_0000;
const BDF = 0x18;
const BAR = 0x1000_0000;
const RAM = 0x4000_0000;

/** The name of the benches' engine. */
export const NAME = '0000:00:03.0';
/** Pages that the fake IOMMU can translate: page n is frame RAM / 4096 + n. */
export const PAGES = 64;

type PageRequest = Extract<Upstream, { kind: 'page-request' }>;

/** What the fake IOMMU answers a closed group with: a code, or nothing for now. */
export type Answer = (requests: readonly PageRequest[]) => number | null;

/** A fake IOMMU: page n is frame n of its RAM, with the rights that {@link rights} gives. */
export class FakeIommu implements TranslationAgent {
  readonly bench: EngineBench;
  link: Link | null = null;
  /** Everything that the device sent, in order of arrival. */
  readonly seen: Upstream[] = [];
  /** Rights by page; absent pages have none. */
  readonly rights = new Map<number, number>();
  /** Pages whose frame is another one. */
  readonly moved = new Map<number, number>();
  /** Requests of groups that are not closed. */
  readonly partial: PageRequest[] = [];
  /** By default grants what was asked for. */
  answer: Answer = (requests) => this.grant(requests);
  /** Called before a message is handled; true: it is not handled. */
  before: (tlp: Upstream) => boolean = () => false;
  translationStatus: 'ok' | 'ur' | 'ca' = 'ok';
  attributes = 0;

  constructor(bench: EngineBench) {
    this.bench = bench;
  }

  connect(link: Link): void {
    this.link = link;
  }

  translate(): boolean {
    return false;
  }

  grant(requests: readonly PageRequest[]): number {
    for (const { page, perm } of requests) this.rights.set(page, (this.rights.get(page) ?? 0) | perm);
    return 0;
  }

  *receive(_link: Link, tlp: Upstream): Coroutine<void> {
    this.seen.push(tlp);
    if (!this.before(tlp)) yield* this.handle(tlp);
  }

  *handle(tlp: Upstream): Coroutine<void> {
    const { bus } = this.bench;
    if (tlp.kind === 'translation-request') yield* this.translateFor(tlp);
    if (tlp.kind === 'page-request') yield* this.collect(tlp);
    if (tlp.kind === 'write') bus.write(this.place(tlp), tlp.data);
    if (tlp.kind !== 'read') return;
    const data = new Uint8Array(tlp.bytes);
    bus.read(this.place(tlp), data);
    yield* this.down({ kind: 'completion', tag: tlp.tag, status: 'ok', data });
  }

  /** Untranslated accesses are translated here. */
  place({ at, page, offset }: { at: number; page: number; offset: number }): number {
    return (at === 2 ? page : RAM / 4096 + page) * 4096 + offset;
  }

  *translateFor(tlp: Extract<Upstream, { kind: 'translation-request' }>): Coroutine<void> {
    const entries = new Uint32Array(this.translationStatus === 'ok' ? 2 : 0);
    const perm = this.rights.get(tlp.page) ?? 0;
    const { translationStatus: status, attributes } = this;
    const frame = this.moved.get(tlp.page) ?? tlp.page % PAGES;
    if (status === 'ok') encodeTranslation(entries, 0, RAM / 4096 + frame, 0, perm, attributes);
    const born = this.bench.kernel.steps;
    yield* this.down({ kind: 'translation-completion', tag: tlp.tag, status, entries, born });
  }

  *collect(tlp: PageRequest): Coroutine<void> {
    this.partial.push(tlp);
    if (!tlp.last || tlp.perm === 0) return;
    const requests = this.partial.splice(0);
    const code = this.answer(requests);
    if (code !== null) yield* this.respond(tlp, code);
  }

  *respond({ pasid, prgi }: PageRequest, code: number): Coroutine<void> {
    yield* this.down({ kind: 'prg-response', pasid, prgi, code });
  }

  *invalidate(page: number, pasid = 5): Coroutine<void> {
    const [lo, hi] = encodeInvalidate(page, 0, false);
    yield* this.down({ kind: 'invalidate-request', itag: 0, pasid, lo, hi });
  }

  *down(tlp: Downstream): Coroutine<void> {
    yield* this.link!.down(tlp);
  }

  /** What was seen, in short: `translate 3 w`, `request 3 w last`, `read 3+8 16`, `write 3+0 4096`. */
  log(): string[] {
    return this.seen.map((tlp) => {
      if (tlp.kind === 'translation-request') return `translate ${tlp.page} ${tlp.noWrite ? 'r' : 'w'}`;
      if (tlp.kind === 'page-request') return `request ${tlp.page} ${tlp.perm}${tlp.last ? ' last' : ''}`;
      const page = (frame: number): number => frame - RAM / 4096;
      if (tlp.kind === 'read') return `read ${page(tlp.page)}+${tlp.offset} ${tlp.bytes}`;
      if (tlp.kind === 'write') return `write ${page(tlp.page)}+${tlp.offset} ${tlp.data.length}`;
      return tlp.kind;
    });
  }
}

/** An engine behind a fake IOMMU, with its register window as a driver sees it. */
export class EngineBench {
  readonly kernel = new Kernel();
  readonly bus = new PhysicalBus(this.kernel, [{ base: RAM, bytes: 2 ** 21 }]);
  readonly iommu = new FakeIommu(this);
  readonly pulses: number[] = [];
  readonly irq = {
    name: 'intx',
    set: () => {},
    pulse: () => void this.pulses.push(this.kernel.steps),
    handle: () => {},
  };
  readonly link = new PcieLink(this.kernel, { name: NAME, stream: BDF, irq: this.irq });
  readonly engine: DmaEngine;
  readonly config = new BusMmio(this.kernel, this.bus, ECAM + BDF * 4096, 4096, `${NAME} config`);
  readonly registers = new BusMmio(this.kernel, this.bus, BAR, 0x20000, NAME);

  constructor(
    options: {
      readonly settings?: Settings;
      readonly capabilities?: Readonly<Record<string, Setting>>;
      readonly parts?: Partial<EngineParts>;
      readonly observer?: Observer;
    } = {},
  ) {
    const { kernel, bus, link } = this;
    const { settings = {}, capabilities = {}, parts = {}, observer = new Observer() } = options;
    kernel.observer = observer;
    const place = { kernel, bus, name: NAME, base: 0, bytes: 0, capabilities, irq: () => this.irq };
    this.engine = dmaEngine.create(place, link, settings, { ...dmaEngine.parts, ...parts });
    new EcamWindow(bus, ECAM, 1).add(BDF, this.engine.config);
    link.join(this.engine, this.iommu);
    for (let frame = 0; frame < PAGES; frame++) bus.frames.alloc('test page');
  }

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Bytes of the fake IOMMU's page 0 and up. */
  bytes(at: number, count: number): number[] {
    const into = new Uint8Array(count);
    this.bus.read(RAM + at, into);
    return [...into];
  }

  /** Stores `values` from byte `at` of page 0. */
  put(at: number, values: readonly number[] | Uint8Array): void {
    this.bus.write(RAM + at, Uint8Array.from(values));
  }

  /** Gives the device rights to pages. */
  allow(pages: readonly number[], perm: number): void {
    for (const page of pages) this.iommu.rights.set(page, perm);
  }

  // ── what a driver does, with the offsets of the README ─────────────────────────────────────────────────────────

  /** Everything on; without credits page requests stay off. `features`: of PASIDs, 4 is privileged mode. */
  *enable(credits = 32, features = 0): Coroutine<void> {
    const { config } = this;
    yield* assignBar(config, 0, BAR);
    yield* setBusMaster(config, true);
    yield* enablePasid(config, features);
    yield* enableAts(config, 12);
    if (credits > 0) yield* enablePri(config, credits);
  }

  /** What a driver does without ATS and page requests. */
  *enablePlain(pasids = true, features = 0): Coroutine<void> {
    const { config } = this;
    yield* assignBar(config, 0, BAR);
    yield* setBusMaster(config, true);
    if (pasids) yield* enablePasid(config, features);
  }

  /** Describes a job. Addresses are byte addresses of at most 2^53. */
  *program(job: {
    readonly op: number;
    readonly source?: number;
    readonly destination?: number;
    readonly bytes: number;
    readonly pasid?: number;
    readonly pattern?: number;
    readonly prefetch?: number;
  }): Coroutine<void> {
    const { registers } = this;
    const { op, source = 0, destination = 0, bytes, pasid = 5, pattern = 0, prefetch = 0 } = job;
    yield* registers.write32(0x0c, op);
    yield* registers.write64(0x10, source % 2 ** 32, Math.floor(source / 2 ** 32));
    yield* registers.write64(0x18, destination % 2 ** 32, Math.floor(destination / 2 ** 32));
    yield* registers.write32(0x20, bytes);
    yield* registers.write32(0x24, pasid);
    yield* registers.write32(0x28, pattern);
    yield* registers.write32(0x2c, prefetch);
  }

  *ring(): Coroutine<void> {
    yield* this.registers.write32(0x04, 1);
  }

  /** Runs a job. @returns its status */
  *job(job: Parameters<EngineBench['program']>[0]): Coroutine<number> {
    yield* this.program(job);
    yield* this.ring();
    return yield* this.outcome();
  }

  *outcome(): Coroutine<number> {
    return yield* this.registers.until32(0x08, (value) => value !== 1, 1e9);
  }

  *stop(pasid: number): Coroutine<void> {
    yield* this.registers.write32(0x34, 0x8000_0000 + pasid);
  }

  /** Waits until STOPPED says that this PASID is done with. */
  *stopped(pasid: number): Coroutine<void> {
    yield* this.registers.until32(0x38, (value) => value === 0x8000_0000 + pasid, 1e9);
  }

  // ── runs ───────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Runs one task to its end. */
  run(body: () => Coroutine<void>, chooser: Chooser = new FairChooser()): Outcome {
    this.kernel.begin(chooser);
    this.kernel.spawn('test', body);
    return this.kernel.run();
  }

  /** Runs one task, and fails unless it finishes. */
  do(body: () => Coroutine<void>, chooser?: Chooser): this {
    const outcome = this.run(body, chooser);
    if (outcome.end !== 'finished') throw new Error(`the run ended with ${JSON.stringify(outcome)}`);
    return this;
  }

  /** The device enabled, with nothing on record yet. */
  boot(credits?: number): this {
    this.do(() => this.enable(credits));
    this.iommu.seen.length = 0;
    return this;
  }
}
