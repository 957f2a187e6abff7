import { type Coroutine, PREEMPT, type Task } from '@iommukit/kernel';
import { encodeInvalidate } from '@iommukit/pci-ats';
import {
  ATC_SIZE_ALL,
  AtcInv,
  CERROR,
  CfgiCd,
  CfgiSteRange,
  CMDQ_BASE,
  CMDQ_CONS,
  CMDQ_PROD,
  COMMAND_BYTES,
  Command,
  OPCODE,
  PRI_RESP_PCIE,
  PrefetchConfig,
  PriResp,
  RANGE_ALL,
  SYNC_CS,
  Sync,
  TLBI_TG,
  TlbiNhVa,
} from '@iommukit/smmuv3-spec';
import type { SmmuV3 } from './device.js';
import { GERROR_BIT } from './register-map.js';
import { Ring } from './ring.js';

/** What executing a command comes to: a {@link CERROR} code, or this: it cannot complete yet and is executed again. */
export const WAIT = -1;

const LAST_STREAM = 2 ** 32 - 1;

/**
 * The command queue (smmuv3.md 4): a daemon that consumes command after command. Each is fetched in one step and takes effect in
 * the next, together with CONS; a CMD_SYNC that has to wait leaves the loop and is fetched again when a completion arrives.
 */
export class CommandQueue {
  readonly smmu: SmmuV3;
  readonly ring: Ring;
  readonly task: Task;
  readonly words = new Uint32Array(COMMAND_BYTES / 4);

  constructor(smmu: SmmuV3) {
    this.smmu = smmu;
    const { registers, capabilities } = smmu;
    this.ring = new Ring(
      registers,
      CMDQ_BASE,
      CMDQ_PROD.offset,
      CMDQ_CONS.offset,
      COMMAND_BYTES,
      capabilities.cmdqBits,
    );
    this.task = smmu.kernel.daemon('smmu-cmdq', () => this.work());
  }

  /** There is a command, and nothing forbids to consume it. */
  get ready(): boolean {
    const { registers } = this.smmu;
    return registers.cmdqEnabled && !registers.errorActive(GERROR_BIT.CMDQ_ERR) && !this.ring.empty;
  }

  /** Consumes until the queue is empty, an error stops it, or a CMD_SYNC has to wait. */
  *work(): Coroutine<void> {
    const { kernel, footprint } = this.smmu;
    while (this.ready) {
      const index = this.ring.cons;
      const pa = this.ring.address(index);
      if (kernel.at(Math.floor(pa / 8), false)) yield PREEMPT;
      if (!this.ready) return;
      if (!this.fetch(pa)) return this.stop(CERROR.ABT);
      if (kernel.at(footprint, true)) yield PREEMPT;
      if (!this.ready) return;
      const opcode = this.opcode();
      const result =
        opcode === OPCODE.ATC_INV || opcode === OPCODE.PRI_RESP ? yield* this.send(opcode) : this.execute(opcode);
      if (result === WAIT) return;
      if (result !== CERROR.NONE) return this.stop(result);
      this.smmu.registers.put(CMDQ_CONS.offset, this.ring.after(index));
    }
  }

  fetch(pa: number): boolean {
    const { memory, kernel } = this.smmu;
    if (!memory.contains(pa)) return false;
    for (let i = 0; i < this.words.length; i++) this.words[i] = memory.load32(pa + i * 4);
    kernel.touch(Math.floor(pa / 8) + 1, false);
    return true;
  }

  /** An error: CONS stays at the command, and nothing is consumed until software acknowledges (4.4). */
  stop(code: number): void {
    const { registers } = this.smmu;
    registers.put(CMDQ_CONS.offset, this.ring.cons | (code << CMDQ_CONS.f.err.shift));
    registers.raiseError(GERROR_BIT.CMDQ_ERR);
  }

  /** The opcode of {@link words}; one that does not exist if the command is for a Secure stream. */
  opcode(): number {
    const { opcode, ssec } = Command.f;
    return ssec.get(this.words) === 1 ? 0 : opcode.get(this.words);
  }

