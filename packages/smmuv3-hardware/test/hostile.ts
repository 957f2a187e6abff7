import { FairChooser, RandomChooser, type Setting, type Settings } from '@iommukit/kernel';
import type { Upstream } from '@iommukit/pci-ats';
import { Rig, type TestLink } from './rig.js';

const BASE = 0x905_0000;
const RAM = 0x4000_0000;
/** Opcodes that a driver uses, so that not every command stops the queue. */
const OPCODES = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x30, 0x40, 0x41, 0x44, 0x45,
  0x46,
];
/** Registers that change what the model does most. */
const REGISTERS = [
  0x20, 0x28, 0x2c, 0x44, 0x50, 0x60, 0x64, 0x68, 0x70, 0x80, 0x84, 0x88, 0x90, 0x94, 0x98, 0x9c, 0xa0, 0xa4, 0xb0,
  0xb8, 0xc0, 0xd0, 0xd8, 0xdc, 0x100a8, 0x100ac, 0x100c8, 0x100cc,
];
/** Numbers that no honest device sends. */
const ODD = [
  -1,
  -2,
  0,
  1,
  4095,
  4096,
  2 ** 20 - 1,
  2 ** 20,
  2 ** 31,
  2 ** 32,
  2 ** 52 - 1,
  2 ** 52,
  2 ** 53,
  1e300,
  0.5,
  -1e9,
];
const KINDS = [
  'write',
  'read',
  'translation-request',
  'page-request',
  'invalidate-completion',
  'interrupt',
  'nonsense',
];

/**
 * A driver and devices that do anything at all, by a fixed seed: commands, table entries, registers and messages, half of them nearly
 * right and half of them noise.
 */
export class Hostile {
  readonly rig: Rig;
  readonly links: TestLink[];
  /** Frames of table entries: STEs point to some, CDs to others, descriptors to all. */
  readonly pool: number[];
  state: number;
  prod = 0;
  operations = 0;
  /** What came of it: `event 0x10`, `error 1` (CMDQ_CONS.ERR), and what devices were sent: `completion ok`. */
  readonly seen = new Map<string, number>();

  constructor(seed: number, capabilities: Record<string, Setting> = {}, settings: Settings = {}) {
    this.state = seed;
    this.rig = new Rig(capabilities, settings);
    this.pool = Array.from({ length: 24 }, () => this.rig.frames(0));
    this.links = [0x42, 0x43, 0x44, 0, 0x1ff].map((stream, n) => this.rig.link(stream, n < 2));
  }

