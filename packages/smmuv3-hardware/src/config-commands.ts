import { CERROR, CfgiCd, CfgiSteRange, PrefetchAddr, PrefetchConfig, RANGE_ALL } from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';

const LAST_STREAM = 2 ** 32 - 1;

/** How many translations CMD_PREFETCH_ADDR fetches at most: a policy of this model, since it is a hint. */
export const PREFETCH_LIMIT = 16;

/** The commands about configuration, and the hints (smmuv3.md 4.2): each takes effect in the step that consumes it. */
export class ConfigCommands {
  readonly smmu: SmmuV3;

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
  }

  /** A hint: the configuration is cached if it can be; nothing is recorded. */
  prefetchConfig(words: Uint32Array): number {
    const { registers, fetcher } = this.smmu;
    const { sid, ssv, ssid } = PrefetchConfig.f;
    if (registers.enabled) fetcher.context(sid.get(words), ssv.get(words) === 1 ? ssid.get(words) : -1);
    return CERROR.NONE;
  }

  /** A hint: 2^Size pages from Addr, every 2^Stride of them, are translated if they can be; nothing is recorded. */
  prefetchAddr(words: Uint32Array): number {
    const { registers, translator } = this.smmu;
    const { sid, ssv, ssid, size, stride } = PrefetchAddr.f;
    if (!registers.enabled) return CERROR.NONE;
    const first = words[3] * 2 ** 20 + (words[2] >>> 12);
    const step = 2 ** stride.get(words);
    const last = Math.min(first + 2 ** size.get(words) - 1, first + (PREFETCH_LIMIT - 1) * step, 2 ** 52 - 1);
    const pasid = ssv.get(words) === 1 ? ssid.get(words) : -1;
    for (let page = first; page <= last; page += step) translator.prefetch(sid.get(words), pasid, page);
    return CERROR.NONE;
  }

  cfgiSte(words: Uint32Array): number {
    const sid = CfgiSteRange.f.sid.get(words);
    this.dropStreams(sid, sid);
    return CERROR.NONE;
  }

  /** CFGI_STE_RANGE and, with Range = 31, CFGI_ALL. */
  cfgiSteRange(words: Uint32Array): number {
    const range = CfgiSteRange.f.range.get(words);
    const sid = CfgiSteRange.f.sid.get(words);
    const count = 2 ** (range + 1);
    const first = range === RANGE_ALL ? 0 : sid - (sid % count);
    this.dropStreams(first, range === RANGE_ALL ? LAST_STREAM : first + count - 1);
    return CERROR.NONE;
  }

  dropStreams(first: number, last: number): void {
    this.smmu.config.dropStreams(first, last);
    this.smmu.invalidated();
  }

  cfgiCd(words: Uint32Array): number {
    if (!this.smmu.capabilities.stage1) return CERROR.ILL;
    this.smmu.config.dropContext(CfgiCd.f.sid.get(words), CfgiCd.f.ssid.get(words));
    this.smmu.invalidated();
    return CERROR.NONE;
  }

  cfgiCdAll(words: Uint32Array): number {
    if (!this.smmu.capabilities.stage1) return CERROR.ILL;
    const sid = CfgiCd.f.sid.get(words);
    this.smmu.config.dropContexts(sid, sid);
    this.smmu.invalidated();
    return CERROR.NONE;
  }
}
