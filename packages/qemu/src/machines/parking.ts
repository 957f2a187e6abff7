/** A ROM of 64 KiB that starts at its last 16 bytes, as x86 does: disable interrupts, halt, again. */
function x86Rom(): Uint8Array {
  const rom = new Uint8Array(65536);
  // cli; hlt; jmp to the hlt.
  rom.set([0xfa, 0xf4, 0xeb, 0xfd], 0xfff0);
  return rom;
}

/** What CPUs run where they cannot be stopped. */
export const X86_PARKING = { bytes: x86Rom(), arguments: (file: string) => ['-bios', file] };
/** wfi; b to it. It lies in the flash at address 0, where CPUs start. */
export const ARM_PARKING = {
  bytes: Uint8Array.of(0x7f, 0x20, 0x03, 0xd5, 0xff, 0xff, 0xff, 0x17),
  arguments: (file: string) => ['-bios', file],
};
/** wfi; j to it. It lies in RAM's first 2 MiB, which belong to the machine. */
export const RISCV_PARKING = {
  bytes: Uint8Array.of(0x73, 0x00, 0x50, 0x10, 0x6f, 0xf0, 0xdf, 0xff),
  arguments: (file: string) => [
    '-device',
    `loader,file=${file.replaceAll(',', ',,')},addr=0x800ff000,cpu-num=0,force-raw=on`,
  ],
};
