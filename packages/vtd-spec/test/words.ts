/** The 32-bit words of 64-bit literals, lowest first. */
export const words = (...dwords: bigint[]): Uint32Array =>
  Uint32Array.from(dwords.flatMap((dword) => [Number(dword & 0xffff_ffffn), Number(dword >> 32n)]));

/** 64-bit words as a reader of the manual writes them. */
export const hex = (values: Uint32Array): string[] => {
  const text: string[] = [];
  for (let i = 0; i < values.length; i += 2) {
    text.push(`0x${[values[i + 1], values[i]].map((word) => word.toString(16).padStart(8, '0')).join('')}`);
  }
  return text;
};
