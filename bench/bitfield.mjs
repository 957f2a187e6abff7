import { CD } from '@iommukit/smmuv3-spec';
import { measure } from './harness.mjs';

const ENTRIES = 1024;
const WORDS = 16;
const BATCH = 2 ** 22;
const { asid } = CD.f;

function descriptors() {
  const words = new Uint32Array(ENTRIES * WORDS);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 0x9e3779b9);
  return words;
}

/** Results go here, so that no loop is optimised away. */
const sink = new Int32Array(1);

function reading(get) {
  const words = descriptors();
  return measure(
    (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum = (sum + get(words, (i & (ENTRIES - 1)) * WORDS)) | 0;
      sink[0] += sum;
    },
    { batch: BATCH },
  );
}

function writing(set) {
  const words = descriptors();
  return measure(
    (n) => {
      for (let i = 0; i < n; i++) set(words, i & 0xffff, (i & (ENTRIES - 1)) * WORDS);
      sink[0] += words[1];
    },
    { batch: BATCH },
  );
}

/** A declared field (CD.ASID, bits 63:48) and the shift that one would write by hand. */
export const cases = {
  'field-get': () => reading((words, at) => asid.get(words, at)),
  'field-get-by-hand': () => reading((words, at) => words[at + 1] >>> 16),
  'field-set': () => writing((words, value, at) => asid.set(words, value, at)),
  'field-set-by-hand': () =>
    writing((words, value, at) => {
      words[at + 1] = (words[at + 1] & 0xffff) | (value << 16);
    }),
};
