import { tmpdir } from 'node:os';
import { findQemu, isQemuError, QEMU_MACHINES, startQemu, testdev } from '@iommukit/qemu';
import { main } from 'iommukit';
import { besides, measure, spread, time } from './harness.mjs';

const MIB = 2 ** 20;
const IOVA = 0x4000_0000n;
const COMPARED = 250;

/** Second-stage tables of legacy mode for one page, for every device of the root bus (vtd.md 2.1, 2.2, 4.2). */
function mapLegacy({ bus, iommu, functions }) {
  const [root, contexts, pml4, pdpt, pd, pt, page] = [2, 3, 4, 5, 6, 7, 9].map((at) => at * MIB);
  bus.store64(root, contexts + 1, 0);
  for (const { rid } of functions) {
    bus.store64(contexts + 16 * rid, pml4 + 1, 0);
    bus.store64(contexts + 16 * rid + 8, (7 << 8) | 2, 0);
  }
  bus.store64(pml4, pdpt + 3, 0);
  bus.store64(pdpt + 8, pd + 3, 0);
  bus.store64(pd, pt + 3, 0);
  bus.store64(pt, page + 3, 0);
  bus.store64(iommu.base + 0x20, root, 0);
  bus.store32(iommu.base + 0x18, 0x4000_0000);
  bus.store32(iommu.base + 0x18, 0x8000_0000);
}

/** A linear stream table and stage-1 tables of 48 bits for one page, for every device of the root bus (smmuv3.md 2, 3). */
function mapStage1({ bus, iommu: { base }, functions }) {
  const [streams, context, l0, l1, l2, l3, page] = [2, 3, 6, 7, 8, 9, 10].map((at) => 0x4000_0000 + at * MIB);
  for (const { rid } of functions) bus.store64(streams + 64 * rid, context + 0xb, 0);
  bus.store64(context, 0xc000_0010, 2 | (1 << 3) | (1 << 9) | (3 << 13) | (7 << 16));
  bus.store64(context + 8, l0, 0);
  bus.store64(context + 24, 0xff, 0);
  bus.store64(l0, l1 + 3, 0);
  bus.store64(l1 + 8, l2 + 3, 0);
  bus.store64(l2, l3 + 3, 0);
  bus.store64(l3, page + 0x443, 0);
  bus.store32(base + 0x28, 0xd75);
  bus.store64(base + 0x80, streams, 0);
  bus.store32(base + 0x88, 8);
  bus.store32(base + 0x20, 1);
}

/** A QEMU that runs, with one page mapped. */
function running({ kind, map }) {
  const qemu = startQemu(findQemu(QEMU_MACHINES[kind].arch), kind);
  map(qemu);
  return qemu;
}

/** From nothing to a machine whose IOMMU's first register was read, with PCI set up. */
function start({ kind }) {
  const program = findQemu(QEMU_MACHINES[kind].arch);
  const once = () => {
    let qemu;
    const ns = time(() => {
      qemu = startQemu(program, kind);
      qemu.bus.load32(qemu.iommu.base);
    }, 1);
    qemu.stop();
    return ns;
  };
  once();
  return spread(Array.from({ length: 15 }, once));
}

/** A device's write of 4 bytes through the IOMMU, and whether it was refused. */
function dma(machine) {
  const qemu = running(machine);
  try {
    const device = testdev(qemu);
    return measure(
      (n) => {
        for (let i = 0; i < n; i++) if (device.write(IOVA) !== 'done') throw new Error('the write was refused');
      },
      { batch: 4000 },
    );
  } finally {
    qemu.stop();
  }
}

/** One random machine with its requests, on the model and on QEMU, compared. */
async function compared({ backend }) {
  const silent = { isTTY: false, write() {} };
  const samples = [];
  const words = ['compare', '--backend', backend, '--cases', String(COMPARED), '--out', tmpdir()];
  for (let i = 0; i < 5; i++) {
    const began = process.hrtime.bigint();
    const code = await main(words, { stdout: silent, stderr: silent });
    samples.push(Number(process.hrtime.bigint() - began) / COMPARED);
    if (code !== 0) throw new Error(`compare ends with ${code}`);
  }
  return spread(samples);
}

/** What QEMU as hardware costs. */
export const cases = besides(
  { 'qemu-start': start, 'qemu-dma': dma, 'qemu-compare': compared },
  {
    smmuv3: { backend: 'smmuv3', kind: 'smmuv3', map: mapStage1 },
    vtd: { backend: 'vtd', kind: 'vtd-legacy', map: mapLegacy },
  },
);

/** Why there is no QEMU for these cases, or null. */
export function absence() {
  try {
    for (const arch of ['x86_64', 'aarch64']) findQemu(arch);
    return null;
  } catch (error) {
    if (isQemuError(error)) return error.message;
    throw error;
  }
}
