import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { tempFile, virtDtb } from './files.js';
import { MACHINES } from './machines.js';
import { iommukit, lines } from './support.js';

const { smmuv3 } = MACHINES;
/** The context of stream 0x30, which is 00:06.0 unless firmware says otherwise, maps this page for reading. */
const [IOVA, PA] = ['0x30100010', '0x49878010'];
/** Added to requester ids: 00:04.0 is stream 0x30 then. */
const OFFSET = 0x10;

/** What the functions get that ask for the page. */
async function answers(devices: readonly string[], ...more: string[]): Promise<unknown[]> {
  const requests = tempFile('requests.txt', devices.map((device) => `${device} ${IOVA} read\n`).join(''));
  const { code, stdout, stderr } = await iommukit(
    ...['translate', '--backend', 'smmuv3', '--image', smmuv3.image, '--registers', ...smmuv3.registers],
    ...['--requests', requests, '--json', ...more],
  );
  expect([code, stderr]).toEqual([0, '']);
  return lines(stdout)
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { pa: unknown }).pa);
}

/** A file with one place in it changed, which is found by the bytes that stand there. */
function patched(bytes: Uint8Array, from: readonly number[], at: number, value: number): Uint8Array {
  const place = Buffer.from(bytes).indexOf(Uint8Array.from(from));
  expect(place).toBeGreaterThan(0);
  const copy = Uint8Array.from(bytes);
  copy[place + at] = value;
  return copy;
}

/** `iommu-map = <0 &smmu 0 0x10000>` of QEMU's virt machine, with `OFFSET` as its first stream. */
function devicetree(): string {
  const map = [0, 0, 0, 0, 0, 0, 0x80, 0x04, 0, 0, 0, 0, 0, 1, 0, 0];
  return tempFile('virt.dtb', patched(virtDtb(), map, 11, OFFSET));
}

/** The machine's own IORT: requesters 0 to 0x2ff go to the SMMU, as streams from `OFFSET` on. */
function iort(): string {
  const mapping = [0, 0, 0, 0, 0xff, 2, 0, 0, 0, 0, 0, 0, 0x48, 0, 0, 0];
  const table = patched(readFileSync(smmuv3.firmware), mapping, 8, OFFSET);
  // The sum of all bytes is 0 (ACPI 5.2.6).
  table[9] = (table[9] as number) - OFFSET;
  return tempFile('IORT.aml', table);
}

describe('the stream of a request', () => {
  it('is its requester id where no firmware says otherwise', async () => {
    expect(await answers(['00:06.0', '00:04.0'])).toEqual([PA, null]);
  });

  it.each([
    ['a devicetree', devicetree],
    ['an IORT', iort],
  ])('is what %s maps the requester id to', async (_name, file) => {
    expect(await answers(['00:04.0', '00:06.0'], '--platform', file())).toEqual([PA, null]);
  });

  it('is none where firmware leads the function past every IOMMU: it reaches its own address', async () => {
    expect(await answers(['03:00.0'], '--platform', smmuv3.firmware)).toEqual([IOVA]);
  });
});
