import { Kernel, PhysicalBus, ThreadedInterrupt } from '@iommukit/kernel';
import { Oracles } from '@iommukit/oracles';
import { backends } from 'iommukit';

/** Where a unit's registers are. */
const REGISTERS = 0x905_0000;
const RAM = { base: 0x4000_0000, bytes: 8 * 2 ** 30 };
/** Who asks: bus 0, device 3, function 0. */
export const STREAM = 24;
export const PASID = 1;
/** Frames that pages lead to, as many as in bound.c. */
const FRAMES = 16384;
/** log2 of the entries of a table. */
const TABLE_BITS = 9;

/** A bare kernel, watched by every oracle, with the tools that tables are written with. */
function bareMachine() {
  const kernel = new Kernel();
  const bus = new PhysicalBus(kernel, [RAM]);
  kernel.observer = new Oracles(kernel, bus.memory);
  return {
    kernel,
    bus,
    irq: (name) => new ThreadedInterrupt(kernel, name),
    frame: (what, order = 0) => bus.frames.alloc(`bench ${what}`, order) * 4096,
    store: (pa, ...words) => {
      for (const [i, word] of words.entries()) bus.store64(pa + i * 8, Number(word & 0xffffffffn), Number(word >> 32n));
    },
  };
}

/** Maps pages 0 … n-1 as the CPU's tables would: `table` and `leaf` are the low bits of entries. */
function mapPages({ bus, frame }, root, pages, { table, leaf }) {
  const target = (RAM.base + 4 * 2 ** 30) / 4096;
  const out = new Uint32Array(2);
  const below = (at, slot) => {
    bus.load64(at + slot * 8, out);
    if ((out[0] & 1) !== 0) return (out[0] & ~4095) + out[1] * 2 ** 32;
    const next = frame('page table');
    bus.store64(at + slot * 8, (next % 2 ** 32) | table, Math.floor(next / 2 ** 32));
    return next;
  };
  let last = root;
  for (let page = 0; page < pages; page++) {
    const [region, slot] = [page >>> TABLE_BITS, page & (2 ** TABLE_BITS - 1)];
    if (slot === 0) last = below(below(below(root, 0), region >>> TABLE_BITS), region & (2 ** TABLE_BITS - 1));
    const pa = (target + (page % FRAMES)) * 4096;
    bus.store64(last + slot * 8, ((pa % 2 ** 32) | leaf) >>> 0, Math.floor(pa / 2 ** 32));
  }
}

/** Entries of a driver's batch of invalidations. */
export const BATCH_ENTRIES = 64;

/** An SMMUv3 with tables written as literal words: stream 24, PASID 1, ASID 1. `pages` pages are mapped from page 0 on. */
function smmuv3(pages) {
  const SMMU = REGISTERS;
  const RING = 8;
  const machine = bareMachine();
  const { kernel, bus, irq, frame, store } = machine;
  const place = { kernel, bus, name: 'smmu', base: SMMU, bytes: 0x20000, capabilities: {}, irq };
  const agent = backends.smmuv3.hardware.create(place, {});
  const streams = frame('stream table', 2);
  const contexts = frame('CD table');
  const root = frame('page table');
  const ring = frame('command queue');
  store(streams + STREAM * 64, (6n << 59n) | BigInt(contexts) | 0xbn, 0x1000_0000n);
  store(contexts + PASID * 64 + 8, BigInt(root));
  store(contexts + PASID * 64, (1n << 48n) | 0xe205_8000_0000n | 0x4000_3510n);
  store(SMMU + 0x80, BigInt(streams));
  bus.store32(SMMU + 0x88, 8);
  store(SMMU + 0x90, BigInt(ring + RING));
  bus.store32(SMMU + 0x20, 9);
  mapPages(machine, root, pages, { table: 3, leaf: 0xc43 });
  let prod = 0;
  const CONS = SMMU + 0x9c;
  return {
    kernel,
    agent,
    /** TLBI_NH_VA of a page. */
    postInvalidation(page) {
      const slot = ring + (prod & (2 ** RING - 1)) * 16;
      bus.store64(slot, 0x12, 0x0001_0000);
      bus.store64(slot + 8, (page << 12) | 1, 0);
      prod = (prod + 1) & (2 ** (RING + 1) - 1);
    },
    /** What was posted is consumed. */
    *complete() {
      bus.store32(SMMU + 0x98, prod);
      yield* kernel.until(Math.floor(CONS / 8), () => bus.load32(CONS) === prod, 'commands');
    },
  };
}

/** A VT-d unit in scalable mode, the same: PASID 1, domain 1. */
function vtd(pages) {
  const UNIT = REGISTERS;
  const machine = bareMachine();
  const { kernel, bus, irq, frame, store } = machine;
  const place = { kernel, bus, name: 'dmar', base: UNIT, bytes: 0x1000, capabilities: {}, irq };
  const agent = backends.vtd.hardware.create(place, {});
  const roots = frame('root table');
  const contexts = frame('context table');
  const directory = frame('PASID directory');
  const pasids = frame('PASID table');
  const root = frame('page table');
  const ring = frame('invalidation queue');
  const status = frame('status');
  store(roots, BigInt(contexts) | 1n);
  store(contexts + STREAM * 32, BigInt(directory) | 0x41dn);
  store(directory, BigInt(pasids) | 1n);
  store(pasids + PASID * 64, 0x49n, 0x80_0001n, BigInt(root));
  store(UNIT + 0x90, BigInt(ring) | 0x800n);
  store(UNIT + 0x20, BigInt(roots) | 0x400n);
  for (const command of [0x4000_0000, 0x0400_0000, 0x8400_0000]) bus.store32(UNIT + 0x18, command);
  mapPages(machine, root, pages, { table: 0x27, leaf: 0x67 });
  let tail = 0;
  let waits = 0;
  const next = () => {
    const slot = ring + tail;
    tail = (tail + 32) % 4096;
    return slot;
  };
  return {
    kernel,
    agent,
    /** A PASID-based IOTLB invalidation of a page. */
    postInvalidation(page) {
      const slot = next();
      bus.store64(slot, 0x0001_0036, PASID);
      bus.store64(slot + 8, page << 12, 0);
    },
    /** A wait that writes its number is reached. */
    *complete() {
      const slot = next();
      const number = ++waits >>> 0;
      bus.store64(slot, 0x25, number);
      bus.store64(slot + 8, status, 0);
      bus.store32(UNIT + 0x88, tail);
      yield* kernel.until(Math.floor(status / 8), () => bus.load32(status) === number, 'the wait');
    },
  };
}

/** One unit on a bare kernel, of either architecture, with so many pages mapped. */
export const units = { smmuv3, vtd };
