import type { Kernel, Step } from '@iommukit/kernel';
import type { Link, Translation, TranslationAgent } from '../agent.js';
import type { Upstream } from '../tlp.js';

type Tlp<Kind extends Upstream['kind']> = Extract<Upstream, { kind: Kind }>;

/** Who takes an agent's messages of one kind. */
export interface Receiver<Kind extends Upstream['kind']> {
  receive(link: Link, tlp: Tlp<Kind>): Step<void>;
}

/** Where devices are connected to an agent, and what becomes of their messages. */
export abstract class AgentPorts implements TranslationAgent {
  abstract readonly kernel: Kernel;
  abstract readonly data: {
    write(link: Link, tlp: Tlp<'write'>): Step<void>;
    read(link: Link, tlp: Tlp<'read'>): Step<void>;
  };
  abstract readonly translationRequests: Receiver<'translation-request'>;
  abstract readonly pageRequests: Receiver<'page-request'>;
  abstract readonly invalidateRequests: { complete(stream: number, itags: number, count: number): void };
  /** What the agent calls the number of a stream: `sid`. */
  abstract readonly streamNoun: string;
  /** Connected devices by stream. */
  readonly links = new Map<number, Link>();
  readonly names = new Map<number, string>();

  abstract translate(stream: number, pasid: number, page: number, want: number, out: Translation): boolean;

  connect(link: Link): void {
    this.links.set(link.stream, link);
    const { name } = link as { readonly name?: string };
    this.names.set(link.stream, name ?? `${this.streamNoun} 0x${link.stream.toString(16)}`);
  }

  /** The name of a stream's device in reports. */
  deviceName(stream: number): string {
    return this.names.get(stream) ?? 'an unknown device';
  }

  receive(link: Link, tlp: Upstream): Step<void> {
    switch (tlp.kind) {
      case 'write':
        return this.data.write(link, tlp);
      case 'read':
        return this.data.read(link, tlp);
      case 'translation-request':
        return this.translationRequests.receive(link, tlp);
      case 'page-request':
        return this.pageRequests.receive(link, tlp);
      case 'invalidate-completion':
        return this.kernel.done(this.invalidateRequests.complete(link.stream, tlp.itags, tlp.count));
      default:
        // Interrupts are the root complex's business; a kind that is not known is dropped.
        return this.kernel.done(undefined);
    }
  }
}
