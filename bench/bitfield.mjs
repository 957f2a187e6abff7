import { CD } from '@iommukit/smmuv3-spec';
import { measure } from './harness.mjs';

const ENTRIES = 1024;
const WORDS = 16;
const BATCH = 2 ** 22;
const { asid } = CD.f;

/** Results go here, so that no loop is optimised away. */
const sink = new Int32Array(1);

function descriptors() {
  return Uint32Array.from({ length: ENTRIES * WORDS }, (_unused, i) => Math.imul(i, 0x9e3779b9));
}

// Four loops written out: one loop that is given the access would be compiled once for all of them.

function getDeclared() {
  const words = descriptors();
  return (n) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum = (sum + asid.get(words, (i & (ENTRIES - 1)) * WORDS)) | 0;
    sink[0] += sum;
  };
}

function getByHand() {
  const words = descriptors();
  return (n) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum = (sum + (words[(i & (ENTRIES - 1)) * WORDS + 1] >>> 16)) | 0;
    sink[0] += sum;
  };
}

function setDeclared() {
  const words = descriptors();
  return (n) => {
    for (let i = 0; i < n; i++) asid.set(words, i & 0xffff, (i & (ENTRIES - 1)) * WORDS);
    sink[0] += words[1];
  };
}

function setByHand() {
  const words = descriptors();
  return (n) => {
    for (let i = 0; i < n; i++) {
      const at = (i & (ENTRIES - 1)) * WORDS + 1;
      words[at] = (words[at] & 0xffff) | ((i & 0xffff) << 16);
    }
    sink[0] += words[1];
  };
}

const run = (loop) => () => measure(loop(), { batch: BATCH });

/** A declared field (CD.ASID, bits 63:48) and the shift that one would write by hand. */
export const cases = {
  'field-get': run(getDeclared),
  'field-get-by-hand': run(getByHand),
  'field-set': run(setDeclared),
  'field-set-by-hand': run(setByHand),
};
