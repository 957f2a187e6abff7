import { UsageError } from '../errors.js';
import { fileSource } from './file-source.js';

const BLOCK = 64 * 1024;
/** No line of a request file is longer (bytes). */
const LONGEST = 4096;
const NEWLINE = 0x0a;

/** One line of a file, and its place in messages. */
export interface FileLine {
  readonly text: string;
  /** `FILE:LINE`. */
  readonly place: string;
}

/** The lines of a file, one after the other: a file of any size takes the memory of a line. @throws UsageError */
export function* fileLines(name: string): Generator<FileLine> {
  const source = fileSource(name);
  const block = new Uint8Array(BLOCK);
  const decoder = new TextDecoder();
  let [rest, number] = ['', 0];
  try {
    for (let offset = 0; offset < source.size; offset += BLOCK) {
      const bytes = block.subarray(0, Math.min(BLOCK, source.size - offset));
      source.read(offset, bytes);
      let from = 0;
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, from)) {
        number++;
        yield { text: rest + decoder.decode(bytes.subarray(from, end)), place: `${name}:${number}` };
        rest = '';
        from = end + 1;
      }
      rest += decoder.decode(bytes.subarray(from));
      if (rest.length > LONGEST) throw new UsageError(`${name}:${number + 1}: the line has more than ${LONGEST} bytes`);
    }
    if (rest !== '') yield { text: rest, place: `${name}:${number + 1}` };
  } finally {
    source.close();
  }
}
