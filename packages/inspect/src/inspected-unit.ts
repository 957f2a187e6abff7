import {
  type Coroutine,
  FairChooser,
  type InterruptLine,
  Kernel,
  Observer,
  type Setting,
  type Step,
  type Task,
} from '@iommukit/kernel';
import type { IommuHardwareModule } from '@iommukit/machine';
import { AT, type Link, type Translation, type TranslationAgent, type Upstream } from '@iommukit/pci-ats';
import { ImageBus } from './image-bus.js';
import type { MemoryImage } from './memory-image.js';
import type { RegisterSequence } from './register-sequence.js';
import type { RegisterWords } from './register-words.js';

/** What an {@link InspectedUnit} is made of. */
export interface UnitParts {
  readonly image: MemoryImage;
  readonly registers: RegisterWords;
  /** Physical address of the unit's registers. */
  readonly base: number;
  /** The model. */
  readonly hardware: IommuHardwareModule;
  /** What the unit can do, as its own registers say: `capabilitiesFrom` of the hardware's package. */
  readonly capabilities: Readonly<Record<string, Setting>>;
  /** Of the same backend as the model. */
  readonly sequence: RegisterSequence;
}

/** What became of one access. */
export interface Answer {
  /** It would have reached `pa`. */
  readonly ok: boolean;
  readonly pa: bigint | null;
  /** What the unit recorded about it: number and name in its specification. Null also for an access that is refused without a record. */
  readonly fault: { readonly reason: number; readonly name: string } | null;
}

const PAGE = 4096;
const WANT = { read: 1, write: 2 } as const;
const PAYLOAD = new Uint8Array(4);

/** A model of an IOMMU in the state that a real machine left behind: its memory image and its registers. It is asked, never changed. */
export class InspectedUnit {
  readonly kernel = new Kernel();
  readonly bus: ImageBus;
  readonly agent: TranslationAgent;
  readonly sequence: RegisterSequence;
  readonly base: number;
  readonly links = new Map<number, Link>();
  readonly translation: Translation = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  /** Names of what was recorded since it was last asked. */
  readonly recorded: string[] = [];
  /** Sends {@link refused} up. */
  sender: Task;
  refused: { readonly link: Link; readonly tlp: Upstream } | null = null;

  /** @throws InspectError ENOREGISTER; IommuError EINVAL for capabilities that the model cannot have */
  constructor({ image, registers, base, hardware, capabilities, sequence }: UnitParts) {
    const { kernel, recorded } = this;
    this.bus = new ImageBus(kernel, image);
    this.sequence = sequence;
    this.base = base;
    kernel.observer = new Recorder(recorded);
    const name = `${sequence.backend}@${base.toString(16)}`;
    const place = { kernel, bus: this.bus, name, base, bytes: sequence.bytes, capabilities, irq: silentLine };
    this.agent = hardware.create(place, {}, hardware.parts);
    this.sender = kernel.daemon('requests', () => this.send());
    const writes = sequence.writes(registers.unit(base));
    for (const { offset, value } of writes) this.bus.store32(base + offset, value);
  }

  /** Performs an access of 1 to 4 bytes. `stream` is the StreamID or requester id, `pasid` -1 without one. */
  access(stream: number, pasid: number, iova: bigint, access: 'read' | 'write'): Answer {
    const page = Number(iova >> 12n);
    const offset = Number(iova & 0xfffn);
    if (this.sequence.interrupts(page, pasid)) return { ok: false, pa: null, fault: null };
    if (this.agent.translate(stream, pasid, page, WANT[access], this.translation)) {
      return { ok: true, pa: (BigInt(this.translation.frame) << 12n) | (iova & 0xfffn), fault: null };
    }
    const { reason } = this.translation;
    const name = this.record(this.linkOf(stream), messageOf(access, pasid, page, offset));
    return { ok: false, pa: null, fault: name === null ? null : { reason, name } };
  }

  /** Sends a request up that is refused, as a device would: the unit records it as it would have. The record's name, or null. */
  record(link: Link, tlp: Upstream): string | null {
    this.recorded.length = 0;
    this.refused = { link, tlp };
    this.kernel.begin(new FairChooser());
    this.kernel.kick(this.sender);
    try {
      this.kernel.run();
    } catch (error) {
      // A task that threw is never at rest again.
      this.sender = this.kernel.daemon('requests', () => this.send());
      throw error;
    }
    return this.recorded[0] ?? null;
  }

  *send(): Coroutine<void> {
    const { link, tlp } = this.refused!;
    yield* this.agent.receive(link, tlp);
  }

  linkOf(stream: number): Link {
    const known = this.links.get(stream);
    if (known !== undefined) return known;
    const link = new AnswersNobody(this.kernel, stream);
    // Devices are many where requests are hostile: few are kept.
    if (this.links.size >= MOST_LINKS) this.links.clear();
    this.links.set(stream, link);
    return link;
  }
}

const MOST_LINKS = 1024;

/** An access as a device sends it: four bytes, or what is left of the page. */
function messageOf(access: 'read' | 'write', pasid: number, page: number, offset: number): Upstream {
  const bytes = Math.min(PAYLOAD.length, PAGE - offset);
  const common = { at: AT.UNTRANSLATED, pasid, page, offset, witness: 0 } as const;
  if (access === 'read') return { kind: 'read', tag: 0, bytes, ...common };
  return { kind: 'write', data: PAYLOAD.subarray(0, bytes), ...common };
}

/** Listens for what the unit records. */
class Recorder extends Observer {
  readonly names: string[];

  constructor(names: string[]) {
    super();
    this.names = names;
  }

  override event(_agent: string, _stream: number, _pasid: number, name: string): void {
    this.names.push(name);
  }
}

/** A PCI Express function that takes no answers. */
class AnswersNobody implements Link {
  readonly kernel: Kernel;
  readonly stream: number;

  constructor(kernel: Kernel, stream: number) {
    this.kernel = kernel;
    this.stream = stream;
  }

  up(): Step<void> {
    return this.kernel.done(undefined);
  }

  down(): Step<void> {
    return this.kernel.done(undefined);
  }

  remove(): void {}
}

/** Interrupts go nowhere. */
const silentLine = (name: string): InterruptLine => ({ name, set() {}, pulse() {}, handle() {} });
