import type { Device, Mm, SvaHandle } from '@iommukit/core';
import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { Master } from './records.js';
import type { Vtd } from './vtd.js';

/** Devices that cannot be isolated from one another use an address space together, or not at all (SVA-5). */
export class DeviceGroups {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /**
   * Binds every device of a group that has PASIDs; when one fails, none is bound by this. The caller holds mm_users.
   * @throws IommuError what {@link Sva.bind} throws, ENODEV if no device of the group has PASIDs
   */
  *bind(devices: readonly Device[], mm: Mm): Coroutine<SvaHandle[]> {
    const members = this.members(devices.map((device) => this.vtd.masters.of(device)));
    if (members.length === 0) {
      throw new IommuError('ENODEV', 'no device of the group has PASIDs', { rule: 'FEAT-3' });
    }
    const bound: SvaHandle[] = [];
    try {
      for (const master of members) bound.push(yield* this.vtd.sva.bind(master, mm));
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
    for (const handle of handles) yield* this.vtd.sva.unbind(handle);
  }
}
