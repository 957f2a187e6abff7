/** A seeded generator of 32-bit numbers (sfc32): the only source of randomness in a run. */
export class Rng {
  a: number;
  b: number;
  c: number;
  counter: number;

  /** `seed` and `stream` are any safe integers; equal pairs give equal sequences. */
  constructor(seed: number, stream = 0) {
    this.a = seed | 0;
    this.b = Math.trunc(seed / 0x100000000) | 0;
    this.c = stream | 0;
    this.counter = 1;
    for (let i = 0; i < 12; i++) this.next();
  }

  /** The next number, uniform in [0, 2^32). */
  next(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t;
    this.c |= 0;
    return t >>> 0;
  }

  /** Uniform in [0, 1). */
  unit(): number {
    return this.next() / 0x100000000;
  }

  /** Uniform in [0, n), for n ≤ 2^32. */
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }
}
