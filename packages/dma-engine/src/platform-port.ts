import type { Coroutine } from '@iommukit/kernel';
import { AT } from '@iommukit/pci-ats';
import { REFUSED, UntranslatedPort } from './untranslated-port.js';
import type { Cursor } from './work.js';

/** The accesses of an engine on a platform bus, where writes are answered too: an access may stall, and then go on or abort. */
export class PlatformPort extends UntranslatedPort {
  /** Writes bytes of one page, and waits for the answer. @returns 0, or one of `REFUSED` */
  override *store(pasid: number, to: Cursor, data: Uint8Array): Coroutine<number> {
    const refusal = this.refusal(pasid);
    if (refusal < 0) return refusal;
    const { tag } = this.begin(null, REFUSED.CANCELLED);
    this.tellAccess(pasid, to, data.length, true);
    const { page, offset } = to;
    yield* this.engine.link.up({ kind: 'write', at: AT.UNTRANSLATED, tag, pasid, page, offset, data, witness: 0 });
    return yield* this.completion();
  }
}
