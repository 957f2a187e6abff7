import type { Bench } from './bench.js';

const [PQH, PQT, PQA, PRS, PECTL, FSTS] = [0xc0, 0xc8, 0xd0, 0xdc, 0xe0, 0x34];

/** What a page request says, where it is not the default: a write of the last of its group, PASID 5, group 7. */
export interface Asked {
  readonly rid?: number;
  /** -1: none. */
  readonly pasid?: number;
  readonly group?: number;
  readonly address?: bigint;
  readonly last?: boolean;
  readonly read?: boolean;
  readonly write?: boolean;
  readonly exec?: boolean;
  readonly priv?: boolean;
  /** Private data; the extended-context mode has 23 bits of it. */
  readonly data?: bigint;
  /** The extended-context mode's stream response requested. */
  readonly stream?: boolean;
}

const bit = (on: boolean | undefined, position: bigint): bigint => (on === true ? 1n << position : 0n);

/** A page request of scalable mode, by the positions of vtd.md 4.1. */
export function scalableRequest(asked: Asked): bigint[] {
  const { rid = 0x18, pasid = 5, group = 7, address = 0x7f00_0000_1000n, last = true, data } = asked;
  const { read, write = true, exec, priv } = asked;
  const named = pasid < 0 ? 0n : (BigInt(pasid) << 32n) | (1n << 8n);
  return [
    1n | named | bit(data !== undefined, 9n) | (BigInt(rid) << 16n) | bit(exec, 52n) | bit(priv, 53n),
    address | (BigInt(group) << 3n) | bit(last, 2n) | bit(write, 1n) | bit(read, 0n),
    data === undefined ? 0n : data & 0xffff_ffff_ffff_ffffn,
    data === undefined ? 0n : data >> 64n,
  ];
}

/** A page request of the extended-context mode, by the positions of vtd.md 4.2. */
export function extendedRequest(asked: Asked): bigint[] {
  const { rid = 0x18, pasid = 5, group = 7, address = 0x7f00_0000_1000n, last = true, data = 0n } = asked;
  const { read, write = true, exec, priv, stream } = asked;
  const named = pasid < 0 ? 0n : (BigInt(pasid) << 4n) | 4n;
  const bus = BigInt(rid >> 8);
  const devfn = BigInt(rid & 0xff);
  return [
    bit(stream, 0n) | named | bit(last, 3n) | (bus << 24n) | (data << 32n) | (BigInt(group) << 55n),
    address | (devfn << 4n) | bit(priv, 3n) | bit(exec, 2n) | bit(write, 1n) | bit(read, 0n),
  ];
}

/** Plays the hardware's part of the page request queue, with literals of vtd.md 1.10 and 4.5. */
export class RequestRing {
  readonly bench: Bench;
  readonly extended: boolean;
  /** Overflows so far. */
  lost = 0;

  constructor(bench: Bench, extended = false) {
    this.bench = bench;
    this.extended = extended;
  }

  get entryBytes(): number {
    return this.extended ? 16 : 32;
  }

  get bytes(): number {
    return 4096 << (this.bench.unit.get(PQA) & 7);
  }

  get tail(): number {
    return this.bench.unit.get(PQT);
  }

  get head(): number {
    return this.bench.unit.get(PQH);
  }

  /** PRO: in the extended-context mode it is in FSTS. */
  get overflowed(): boolean {
    const { unit } = this.bench;
    return ((this.extended ? unit.get(FSTS) >> 7 : unit.get(PRS) >> 1) & 1) === 1;
  }

  /** A request arrives. */
  ask(asked: Asked = {}): void {
    this.put(this.extended ? extendedRequest(asked) : scalableRequest(asked));
  }

  put(words: readonly bigint[]): void {
    const { unit, bus } = this.bench;
    const next = (this.tail + this.entryBytes) % this.bytes;
    if (this.overflowed || next === this.head) return this.overflow();
    const at = (unit.get(PQA) & ~0xfff) + this.tail;
    words.forEach((word, i) => {
      bus.store64(at + 8 * i, Number(word & 0xffff_ffffn), Number(word >> 32n));
    });
    unit.registers.set(PQT, next);
    this.report(1);
  }

  overflow(): void {
    const { unit } = this.bench;
    this.lost++;
    if (this.extended) unit.registers.set(FSTS, unit.get(FSTS) | 0x80);
    else this.report(2);
  }

  /** Only the first of the two bits is an event. */
  report(bits: number): void {
    const { unit } = this.bench;
    const before = unit.get(PRS);
    unit.registers.set(PRS, before | bits);
    unit.window.changed(PRS);
    if ((before & 3) === 0 && unit.get(PECTL) >>> 31 === 0) unit.line('page-request').pulse();
  }
}
