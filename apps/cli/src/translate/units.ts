import { InspectedUnit, type MemoryImage, type RegisterWords, type Request } from '@iommukit/inspect';
import { isIommuError } from '@iommukit/kernel';
import { UsageError } from '../errors.js';
import type { Inspection } from './backends.js';
import type { Firmware, Route } from './firmware.js';

/** What {@link Units} are made of. */
export interface UnitsParts {
  readonly image: MemoryImage;
  readonly registers: RegisterWords;
  readonly inspection: Inspection;
  readonly firmware: Firmware | null;
  /** The unit that all requests go to, where the user says so. */
  readonly base: number | null;
}

/** Who answers a request, and under which stream number. */
export interface Destination {
  /** Null: the request passes every IOMMU. */
  readonly unit: InspectedUnit | null;
  readonly stream: number;
}

const MOST_ROUTES = 4096;
const MOST_LISTED = 8;

/** The units whose registers were given: models of them are made when the first request comes to them. */
export class Units {
  readonly parts: UnitsParts;
  readonly bases: readonly number[];
  readonly units = new Map<number, InspectedUnit>();
  readonly destinations = new Map<string, Destination>();

  constructor(parts: UnitsParts) {
    this.parts = parts;
    const { registers, inspection, firmware } = parts;
    const { align, bytes } = inspection.sequence;
    const named = firmware?.iommus.map(({ base }) => base).filter((base) => hasWords(registers, base, bytes)) ?? [];
    this.bases = named.length > 0 ? named : registers.bases(align, bytes);
    if (this.bases.length === 0) throw new UsageError('the register files hold no registers');
  }

  /** @throws UsageError that names `place` where nothing says which unit it is */
  destination(request: Request, place: string): Destination {
    const { device, segment, requester } = request;
    const known = this.destinations.get(device);
    if (known !== undefined) return known;
    const route = this.parts.firmware?.route(segment, requester) ?? null;
    const destination = this.follow(route ?? { base: this.only(place), stream: requester }, device, place);
    if (this.destinations.size >= MOST_ROUTES) this.destinations.clear();
    this.destinations.set(device, destination);
    return destination;
  }

  follow({ base, stream }: Route, device: string, place: string): Destination {
    const chosen = this.parts.base ?? base;
    if (chosen === null) return { unit: null, stream };
    if (this.bases.includes(chosen)) return { unit: this.unit(chosen), stream };
    const problem = `${device} is behind the IOMMU at ${hex(chosen)}, whose registers were not given`;
    throw new UsageError(`${place}: ${problem}; there are those at ${this.listed}`);
  }

  /** The units whose registers are there; files may have any number of them. */
  get listed(): string {
    const more = this.bases.length > MOST_LISTED ? ', …' : '';
    return this.bases.slice(0, MOST_LISTED).map(hex).join(', ') + more;
  }

  /** The unit that is meant where nothing says which one. */
  only(place: string): number {
    const { base } = this.parts;
    if (base !== null) return base;
    if (this.bases.length === 1) return this.bases[0] as number;
    throw new UsageError(
      `${place}: there are registers of several IOMMUs (${this.listed}): say which one with --unit, or give --platform`,
    );
  }

  /** @throws InspectError for a register that is missing, UsageError for capabilities that cannot be modelled */
  unit(base: number): InspectedUnit {
    const known = this.units.get(base);
    if (known !== undefined) return known;
    const { image, registers, inspection, firmware } = this.parts;
    const around = { addressBits: firmware?.addressBits ?? null, end: image.end };
    try {
      const capabilities = inspection.capabilities(registers.unit(base), around);
      const { hardware, sequence } = inspection;
      const unit = new InspectedUnit({ image, registers, base, hardware, capabilities, sequence });
      this.units.set(base, unit);
      return unit;
    } catch (error) {
      if (isIommuError(error)) throw new UsageError(`the unit at ${hex(base)}: ${error.message}`);
      throw error;
    }
  }
}

function hasWords({ words }: RegisterWords, base: number, bytes: number): boolean {
  for (const address of words.keys()) if (address >= base && address < base + bytes) return true;
  return false;
}

const hex = (value: number): string => `0x${value.toString(16)}`;