  /** Executes the two commands that send messages. */
  send(opcode: number): Coroutine<number> {
    return opcode === OPCODE.ATC_INV ? this.atcInv() : this.priResp();
  }

  /** Executes every other command: in one step. */
  execute(opcode: number): number {
    switch (opcode) {
      case OPCODE.PREFETCH_CONFIG:
        return this.prefetchConfig();
      case OPCODE.PREFETCH_ADDR:
        return CERROR.NONE;
      case OPCODE.CFGI_STE:
        return this.cfgiSte();
      case OPCODE.CFGI_STE_RANGE:
        return this.cfgiSteRange();
      case OPCODE.CFGI_CD:
        return this.cfgiCd();
      case OPCODE.CFGI_CD_ALL:
        return this.cfgiCdAll();
      case OPCODE.TLBI_NH_ALL:
        return this.tlbiAll();
      case OPCODE.TLBI_NH_ASID:
        return this.tlbiAsid();
      case OPCODE.TLBI_NH_VA:
        return this.tlbiVa(TlbiNhVa.f.asid.get(this.words));
      case OPCODE.TLBI_NH_VAA:
        return this.tlbiVa(-1);
      case OPCODE.TLBI_NSNH_ALL:
        this.smmu.iotlb.dropAll();
        return CERROR.NONE;
      case OPCODE.RESUME:
      case OPCODE.STALL_TERM:
        return this.resume();
      case OPCODE.SYNC:
        return this.sync();
      default:
        return CERROR.ILL;
    }
  }

  // ── configuration ──────────────────────────────────────────────────────────────────────────────────────────────

  /** A hint: the configuration is cached if it can be; nothing is recorded. */
  prefetchConfig(): number {
    const { registers, fetcher } = this.smmu;
    const { sid, ssv, ssid } = PrefetchConfig.f;
    const { words } = this;
    if (registers.enabled) fetcher.context(sid.get(words), ssv.get(words) === 1 ? ssid.get(words) : -1);
    return CERROR.NONE;
  }

  cfgiSte(): number {
    const sid = CfgiSteRange.f.sid.get(this.words);
    this.smmu.config.dropStreams(sid, sid);
    return CERROR.NONE;
  }

  /** CFGI_STE_RANGE and, with Range = 31, CFGI_ALL. */
  cfgiSteRange(): number {
    const range = CfgiSteRange.f.range.get(this.words);
    const sid = CfgiSteRange.f.sid.get(this.words);
    const count = 2 ** (range + 1);
    const first = range === RANGE_ALL ? 0 : sid - (sid % count);
    this.smmu.config.dropStreams(first, range === RANGE_ALL ? LAST_STREAM : first + count - 1);
    return CERROR.NONE;
  }

  cfgiCd(): number {
    this.smmu.config.dropContext(CfgiCd.f.sid.get(this.words), CfgiCd.f.ssid.get(this.words));
    return CERROR.NONE;
  }

  cfgiCdAll(): number {
    const sid = CfgiCd.f.sid.get(this.words);
    this.smmu.config.dropContexts(sid, sid);
    return CERROR.NONE;
  }

  // ── TLB ────────────────────────────────────────────────────────────────────────────────────────────────────────

  tlbiAll(): number {
    this.smmu.iotlb.dropVmid(TlbiNhVa.f.vmid.get(this.words));
    return CERROR.NONE;
  }

  tlbiAsid(): number {
    this.smmu.iotlb.dropAsid(TlbiNhVa.f.vmid.get(this.words), TlbiNhVa.f.asid.get(this.words));
    return CERROR.NONE;
  }

