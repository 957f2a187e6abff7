import { FairChooser, Kernel, PhysicalBus, Rng, ThreadedInterrupt } from '@iommukit/kernel';
import { Oracles } from '@iommukit/oracles';
import { smmuV3Hardware } from '@iommukit/smmuv3-hardware';
import { measure, spread, time } from './harness.mjs';

const SMMU = 0x905_0000;
const RAM = { base: 0x4000_0000, bytes: 8 * 2 ** 30 };
const STREAM = 24;
const PASID = 1;
const ONE_K = 1024;
const ONE_M = 2 ** 20;
const ORDER = 65536;
/** Frames that pages lead to, as many as in bound.c. */
const FRAMES = 16384;

/**
 * One SMMU on a bare kernel, watched by every oracle, with tables written as literal words: stream 24, PASID 1, ASID 1.
 * `pages` pages are mapped from page 0 on.
 */
function machine(pages) {
  const kernel = new Kernel();
  const bus = new PhysicalBus(kernel, [RAM]);
  kernel.observer = new Oracles(kernel, bus.memory);
  const irq = (name) => new ThreadedInterrupt(kernel, name);
  const smmu = smmuV3Hardware.create({ kernel, bus, name: 'smmu', base: SMMU, bytes: 0x20000, capabilities: {}, irq });
  const frame = (what, order = 0) => bus.frames.alloc(`bench ${what}`, order) * 4096;
  const store = (pa, value) => bus.store64(pa, Number(value & 0xffffffffn), Number(value >> 32n));
  const streams = frame('stream table', 2);
  const contexts = frame('CD table');
  const root = frame('page table');
  store(streams + STREAM * 64, (6n << 59n) | BigInt(contexts) | 0xbn);
  store(streams + STREAM * 64 + 8, 0x1000_0000n);
  store(contexts + PASID * 64 + 8, BigInt(root));
  store(contexts + PASID * 64, (1n << 48n) | 0xe205_8000_0000n | 0x4000_3510n);
  bus.store64(SMMU + 0x80, streams, 0);
  bus.store32(SMMU + 0x88, 8);
  bus.store32(SMMU + 0x20, 1);
  mapPages(bus, frame, root, pages);
  return { kernel, bus, smmu, iotlb: smmu.iotlb, frame };
}

/** Maps pages 0 … n-1 as the CPU's tables would. */
function mapPages(bus, frame, root, pages) {
  const target = (RAM.base + 4 * 2 ** 30) / 4096;
  const out = new Uint32Array(2);
  const below = (table, slot) => {
    bus.load64(table + slot * 8, out);
    if ((out[0] & 1) !== 0) return (out[0] & ~4095) + out[1] * 2 ** 32;
    const next = frame('page table');
    bus.store64(table + slot * 8, (next % 2 ** 32) | 3, Math.floor(next / 2 ** 32));
    return next;
  };
  let leaf = root;
  for (let page = 0; page < pages; page++) {
    if (page % 512 === 0) leaf = below(below(below(root, 0), Math.floor(page / 2 ** 18)), Math.floor(page / 512) % 512);
    const pa = (target + (page % FRAMES)) * 4096;
    bus.store64(leaf + (page % 512) * 8, ((pa % 2 ** 32) | 0xc43) >>> 0, Math.floor(pa / 2 ** 32));
  }
}

/** Page numbers in random order. */
function pagesIn(span) {
  const rng = new Rng(1);
  return Float64Array.from({ length: ORDER }, () => rng.below(span));
}

function translations(smmu, pages) {
  const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  let failed = 0;
  return (n) => {
    for (let i = 0; i < n; i++) if (!smmu.translate(STREAM, PASID, pages[i & (ORDER - 1)], 1, out)) failed++;
    if (failed > 0) throw new Error(`${failed} translations failed, event 0x${out.reason.toString(16)}`);
  };
}

