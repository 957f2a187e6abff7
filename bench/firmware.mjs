import { readFileSync } from 'node:fs';
import { isFirmwareError, parseDevicetree, platformFromDevicetree } from '@iommukit/firmware';
import { Rng } from '@iommukit/kernel';
import { measure } from './harness.mjs';

const real = readFileSync(new URL('../apps/cli/fixtures/virt.dtb', import.meta.url));
/** The file announces a megabyte; the tree lies in the first bytes. */
const TREE = 8192;

/** The real devicetree with one byte changed, read and described, or refused. */
function mutations() {
  const rng = new Rng(1);
  return (n) => {
    for (let i = 0; i < n; i++) {
      const at = rng.below(TREE);
      const before = real[at];
      real[at] = rng.below(256);
      try {
        platformFromDevicetree(parseDevicetree(real));
      } catch (error) {
        if (!isFirmwareError(error)) throw error;
      }
      real[at] = before;
    }
  };
}

/** What reading one damaged devicetree costs. */
export const cases = { 'devicetree-mutation': () => measure(mutations(), { batch: 5000 }) };