  // ── randomness ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** 32 random bits (xorshift32). */
  bits(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  below(n: number): number {
    return this.bits() % n;
  }

  chance(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** Mostly small, sometimes absurd. */
  number(limit: number): number {
    return this.chance(16) ? this.pick(ODD) : this.below(limit);
  }

  /** A physical address: of a table, of RAM, or of nothing. */
  address(): number {
    if (!this.chance(8)) return this.pick(this.pool);
    return this.chance(2) ? RAM + this.below(2 ** 22) : (this.bits() % 2 ** 20) * 2 ** 32 + this.bits();
  }

  /** Stores a 64-bit word. */
  store(pa: number, lo: number, hi: number): void {
    this.rig.bus.store64(pa - (pa % 8), lo >>> 0, hi >>> 0);
  }

  // ── what software does ─────────────────────────────────────────────────────────────────────────────────────────

  /** Puts everything back on, so that the noise meets a model at work. */
  enable(): void {
    const { rig } = this;
    rig.write(0x20, 0);
    rig.write(0x50, 0);
    rig.write(0x98, 0);
    rig.write(0x9c, 0);
    rig.write(0x64, rig.read(0x60));
    for (const at of [0x100a8, 0x100ac, 0x100c8, 0x100cc]) rig.write(at, 0);
    this.prod = 0;
    rig.enable(0x1f);
    if (this.chance(16)) this.misplace(this.pick([0x80, 0x90, 0xa0, 0xc0]));
  }

  /** Moves a table or a queue to where there is nothing. */
  misplace(register: number): void {
    const { rig } = this;
    rig.write(0x20, 0);
    rig.write64(register, 0x80_0000_0003n);
    rig.write(0x20, 0x1f);
    rig.smmu.dropEverything();
  }

  /** Four streams whose PASIDs 0 to 7 have a table of 1,024 pages: what the noise then eats away. */
  repair(): void {
    const { rig, pool } = this;
    const [cds, root, level1, level2, first, second, ...data] = pool;
    for (const { stream } of this.links) {
      this.store(rig.strtab + stream * 64, (cds + 0xb) % 2 ** 32, 6 << 27);
      this.store(rig.strtab + stream * 64 + 8, 0x10000000 | (this.below(2) << 19) | this.pick([0, 1, 2]), 0);
      this.store(rig.strtab + stream * 64 + 16, 0, 0);
    }
    const stall = this.rig.smmu.capabilities.stall;
    for (let n = 0; n < 8; n++) {
      const holds = stall === 'forced' || (stall === 'optional' && this.chance(2)) ? 0x1000 : 0;
      this.store(cds + n * 64 + 8, root, 0);
      const outputs = n === 5 ? 0xe200 : 0xe205; // IPS: 32 bits, or 48
      this.store(cds + n * 64, 0xc0003510, outputs | holds | ((n + 1) << 16));
    }
    this.store(root, level1 + 3, 0);
    this.store(level1, level2 + 3, 0);
    this.store(level2, first + 3, 0);
    this.store(level2 + 8, second + 3, 0);
    for (let n = 0; n < 64; n++) {
      const leaf = this.pick([0xc43, 0xc43, 0xcc3, 0xc03, 0x843, 0x443, 0]);
      this.store(
        this.pick([first, second]) + this.below(512) * 8,
        this.pick(data) + leaf,
        this.chance(2) ? 0 : 0x600000,
      );
    }
    rig.smmu.dropEverything();
  }

  command(): void {
    const { rig } = this;
    if (this.chance(4)) this.skip();
    const slot = rig.cmdq + (this.prod & 7) * 16;
    const opcode = this.chance(8) ? this.bits() & 0xff : this.pick(OPCODES);
    const ssid = this.number(8) * 0x1000;
    const noise = this.chance(4);
    const lo = noise ? (this.bits() & ~0xff) | opcode : opcode | ssid | (this.chance(2) ? 0x800 : 0);
    const hi = noise ? this.bits() : this.pick([0, 0x42, 0x43, 0x44, 0x00010000]);
    this.store(slot, lo, hi);
    const second = this.chance(2) ? this.bits() : this.pick([0, 1, 0x34, 0x2001, 0x400, 0x1000, 3]);
    this.store(slot + 8, second, this.chance(4) ? this.bits() : 0);
    this.prod = (this.prod + 1) & 15;
    rig.write(0x98, this.prod);
    if (this.chance(8)) for (const at of [0x100a8, 0x100c8]) rig.write(at + 4, rig.read(at));
  }

  /** Replaces the command at which the queue stopped, and acknowledges. */
  skip(): void {
    const { rig } = this;
    if (((rig.read(0x60) ^ rig.read(0x64)) & 1) === 1) this.store(rig.cmdq + (rig.read(0x9c) & 7) * 16, 0x46, 0);
    rig.write(0x64, rig.read(0x60));
  }

  streamEntry(): void {
    const at = this.rig.strtab + this.pick([0x42, 0x43, 0x44, 0, this.below(256)]) * 64;
    if (this.chance(4)) return this.noise(at, 8);
    const config = this.pick([0, 4, 5, 5, 5, 6, 7]);
    const table = this.chance(4) ? this.address() : this.pool[0];
    this.store(at, (table % 2 ** 32) | 1 | (config << 1) | (this.below(4) << 4), this.below(21) << 27);
    this.store(at + 8, this.chance(2) ? this.bits() : this.bits() & 0x10080003, this.chance(2) ? 0 : this.bits());
    this.store(at + 16, this.chance(2) ? 0 : this.bits(), this.chance(2) ? 0 : this.bits());
  }

  contextEntry(): void {
    const at = this.pool[0] + this.below(this.chance(4) ? 64 : 8) * 64;
    if (this.chance(4)) return this.noise(at, 8);
    const shape = this.pick([
      0xc0003510,
      0xc0003510,
      0x80903510,
      0xc0003599,
      0xc0003550,
      0xc000350c,
      this.bits() | 0x80000000,
    ]);
    this.store(at, shape, 0xe205 | (this.below(16) << 16) | (this.chance(2) ? this.bits() & 0x3cff : 0));
    for (const half of [8, 16]) this.store(at + half, this.address() % 2 ** 32, this.chance(8) ? this.bits() : 0);
  }

  descriptor(): void {
    const at = this.pool[1 + this.below(this.chance(4) ? 23 : 5)] + this.below(this.chance(2) ? 4 : 512) * 8;
    const address = this.address();
    const type = this.pick([3, 3, 1, 0, 2]);
    this.store(
      at,
      (address - (address % 4096)) | (this.bits() & 0xffc) | type,
      Math.floor(address / 2 ** 32) | (this.bits() & 0xfff00000),
    );
  }

  noise(at: number, words: number): void {
    for (let i = 0; i < words; i++) this.store(at + i * 8, this.bits(), this.bits());
  }

  register(): void {
    const { bus } = this.rig;
    const offset = this.chance(4) ? this.below(0x20000 / 4) * 4 : this.pick(REGISTERS);
    const value = this.chance(2) ? this.bits() : (this.address() % 2 ** 32) | this.below(32);
    const at = BASE + offset;
    const width = this.below(8);
    if (width === 0) bus.write8(at + this.below(4), value & 0xff);
    else if (width === 1) bus.write16(at, value & 0xffff);
    else if (width === 2) bus.store64(at - (at % 8), value, this.bits());
    else bus.store32(at, value);
    bus.load32(at);
    // Most of this is nonsense that would stop everything for long.
    if (this.chance(2)) this.enable();
  }

  /** TLB maintenance of a CPU. */
  broadcast() {
    const first = this.number(1024);
    return this.rig.kernel.tlbBroadcast.send({
      kind: this.pick(['all', 'asid', 'va', 'vaa'] as const),
      level: this.pick(['el1', 'el2'] as const),
      vmid: this.below(2),
      asid: this.below(16) - 1,
      first,
      last: first + this.number(2 ** 20),
      leaf: this.chance(2),
    });
  }

  // ── what devices do ────────────────────────────────────────────────────────────────────────────────────────────

  message(): Upstream {
    const kind = this.pick(KINDS);
    const at = this.chance(3) ? this.number(4) : 0;
    const page = at === 2 && !this.chance(8) ? Math.floor(this.address() / 4096) : this.number(2 ** 10);
    const common = { kind, at, tag: this.number(256), pasid: this.number(8) - 1, page, witness: 0 };
    const messages: Record<string, object> = {
      write: { ...common, offset: this.number(4096), data: new Uint8Array(this.below(this.chance(16) ? 9000 : 64)) },
      read: { ...common, offset: this.number(4096), bytes: this.number(64) },
      'translation-request': {
        ...common,
        count: this.number(4),
        noWrite: this.chance(2),
        exec: this.chance(2),
        priv: this.chance(2),
      },
      'page-request': { ...common, prgi: this.number(512), perm: this.number(16), last: this.chance(2) },
      'invalidate-completion': { kind, itags: this.chance(2) ? this.bits() : this.number(8), count: this.number(8) },
    };
    const message = { ...(messages[kind] ?? { kind }) } as Record<string, unknown>;
    if (kind === 'write' && this.chance(2)) delete message.tag;
    return message as unknown as Upstream;
  }

  /** One operation of anybody. */
  *operation() {
    this.operations++;
    const choice = this.below(16);
    if (choice < 7) yield* this.rig.smmu.receive(this.pick(this.links), this.message());
    else if (choice < 11) this.command();
    else if (choice < 12) this.streamEntry();
    else if (choice < 13) this.contextEntry();
    else if (choice < 15) this.descriptor();
    else if (this.chance(2)) this.register();
    else yield* this.broadcast();
  }

  /** `count` operations, run to the end. @returns how the run ended: anything but `finished` is a failure */
  run(count: number): string {
    const { rig } = this;
    this.enable();
    if (this.chance(2)) this.repair();
    const { operation } = this;
    const body = operation.bind(this);
    rig.frozen = this.chance(2);
    rig.kernel.spawn('noise', function* () {
      for (let i = 0; i < count; i++) yield* body();
    });
    rig.kernel.begin(this.chance(2) ? new FairChooser() : new RandomChooser(this.bits()));
    const outcome = rig.kernel.run();
    this.look();
    return outcome.end;
  }

  look(): void {
    const { rig } = this;
    for (let i = 0; i < 8; i++) this.note(`event 0x${(rig.load(rig.eventq + i * 32) & 0xffn).toString(16)}`);
    this.note(`error ${(rig.read(0x9c) >>> 24) & 0x7f}`);
    for (const link of this.links) {
      for (const tlp of link.sent.splice(0)) this.note('status' in tlp ? `${tlp.kind} ${tlp.status}` : tlp.kind);
    }
    for (const line of rig.interrupts.splice(0)) this.note(`interrupt ${line}`);
    if (rig.smmu.stalls.busy) this.note('stalls');
  }

  note(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }
}
