import type { Coroutine } from '@iommukit/kernel';
import { encodeInvalidate, type Link } from '@iommukit/pci-ats';
import { ATC_SIZE_ALL, AtcInv, CERROR, PRI_RESP_PCIE, PriResp } from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';

/** What executing a command comes to: a {@link CERROR} code, or this: it cannot complete yet and is executed again. */
export const WAIT = -1;

/** The commands that send messages to PCIe functions (smmuv3.md 4.2). Both are ignored while SMMUEN is 0. */
export class AtsCommands {
  readonly smmu: SmmuV3;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** The link of a PCIe function to send to; null: nobody there takes messages, or SMMUEN is 0. */
  linkOf(stream: number): Link | null {
    const { links, registers } = this.smmu;
    const link = registers.enabled ? links.get(stream) : undefined;
    return link === undefined || link.stalls === true ? null : link;
  }

  /** Sends an invalidate request to the device; CMD_SYNC waits for its completion. A device that is not there completes it. */
  *atcInv(words: Uint32Array): Coroutine<number> {
    const { smmu } = this;
    const { global, ssv, ssid, sid, size } = AtcInv.f;
    const log2 = size.get(words);
    if (!smmu.capabilities.ats || log2 > ATC_SIZE_ALL) return CERROR.ILL;
    const link = this.linkOf(sid.get(words));
    if (link === null) return CERROR.NONE;
    const itag = smmu.invalidateRequests.begin(link.stream);
    if (itag < 0) return WAIT;
    const withPasid = ssv.get(words) === 1;
    const page = words[3] * 2 ** 20 + (words[2] >>> 12);
    const [lo, hi] = encodeInvalidate(page, log2, withPasid && global.get(words) === 1);
    yield* link.down({ kind: 'invalidate-request', itag, pasid: withPasid ? ssid.get(words) : -1, lo, hi });
    return CERROR.NONE;
  }

  /** Answers a page-request group. Nobody waits for it. */
  *priResp(words: Uint32Array): Coroutine<number> {
    const { capabilities } = this.smmu;
    const { ssv, ssid, sid, prgIndex, resp } = PriResp.f;
    const code = PRI_RESP_PCIE[resp.get(words)];
    if (!capabilities.pri || code === undefined) return CERROR.ILL;
    const link = this.linkOf(sid.get(words));
    if (link === null) return CERROR.NONE;
    const pasid = ssv.get(words) === 1 ? ssid.get(words) : -1;
    yield* link.down({ kind: 'prg-response', pasid, prgi: prgIndex.get(words), code });
    return CERROR.NONE;
  }
}