/** Empties the sets of the pages, as the measured case does before each translation. */
function drops(iotlb, pages, then) {
  const out = { frame: 0, perm: 0, log2Size: 0, reason: 0, level: 0 };
  const { tag } = iotlb.lines;
  const mask = tag.length / 4 - 1;
  return (n) => {
    for (let i = 0; i < n; i++) {
      const page = pages[i & (ORDER - 1)];
      const salted = (page ^ 1) & mask;
      const plain = page & mask;
      tag[salted * 4] = tag[salted * 4 + 1] = tag[salted * 4 + 2] = tag[salted * 4 + 3] = -1;
      tag[plain * 4] = tag[plain * 4 + 1] = tag[plain * 4 + 2] = tag[plain * 4 + 3] = -1;
      if (then !== null) then.translate(STREAM, PASID, page, 1, out);
    }
  };
}

const BATCH = 2 ** 20;

/** log2 of the command queue's entries, and how many commands a driver submits at once (SMMU-25). */
const RING = 8;
const COMMANDS = 64;
const CMDQ = { base: SMMU + 0x90, prod: SMMU + 0x98, cons: SMMU + 0x9c };
const FOREVER = { steps: Number.POSITIVE_INFINITY, ns: 1, idleSteps: Number.POSITIVE_INFINITY };

/** Invalidates one page after the other through the command queue (TLBI_NH_VA), and translates each again. */
function invalidations({ kernel, bus, smmu, frame }) {
  const ring = frame('command queue');
  bus.store64(CMDQ.base, (ring + RING) % 2 ** 32, 0);
  bus.store32(SMMU + 0x20, 9);
  const again = translations(
    smmu,
    Float64Array.from({ length: ORDER }, (_, i) => i % ONE_K),
  );
  const state = new Int32Array(1);
  const command = (page) => {
    const slot = ring + (state[0] & (2 ** RING - 1)) * 16;
    bus.store64(slot, 0x12, 0x0001_0000);
    bus.store64(slot + 8, (page << 12) | 1, 0);
    state[0] = (state[0] + 1) & (2 ** (RING + 1) - 1);
  };
  const consumed = () => bus.load32(CMDQ.cons) === state[0];
  again(ORDER);
  return (n) => {
    kernel.spawn('driver', function* () {
      for (let i = 0; i < n; i += COMMANDS) {
        for (let page = i; page < i + COMMANDS; page++) command(page % ONE_K);
        bus.store32(CMDQ.prod, state[0]);
        yield* kernel.until(Math.floor(CMDQ.cons / 8), consumed, 'commands');
        again(COMMANDS);
      }
    });
    kernel.begin(new FairChooser(), FOREVER);
    const { end } = kernel.run();
    if (end !== 'finished') throw new Error(`the invalidations ended in a ${end}`);
  };
}

/** What translations cost: those of the README's table, and one page's invalidation with the walk that fills it again. */
export const cases = {
  'translate-hit-1k': () => {
    const { smmu } = machine(ONE_K);
    return measure(translations(smmu, pagesIn(ONE_K)), { batch: BATCH });
  },
  'translate-hit-1m': () => {
    const { smmu } = machine(ONE_M);
    return measure(translations(smmu, pagesIn(ONE_K)), { batch: BATCH });
  },
  'translate-miss-1m': () => {
    const { smmu } = machine(ONE_M);
    return measure(translations(smmu, pagesIn(ONE_M)), { batch: BATCH });
  },
  'translate-miss-1k': () => {
    const { smmu, iotlb } = machine(ONE_K);
    const pages = pagesIn(ONE_K);
    const both = drops(iotlb, pages, smmu);
    const dropOnly = drops(iotlb, pages, null);
    for (let i = 0; i < 5; i++) {
      both(BATCH);
      dropOnly(BATCH);
    }
    return spread(Array.from({ length: 15 }, () => time(both, BATCH) - time(dropOnly, BATCH)));
  },
  'invalidate-refill': () => measure(invalidations(machine(ONE_K)), { batch: 2 ** 16 }),
};
