import type { Device, IommuDriver } from '@iommukit/core';
import type { Coroutine, HardwarePlace, Kernel, Step } from '@iommukit/kernel';
import type { EndpointDriver, EndpointDriverModule, EndpointHardwareModule } from '@iommukit/machine';
import {
  type AtsEndpoint,
  type Downstream,
  decodeTranslation,
  type Link,
  PciFunction,
  setBusMaster,
  type Upstream,
} from '@iommukit/pci-ats';
import { ConformanceError } from './checks.js';

/** The model that the kit plugs in where a test is the device. */
export const PROBE_MODEL = 'conformance-probe';

/** Pauses after which nothing comes any more: time passes only when nobody else can run. */
const PATIENCE = 2000;

const IDENTITY = { vendorId: 0x1d55, deviceId: 0xc0de, classCode: 0x120000 };

/** What one entry of a translation completion grants. */
export interface Grant {
  readonly frame: number;
  /** 1 read, 2 write, 4 execute; 0: denied. */
  readonly perm: number;
  /** 2^order pages. */
  readonly order: number;
}

/** A PCI function that says what a test tells it to, and keeps what it hears. */
export class Probe implements AtsEndpoint {
  readonly kernel: Kernel;
  readonly name: string;
  readonly link: Link;
  readonly fn: PciFunction;
  /** What came from the root complex, in order. */
  readonly heard: Downstream[] = [];
  /** Invalidations that were not completed, because {@link Probe.state}.holds. */
  readonly held: number[] = [];
  /** `holds`: invalidations wait for {@link release}. */
  readonly state = { holds: false };

  constructor(place: HardwarePlace, link: Link) {
    const { kernel, bus, name, capabilities: can } = place;
    this.kernel = kernel;
    this.name = name;
    this.link = link;
    const has = (key: string): boolean => can[key] !== false;
    this.fn = new PciFunction(
      kernel,
      bus,
      {
        ...IDENTITY,
        ats: has('ats') ? { queueDepth: 32, pageAligned: true, globalInvalidate: false } : null,
        pri: has('pri') ? { capacity: 32, prgResponsePasidRequired: has('prgPasidRequired') } : null,
        pasid: { width: Number(can['pasidBits'] ?? 20), exec: true, priv: true },
      },
      [],
    );
    this.fn.listener = {
      atsDisabled() {},
      priEnabled: () => this.fn.setStopped(false),
      priDisabled: () => this.fn.setStopped(true),
      priReset() {},
    };
    kernel.checkpoints.keepList(this.heard);
    kernel.checkpoints.keepList(this.held);
    kernel.checkpoints.keep(this.state);
  }

  get config(): PciFunction['config'] {
    return this.fn.config;
  }

  receive(tlp: Downstream): Step<void> {
    this.heard.push(tlp);
    if (tlp.kind !== 'invalidate-request') return this.kernel.done(undefined);
    if (!this.state.holds) return this.complete(tlp.itag);
    this.held.push(tlp.itag);
    return this.kernel.done(undefined);
  }

  complete(itag: number): Step<void> {
    return this.link.up({ kind: 'invalidate-completion', itags: (1 << itag) >>> 0, count: 1 });
  }

  /** Completes what was held back, and holds back nothing more. */
  *release(): Coroutine<void> {
    this.state.holds = false;
    for (const itag of this.held.splice(0)) yield* this.complete(itag);
  }

  // ── what it says ───────────────────────────────────────────────────────────────────────────────────────────────

  send(tlp: Upstream): Step<void> {
    return this.link.up(tlp);
  }

  /** One page request; the last of a group unless `last` is false. */
  ask(pasid: number, prgi: number, page: number, perm: number, last = true): Step<void> {
    return this.send({ kind: 'page-request', pasid, prgi, page, perm, last });
  }

  /** Asks for a translation, and waits for what is granted; null when the request is refused as a whole. */
  *translation(pasid: number, page: number, { write = true, tag = 1 } = {}): Coroutine<Grant | null> {
    const before = this.heard.length;
    yield* this.send({
      kind: 'translation-request',
      tag,
      pasid,
      page,
      count: 1,
      noWrite: !write,
      exec: false,
      priv: false,
    });
    const answer = (): Downstream | undefined =>
      this.heard.slice(before).find((tlp) => tlp.kind === 'translation-completion' && tlp.tag === tag);
    yield* this.until(() => answer() !== undefined, 'an answer to a translation request');
    return grantOf(answer() as TranslationCompletion);
  }

  /** Waits until `count` groups were answered. */
  answered(count: number): Coroutine<void> {
    return this.until(() => this.answers.length >= count, `${count} answers to page requests`);
  }

  /** Waits until `test` holds. @throws ConformanceError when it never will */
  *until(test: () => boolean, what: string): Coroutine<void> {
    for (let i = 0; i < PATIENCE; i++) {
      if (test()) return;
      yield* this.kernel.clock.sleep(1000);
    }
    throw new ConformanceError(`${this.name} waits for ${what}, which never come${what.startsWith('an ') ? 's' : ''}`);
  }

  // ── what it heard ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Answers to groups. */
  get answers(): readonly Extract<Downstream, { kind: 'prg-response' }>[] {
    return this.heard.filter((tlp) => tlp.kind === 'prg-response');
  }

  /** Invalidations of its translations. */
  get invalidations(): readonly Extract<Downstream, { kind: 'invalidate-request' }>[] {
    return this.heard.filter((tlp) => tlp.kind === 'invalidate-request');
  }
}

type TranslationCompletion = Extract<Downstream, { kind: 'translation-completion' }>;

function grantOf({ status, entries }: TranslationCompletion): Grant | null {
  if (status !== 'ok') return null;
  const out = { page: 0, order: 0, perm: 0, attributes: 0 };
  decodeTranslation(entries[0] ?? 0, entries[1] ?? 0, out);
  return { frame: out.page, perm: out.perm & 7, order: out.order };
}

/** Leaves the device to the test: no feature is on. */
class ProbeDriver implements EndpointDriver {
  readonly device: Device;
  readonly iommu: IommuDriver;

  constructor(device: Device, iommu: IommuDriver) {
    this.device = device;
    this.iommu = iommu;
  }

  *probe(): Coroutine<void> {
    yield* setBusMaster(this.device.config!, true);
  }
}

/** The model and the driver of one machine's probes; `made` has the probes by name. */
export function probeModules(): {
  readonly hardware: EndpointHardwareModule;
  readonly driver: EndpointDriverModule;
  readonly made: Map<string, Probe>;
} {
  const made = new Map<string, Probe>();
  return {
    made,
    hardware: {
      model: PROBE_MODEL,
      parts: {},
      create(place: HardwarePlace, link: Link) {
        const probe = new Probe(place, link);
        made.set(place.name, probe);
        return probe;
      },
    },
    driver: {
      matches: ['1d55:c0de'],
      parts: {},
      create: (device: Device, iommu: IommuDriver) => new ProbeDriver(device, iommu),
    },
  };
}
