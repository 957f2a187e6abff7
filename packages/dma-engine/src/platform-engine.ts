import {
  type HardwarePlace,
  type InterruptLine,
  IommuError,
  type MmioWindow,
  powerOfTwo,
  type Settings,
  type Step,
} from '@iommukit/kernel';
import type { Link, PlatformDownstream, PlatformEndpoint } from '@iommukit/pci-ats';
import { type PlatformCapabilities, platformCapabilitiesOf } from './capabilities.js';
import { Engine } from './engine.js';
import type { EngineParts } from './module.js';
import type { PlatformPort } from './platform-port.js';
import { REGISTER_BYTES } from './registers.js';

/** The line that the accelerator interrupts on where it is a platform device. */
export const INTERRUPT_LINE = 'irq';

/**
 * The accelerator as a platform device: no configuration space, no translation cache. It sends untranslated requests with
 * PASIDs, which the IOMMU may hold back while their page is fetched (FEAT-5).
 */
export class PlatformEngine extends Engine implements PlatformEndpoint {
  readonly capabilities: PlatformCapabilities;
  readonly memory: PlatformPort;
  readonly window: MmioWindow;
  readonly line: InterruptLine;

  /** @throws IommuError EINVAL for capabilities that there are not, or a window that is too small; EBUSY if it is taken */
  constructor(place: HardwarePlace, link: Link, settings: Settings, parts: EngineParts) {
    super(place, link, settings, parts);
    this.capabilities = platformCapabilitiesOf(place.capabilities, place.name);
    if (place.bytes < REGISTER_BYTES)
      throw new IommuError('EINVAL', `${place.name} has a window of 0x${place.bytes.toString(16)} bytes`, {
        remedy: `describe one of 0x${REGISTER_BYTES.toString(16)} bytes`,
      });
    this.memory = new parts.PlatformPort(this);
    this.line = place.irq(INTERRUPT_LINE);
    this.window = place.bus.claim(place.base, REGISTER_BYTES, this.registers);
  }

  receive(tlp: PlatformDownstream): Step<void> {
    return this.kernel.done(this.memory.completed(tlp));
  }

  /** It never asks for privileged mode: such a job fails. */
  override mayUse(pasid: number): boolean {
    return !this.state.removed && !this.privileged && pasid < powerOfTwo(this.capabilities.pasidBits);
  }

  override changed(offset: number): void {
    this.window.changed(offset);
  }

  /** A wire: every write of the job was answered before. */
  override interrupt(): Step<void> {
    return this.kernel.done(this.line.pulse());
  }

  /** A device without page requests has no markers either: its stop waits for what is outstanding or stalled. */
  override get abandonsAnswers(): boolean {
    return false;
  }
}
