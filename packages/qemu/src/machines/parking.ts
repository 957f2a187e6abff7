/** A ROM of 64 KiB that starts at its last 16 bytes, as x86 does: disable interrupts, halt, again. */
function x86Rom(): Uint8Array {
  const rom = new Uint8Array(65536);
  // cli; hlt; jmp to the hlt.
  rom.set([0xfa, 0xf4, 0xeb, 0xfd], 0xfff0);
  return rom;
}

const loader = (address: number) => (file: string) => [
  '-device',
  `loader,file=${file},addr=0x${address.toString(16)},cpu-num=0,force-raw=on`,
];

/** What CPUs run where they cannot be stopped. */
export const X86_PARKING = { bytes: x86Rom(), arguments: (file: string) => ['-bios', file] };
/** wfi; b to it. It lies in the last page of RAM's first MiB. */
export const ARM_PARKING = {
  bytes: Uint8Array.of(0x7f, 0x20, 0x03, 0xd5, 0xff, 0xff, 0xff, 0x17),
  arguments: loader(0x400f_f000),
};
/** wfi; j to it. */
export const RISCV_PARKING = {
  bytes: Uint8Array.of(0x73, 0x00, 0x50, 0x10, 0x6f, 0xf0, 0xdf, 0xff),
  arguments: loader(0x800f_f000),
};
