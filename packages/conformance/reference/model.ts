import type { HardwarePlace, Step } from '@iommukit/kernel';
import type { Link, Translation, TranslationAgent, Upstream } from '@iommukit/pci-ats';
import { Accesses } from './accesses.js';
import { Invalidations } from './invalidations.js';
import { Table } from './table.js';
import { TranslationRequests } from './translation-requests.js';
import { Walk } from './walk.js';

/** A page request as it arrives. */
export type PageRequestMessage = Extract<Upstream, { kind: 'page-request' }>;

/** The hardware: a flat table that its driver writes, and no cache at all. */
export class ReferenceModel implements TranslationAgent {
  readonly place: HardwarePlace;
  readonly links = new Map<number, Link>();
  readonly table: Table;
  readonly walk: Walk;
  readonly accesses: Accesses;
  readonly translationRequests: TranslationRequests;
  readonly invalidations: Invalidations;
  /** Where page requests go: there is no queue between. Set by the driver; null: they are dropped. */
  pageRequests: { receive(link: Link, request: PageRequestMessage): Step<void> } | null = null;

  constructor(place: HardwarePlace) {
    this.place = place;
    this.table = new Table(place.kernel);
    this.walk = new Walk(place, this.table);
    this.accesses = new Accesses(place, this.table, this.walk);
    this.translationRequests = new TranslationRequests(place, this.table, this.walk);
    this.invalidations = new Invalidations(place, this.table, this.links);
  }

  connect(link: Link): void {
    this.links.set(link.stream, link);
  }

  receive(link: Link, tlp: Upstream): Step<void> {
    const { kernel } = this.place;
    switch (tlp.kind) {
      case 'write':
        return this.accesses.write(link, tlp);
      case 'read':
        return this.accesses.read(link, tlp);
      case 'translation-request':
        return this.translationRequests.receive(link, tlp);
      case 'page-request':
        return this.pageRequests?.receive(link, tlp) ?? kernel.done(undefined);
      case 'invalidate-completion':
        return kernel.done(this.invalidations.complete(link.stream, tlp.itags, tlp.count));
      default:
        // Interrupts are the root complex's, and what nobody knows is dropped.
        return kernel.done(undefined);
    }
  }

  translate(stream: number, pasid: number, page: number, want: number, out: Translation): boolean {
    return this.walk.translate(stream, pasid, page, want, out);
  }
}
