import type { Coroutine, HardwarePlace, Settings, Step } from '@iommukit/kernel';
import {
  type Atc,
  type AtsEndpoint,
  type ConfigSpace,
  type Downstream,
  type Link,
  type PageRequestInterface,
  PciFunction,
} from '@iommukit/pci-ats';
import { type Capabilities, capabilitiesOf } from './capabilities.js';
import { Engine } from './engine.js';
import type { MemoryPort } from './memory-port.js';
import type { EngineParts } from './module.js';
import * as R from './registers.js';

/** The accelerator as a PCI function that copies, fills and sums a process's memory by its own addresses. */
export class DmaEngine extends Engine implements AtsEndpoint {
  readonly capabilities: Capabilities;
  readonly fn: PciFunction;
  readonly atc: Atc;
  readonly pri: PageRequestInterface;
  readonly memory: MemoryPort;

  /** @throws IommuError EINVAL for capabilities that there are not */
  constructor(place: HardwarePlace, link: Link, settings: Settings, parts: EngineParts) {
    super(place, link, settings, parts);
    const { kernel, name } = place;
    const can = capabilitiesOf(place.capabilities, name);
    this.capabilities = can;
    this.fn = new PciFunction(
      kernel,
      place.bus,
      {
        ...R.IDENTITY,
        ats: can.ats ? { queueDepth: can.queueDepth, pageAligned: true, globalInvalidate: can.globalInvalidate } : null,
        pri: can.pri ? { capacity: can.prgCapacity, prgResponsePasidRequired: can.prgPasidRequired } : null,
        pasid: can.pasidBits > 0 ? { width: can.pasidBits, exec: false, priv: can.privileged } : null,
      },
      [this.registers],
    );
    const { fn } = this;
    const { memory } = place.bus;
    this.atc = new parts.Atc({
      kernel,
      name: `${name} ATC`,
      link,
      fn,
      memory,
      entries: can.atcEntries,
      classes: can.trafficClasses,
      pushesBack: can.pushesBack,
    });
    this.pri = new parts.PageRequestInterface({ kernel, link, fn });
    this.fn.listener = {
      atsDisabled: () => this.atc.dropAll(),
      priEnabled: () => this.pri.enabled(),
      priDisabled: () => this.pri.disabled(),
      priReset: () => this.pri.reset(),
    };
    this.memory = new parts.MemoryPort(this);
  }

  /** Configuration space. */
  get config(): ConfigSpace {
    return this.fn.config;
  }

  // ── the bus ────────────────────────────────────────────────────────────────────────────────────────────────────

  receive(tlp: Downstream): Step<void> {
    const { kernel } = this;
    switch (tlp.kind) {
      case 'translation-completion':
        return kernel.done(this.atc.answer(tlp));
      case 'prg-response':
        return kernel.done(this.pri.respond(tlp));
      case 'invalidate-request':
        return this.atc.invalidate(tlp);
      case 'completion':
        return kernel.done(this.memory.completed(tlp));
    }
  }

  /** ATC-15: bus mastering is on, and PASIDs are, if it is one; a privileged job has one, and leave to ask for the mode. */
  override mayUse(pasid: number): boolean {
    return this.fn.mayUse(pasid, false, this.privileged);
  }

  override remove(): void {
    this.fn.remove();
    super.remove();
  }

  override abort(): void {
    super.abort();
    this.atc.abort();
    this.pri.reset();
  }

  override changed(offset: number): void {
    this.fn.bars[0]!.changed(offset);
  }

  /** A message behind the data that the job wrote. */
  override interrupt(): Step<void> {
    return this.fn.state.interrupts ? this.link.up({ kind: 'interrupt' }) : this.kernel.done(undefined);
  }

  /** A stop marker, where there are page requests to mark the end of. */
  override postMarker(pasid: number): Coroutine<void> {
    return pasid < 0 ? super.postMarker(pasid) : this.pri.stopMarker(pasid);
  }
}