  /** NH_VA (also hits global lines) and, with asid = -1, NH_VAA; one page, or a range where RIL is implemented. */
  tlbiVa(asid: number): number {
    const { words, smmu } = this;
    const { num, scale, ttl, tg, vmid } = TlbiNhVa.f;
    const granule = smmu.capabilities.rangeInvalidation ? tg.get(words) : TLBI_TG.NONE;
    let pages = 1;
    let level = 0;
    if (granule !== TLBI_TG.NONE) {
      level = ttl.get(words);
      if (num.get(words) === 0 && scale.get(words) === 0 && level === 0) return CERROR.ILL;
      if (granule === TLBI_TG.GRANULE_16K && level === 1) return CERROR.ILL;
      pages = (num.get(words) + 1) * 2 ** scale.get(words) * 4 ** (granule - 1);
    }
    const first = keyOfAddress(words[2], words[3]);
    if (first >= 0) smmu.iotlb.dropRange({ vmid: vmid.get(words), asid, first, count: pages, level });
    return CERROR.NONE;
  }

  // ── ATS and PRI ────────────────────────────────────────────────────────────────────────────────────────────────

  /** Sends an invalidate request to the device; CMD_SYNC waits for its completion. A device that is not there completes it. */
  *atcInv(): Coroutine<number> {
    const { words, smmu } = this;
    const { global, ssv, ssid, sid, size } = AtcInv.f;
    const log2 = size.get(words);
    if (!smmu.capabilities.ats || log2 > ATC_SIZE_ALL) return CERROR.ILL;
    const link = smmu.links.get(sid.get(words));
    if (!smmu.registers.enabled || link === undefined) return CERROR.NONE;
    const itag = smmu.invalidations.begin(link.stream);
    if (itag < 0) return WAIT;
    const withPasid = ssv.get(words) === 1;
    const page = words[3] * 2 ** 20 + (words[2] >>> 12);
    const [lo, hi] = encodeInvalidate(page, log2, withPasid && global.get(words) === 1);
    yield* link.down({ kind: 'invalidate-request', itag, pasid: withPasid ? ssid.get(words) : -1, lo, hi });
    return CERROR.NONE;
  }

  /** Answers a page-request group. Nobody waits for it. */
  *priResp(): Coroutine<number> {
    const { words, smmu } = this;
    const { ssv, ssid, sid, prgIndex, resp } = PriResp.f;
    const code = PRI_RESP_PCIE[resp.get(words)];
    if (!smmu.capabilities.pri || code === undefined) return CERROR.ILL;
    const link = smmu.links.get(sid.get(words));
    if (!smmu.registers.enabled || link === undefined) return CERROR.NONE;
    const pasid = ssv.get(words) === 1 ? ssid.get(words) : -1;
    yield* link.down({ kind: 'prg-response', pasid, prgi: prgIndex.get(words), code });
    return CERROR.NONE;
  }

  /** RESUME and STALL_TERM: no PCIe function ever stalls, so they match nothing. */
  resume(): number {
    return this.smmu.capabilities.stall === 'none' ? CERROR.ILL : CERROR.NONE;
  }

  /** Completes when every earlier ATC_INV has; everything else took effect when it was consumed. */
  sync(): number {
    const { words, smmu } = this;
    const { cs, msidata, msiaddr } = Sync.f;
    const signal = cs.get(words);
    if (signal > SYNC_CS.SEV) return CERROR.ILL;
    if (smmu.invalidations.outstanding.length > 0) return WAIT;
    if (smmu.invalidations.state.lost) {
      smmu.invalidations.state.lost = false;
      return CERROR.ATC_INV_SYNC;
    }
    if (signal === SYNC_CS.IRQ) smmu.interrupts.sync(msiaddr.get(words), msidata.get(words));
    return CERROR.NONE;
  }
}

/** The TLB key of the address in a command, the top byte ignored: pages of the lower half, then of the upper. -1: in neither. */
function keyOfAddress(lo: number, hi: number): number {
  const page = (hi & 0xffffff) * 2 ** 20 + (lo >>> 12);
  const upper = (hi & 0x800000) !== 0;
  if (upper) return page >= 2 ** 44 - 2 ** 36 ? page - (2 ** 44 - 2 ** 37) : -1;
  return page < 2 ** 36 ? page : -1;
}
