import { FairChooser, RandomChooser, type Setting, type Settings } from '@iommukit/kernel';
import { hostileUpstream, type Upstream } from '@iommukit/pci-ats';
import { BASE, Rig, type TestLink } from './rig.js';

const RAM = 0x4000_0000;
const SIDS = [0x0100, 0x0101, 0x0182, 0, 0xffff];
/** Registers that change what the model does most. */
const REGISTERS = [
  0x18, 0x20, 0x24, 0x28, 0x2c, 0x34, 0x38, 0x40, 0x88, 0x8c, 0x90, 0x94, 0x9c, 0xa0, 0xa8, 0xc0, 0xc8, 0xd0, 0xdc,
  0xe0, 0xe8, 0xf0, 0xf8, 0xfc, 0x40c,
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

/**
 * A driver and devices that do anything at all, by a fixed seed: descriptors, table entries, registers and messages, half of them
 * nearly right and half of them noise.
 */
export class Hostile {
  readonly rig: Rig;
  readonly links: TestLink[];
  /** Frames of tables: entries point to some. */
  readonly pool: number[];
  readonly ttm: number;
  state: number;
  operations = 0;
  /** What came of it: `fault 0x71`, `IQEI 3`, `FSTS 0x10`, and what devices were sent: `completion ok`. */
  readonly seen = new Map<string, number>();

  constructor(seed: number, ttm: number, capabilities: Record<string, Setting> = {}, settings: Settings = {}) {
    this.state = seed;
    this.ttm = ttm;
    this.rig = new Rig(capabilities, settings);
    this.pool = Array.from({ length: 24 }, () => this.rig.frames(0));
    this.links = SIDS.slice(0, 4).map((sid) => this.rig.link(sid));
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

  /** A physical address: of a table, of RAM, of nothing within the host address width, or of anything. */
  address(): number {
    if (!this.chance(6)) return this.pick(this.pool);
    if (this.chance(3)) return 2 ** 31 - 4096 * (1 + this.below(2 ** 16));
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
    this.look();
    rig.write(0x34, 0xff);
    rig.write(0x88, rig.head);
    rig.command(0, 0);
    rig.settle();
    rig.write64(0xc0, 0n);
    rig.write64(0xc8, 0n);
    rig.write(0xdc, 3);
    rig.write(0x9c, 1);
    for (let n = 0; n < 8; n++) rig.write(0x40c + n * 16, 0x8000_0000);
    rig.write(0x34, 0xff);
    rig.enable(this.ttm);
    rig.tail = rig.head;
    if (this.chance(16)) rig.write64(this.pick([0x90, 0xd0]), 0x80_0000_0800n);
  }

  /** Requesters whose PASIDs 0 to 7 have a table of 1,024 pages: what the noise then eats away. */
  repair(): void {
    const { rig, pool } = this;
    const [contexts, entries, root, level3, level2, first, second, directory, states, ...data] = pool;
    for (let n = 0; n < 2; n++) {
      const at = rig.root + n * 16;
      this.store(at, contexts | 1, 0);
      this.store(at + 8, this.ttm === 0 ? 0 : contexts | 1, 0);
      for (const { stream } of this.links) this.contextFor(stream, root, directory, entries, states);
    }
    this.store(directory, entries | 1, 0);
    for (let n = 0; n < 8; n++) {
      if (this.ttm === 2) {
        this.store(entries + n * 8, root | 1 | (n === 6 ? 0x800 : 0), 0);
        continue;
      }
      const type = this.pick([0x49, 0x49, 0x49, 0x89, 0x109]);
      this.store(entries + n * 64, type | (type === 0x89 ? root : 0), 0);
      this.store(entries + n * 64 + 8, 0x80_0001 + this.below(2), 0);
      this.store(entries + n * 64 + 16, root | this.below(2), 0);
      for (let word = 3; word < 8; word++) this.store(entries + n * 64 + word * 8, 0, 0);
    }
    this.store(root, level3 + 7, 0);
    this.store(level3, level2 + 7, 0);
    this.store(level2, first + 7, 0);
    this.store(level2 + 8, second + 7, 0);
    for (let n = 0; n < 64; n++) {
      const leaf = this.pick([7, 7, 0x67, 5, 3, 1, 2, 0]);
      this.store(
        this.pick([first, second]) + this.below(512) * 8,
        this.pick(data) + leaf,
        this.chance(4) ? 0x8000_0000 : 0,
      );
    }
    rig.vtd.dropEverything();
  }

  /** A valid context entry in the mode's layout. */
  contextFor(stream: number, root: number, directory: number, entries: number, states: number): void {
    const [contexts] = this.pool;
    if (this.ttm === 0) {
      const at = contexts + (stream & 0xff) * 16;
      this.store(at + 8, 0x702, 0);
      return this.store(at, root | 1 | (this.pick([0, 1, 1, 2]) << 2), 0);
    }
    const at = contexts + (stream & 0x7f) * 32;
    if (this.ttm === 2) {
      this.store(at + 8, 0x102, 0);
      this.store(at + 16, entries, 0);
      this.store(at + 24, states, 0);
      return this.store(at, root | 0xa01 | (this.pick([1, 4, 5]) << 2), 0);
    }
    this.store(at + 8, 0, 0);
    this.store(at, directory | 0x41d, 0);
  }

  /** Replaces the descriptor at which the queue stopped, and acknowledges. */
  skip(): void {
    const { rig } = this;
    this.look();
    if ((rig.fsts & 0x10) !== 0) {
      for (let word = 0; word < rig.width / 8; word++)
        this.store(rig.queue + rig.head + word * 8, word === 0 ? 5 : 0, 0);
    }
    rig.write(0x34, 0xff);
    rig.write(0xdc, 3);
    if (this.chance(2)) rig.write64(0xc0, rig.read64(0xc8));
  }

  descriptor(): void {
    const { rig } = this;
    if (this.chance(4)) this.skip();
    const slot = rig.queue + rig.tail;
    const type = this.chance(16) ? this.below(16) : this.pick([1, 2, 3, 5, 5, 6, 7, 8, 9, 9, 10]);
    const noise = this.chance(6);
    const sid = this.pick(SIDS);
    const pasid = this.below(8);
    const flags = this.below(16) * 16;
    let [lo, hi] = noise ? [(this.bits() & ~0xf) | type, this.bits()] : [type | flags, 0];
    if (!noise) {
      if (type === 1 || type === 3) [lo, hi] = [type | (type === 1 ? flags & 0x30 : 0) | 0x10000, sid];
      else if (type === 2) [lo, hi] = [type | (flags & 0xf0) | 0x10000, 0];
      else if (type === 5) [lo, hi] = [type | flags, this.bits()];
      else if (type === 8 || type === 9) [lo, hi] = [type | (flags & 0x10) | (sid * 0x10000), pasid];
      else [lo, hi] = [type | (flags & 0x30) | 0x10000, pasid];
    }
    this.store(slot, lo, hi);
    const low = type === 5 ? rig.status + this.below(64) * 4 : type === 9 && this.ttm !== 2 ? this.below(512) * 8 : 0;
    const second = noise ? this.bits() : low || this.pick([0, 0x1000, 0x3000, 0x7f000, 0xfffff000]);
    this.store(slot + 8, second, this.chance(8) ? this.bits() : 0);
    for (let word = 2; word < rig.width / 8; word++) this.store(slot + word * 8, this.chance(64) ? 1 : 0, 0);
    rig.tail = (rig.tail + rig.width) % 4096;
    rig.write(0x88, rig.tail);
  }

  tableEntry(): void {
    const { rig, pool } = this;
    if (this.chance(3)) return this.nearlyRight();
    const at = this.pick([
      rig.root + this.below(4) * 8,
      pool[0] + this.below(1024) * 4,
      pool[1] + this.below(64) * 8,
      pool[7] + this.below(4) * 8,
      this.pick(pool) + this.below(512) * 8,
    ]);
    const address = this.address();
    if (this.chance(3)) this.store(at, this.bits(), this.bits());
    else
      this.store(
        at,
        (address - (address % 4096)) | this.pick([0, 1, 1, 1, 2, 3, 7, 0x1d, 0x19, 0x15, 0xd, 0x49, 0x87, 0xa15]),
        Math.floor(address / 2 ** 32),
      );
  }

  /** A scalable-mode context or directory entry with one thing wrong, and nothing cached of it. */
  nearlyRight(): void {
    const { rig, pool } = this;
    const nothing = 2 ** 31 - 4096 * (1 + this.below(2 ** 16));
    if (this.chance(3)) this.store(pool[7], (this.chance(2) ? nothing : pool[1]) | this.pick([1, 1, 5, 0, 2]), 0);
    else {
      const directory = this.chance(4) ? nothing : pool[7];
      this.store(pool[0] + this.below(4) * 32, directory | this.pick([0x41d, 0x419, 0x415, 0x40d, 0x41f, 0x401]), 0);
    }
    rig.vtd.dropEverything();
  }

  pageEntry(): void {
    const at = this.pool[2 + this.below(this.chance(4) ? 22 : 5)] + this.below(this.chance(2) ? 4 : 512) * 8;
    const address = this.address();
    const type = this.pick([7, 7, 0x67, 0x87, 5, 3, 0, 0x807, 0x107]);
    const high = Math.floor(address / 2 ** 32) | (this.chance(4) ? this.bits() & 0xfff00000 : 0);
    this.store(at, (address - (address % 4096)) | type, high);
  }

  register(): void {
    const { rig } = this;
    const { bus } = rig;
    if (this.chance(8)) {
      rig.write64(0x20, BigInt(this.chance(4) ? 0x7fff_0000 : rig.root) | BigInt(this.below(4) << 10));
      rig.command(0x4000_0000);
    }
    // A queue with room for one request more.
    if (this.chance(8)) rig.write64(0xc0, (rig.read64(0xc8) + 64n) % 4096n);
    const offset = this.chance(4) ? this.below(0x1000 / 4) * 4 : this.pick(REGISTERS);
    const value = this.chance(2) ? this.bits() : (this.address() % 2 ** 32) | this.below(32);
    const at = BASE + offset;
    const width = this.below(8);
    if (width === 0) bus.write8(at + this.below(4), value & 0xff);
    else if (width === 1) bus.write16(at, value & 0xffff);
    else if (width === 2) bus.store64(at - (at % 8), value, this.bits());
    else bus.store32(at, value);
    bus.load32(at);
  }

  // ── what devices do ────────────────────────────────────────────────────────────────────────────────────────────

  message(): Upstream {
    if (this.chance(2)) {
      const pages = [0, 1, 2, 600, Math.floor(this.address() / 4096)];
      return hostileUpstream((n) => (n > 2 ** 31 ? this.bits() : this.below(n)), { pasids: [0, 1, 2, 5], pages });
    }
    const kind = this.pick([
      'write',
      'read',
      'translation-request',
      'page-request',
      'invalidate-completion',
      'nonsense',
    ]);
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
    return { ...(messages[kind] ?? { kind }) } as unknown as Upstream;
  }

  /** One operation of anybody. */
  *operation() {
    this.operations++;
    const choice = this.below(32);
    if (choice < 14) yield* this.rig.vtd.receive(this.pick(this.links), this.message());
    else if (choice < 23) this.descriptor();
    else if (choice < 26) this.tableEntry();
    else if (choice < 30) this.pageEntry();
    else this.register();
  }

  /** `count` operations, run to the end. @returns how the run ended: anything but `finished` is a failure */
  run(count: number): string {
    const { rig } = this;
    rig.frozen = false;
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
    const { fsts } = rig;
    for (const bit of [1, 0x10, 0x20, 0x40, 0x80]) if ((fsts & bit) !== 0) this.note(`FSTS 0x${bit.toString(16)}`);
    if ((fsts & 0x10) !== 0) this.note(`IQEI ${rig.read(0xb0) & 0xf}`);
    for (let n = 0; n < 8; n++) {
      const hi = rig.read(0x40c + n * 16);
      if (hi >>> 31 === 1) this.note(`fault 0x${(hi & 0xff).toString(16)}`);
    }
    if ((rig.read(0xdc) & 2) !== 0) this.note('PRO');
    for (const link of this.links) {
      for (const tlp of link.sent.splice(0)) this.note('status' in tlp ? `${tlp.kind} ${tlp.status}` : tlp.kind);
    }
    for (const line of rig.interrupts.splice(0)) this.note(`interrupt ${line}`);
  }

  note(what: string): void {
    this.seen.set(what, (this.seen.get(what) ?? 0) + 1);
  }
}
