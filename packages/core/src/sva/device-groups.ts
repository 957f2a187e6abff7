import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { Device } from '../device.js';
import type { SvaHandle } from '../iommu-driver.js';
import type { Mm } from '../mm/mm.js';

/** What a driver knows of a device, as far as groups ask. */
export interface GroupMember {
  /** Width of its PASIDs in bits; 0: it can have none. */
  readonly pasidBits: number;
}

/** A driver's services that groups use. */
export interface GroupServices<Master extends GroupMember> {
  readonly masters: { of(device: Device): Master };
  readonly sva: { bind(master: Master, mm: Mm): Coroutine<SvaHandle>; unbind(handle: SvaHandle): Coroutine<void> };
}

/** Devices that cannot be isolated from one another use an address space together, or not at all (SVA-5). */
export class DeviceGroups<Master extends GroupMember = GroupMember> {
  readonly services: GroupServices<Master>;

  constructor(services: GroupServices<Master>) {
    this.services = services;
  }

  /**
   * Binds every device of a group that has PASIDs; when one fails, none is bound by this. The caller holds mm_users.
   * @throws IommuError what the driver's bind throws, ENODEV if no device of the group has PASIDs
   */
  *bind(devices: readonly Device[], mm: Mm): Coroutine<SvaHandle[]> {
    const { masters, sva } = this.services;
    const members = this.members(devices.map((device) => masters.of(device)));
    if (members.length === 0) {
      throw new IommuError('ENODEV', 'no device of the group has PASIDs', { rule: 'FEAT-3' });
    }
    const bound: SvaHandle[] = [];
    try {
      for (const master of members) bound.push(yield* sva.bind(master, mm));
    } catch (error) {
      yield* this.rollBack(bound);
      throw error;
    }
    return bound;
  }

  /** A device without PASIDs has a table of one entry at most: nothing is stored for it, at bind or at release. */
  members(masters: readonly Master[]): Master[] {
    return masters.filter(({ pasidBits }) => pasidBits > 0);
  }

  /** Exactly those that were bound, the last one first. */
  *rollBack(bound: readonly SvaHandle[]): Coroutine<void> {
    yield* this.unbind(bound.toReversed());
  }

  /** Gives back what {@link bind} gave. */
  *unbind(handles: readonly SvaHandle[]): Coroutine<void> {
    for (const handle of handles) yield* this.services.sva.unbind(handle);
  }
}
