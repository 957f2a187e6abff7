/** Bytes that are read here and there: an open file, a buffer. */
export interface ByteSource {
  /** What errors call it: a file's name. */
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /** Fills `into` with the bytes from `offset` on, all of which lie below {@link size}. */
  read(offset: number, into: Uint8Array): void;
}

/** A buffer as a {@link ByteSource}. */
export function bytesSource(bytes: Uint8Array, name = 'buffer'): ByteSource {
  return {
    name,
    size: bytes.length,
    read(offset, into) {
      into.set(bytes.subarray(offset, offset + into.length));
    },
  };
}
