import { type Coroutine, IommuError } from '@iommukit/kernel';
import type { Domain, Master } from './records.js';
import type { Vtd } from './vtd.js';

/** Classic DMA domains by second-stage tables. */
export class DmaDomains {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  absent(): never {
    throw new IommuError('EOPNOTSUPP', `${this.vtd.name} has no DMA domains`);
  }

  *alloc(_master: Master): Coroutine<Domain> {
    this.absent();
  }

  *free(_domain: Domain): Coroutine<void> {
    this.absent();
  }

  *attach(_master: Master, _domain: Domain): Coroutine<void> {
    this.absent();
  }

  *detach(_master: Master): Coroutine<void> {
    this.absent();
  }

  *leave(_master: Master): Coroutine<void> {}

  *map(_domain: Domain, _iova: bigint, _pa: number, _bytes: number, _perm: number): Coroutine<void> {
    this.absent();
  }

  *unmap(_domain: Domain, _iova: bigint, _bytes: number): Coroutine<void> {
    this.absent();
  }

  iovaToPhys(_domain: Domain, _iova: bigint): number | null {
    return this.absent();
  }
}
