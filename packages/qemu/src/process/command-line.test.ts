import { describe, expect, it } from 'vitest';
import { QEMU_MACHINES, type QemuMachineKind } from '../machines/machines.js';
import { commandLine } from './command-line.js';
import type { QemuProgram } from './find.js';

const version = (major: number, minor: number, micro: number) => ({
  major,
  minor,
  micro,
  text: `${major}.${minor}.${micro}`,
});
const program = (its: QemuProgram['version'], arch: QemuProgram['arch']): QemuProgram => ({
  arch,
  path: '/bin/qemu',
  version: its,
  source: 'PATH',
});
const OLD = version(10, 0, 2);
const NEW = version(11, 1, 3);

function line(kind: QemuMachineKind, its: QemuProgram['version'], cpus: 'none' | 'parked' = 'none'): string {
  const spec = QEMU_MACHINES[kind];
  const options = { memoryBytes: 128 * 2 ** 20, cpus, extra: ['-extra'] };
  return commandLine(program(its, spec.arch), spec, options, '/run').join(' ');
}

describe('the command line', () => {
  it('has a machine without CPUs, its memory in a file, and qtest on pipes', () => {
    expect(line('vtd-legacy', NEW)).toBe(
      '/bin/qemu -nodefaults -display none -serial none -monitor none -net none -m 128M ' +
        '-object memory-backend-file,id=ram,size=128M,mem-path=/run/memory,share=on ' +
        '-machine q35,memory-backend=ram -device intel-iommu ' +
        '-device edu,addr=04.0,dma_mask=0xffffffffffffffff -device iommu-testdev,addr=05.0 ' +
        '-accel qtest -chardev pipe,id=qtest,path=/run/qtest -qtest chardev:qtest -qtest-log none -extra',
    );
  });

  it.each([
    ['vtd-scalable', NEW, 'intel-iommu,scalable-mode=on,fsts=on '],
    ['vtd-scalable', OLD, 'intel-iommu,x-scalable-mode=on,x-flts=on '],
    ['vtd-scalable-ss', NEW, 'intel-iommu,scalable-mode=on '],
    ['vtd-ats', NEW, 'intel-iommu,scalable-mode=on,fsts=on,pasid-bits=20,device-iotlb=on,svm=on '],
    ['vtd-ats', OLD, 'intel-iommu,x-scalable-mode=on,x-flts=on,x-pasid-mode=on '],
    ['smmuv3', NEW, '-machine virt,iommu=smmuv3,memory-backend=ram -cpu max '],
    ['riscv', NEW, '-device riscv-iommu-pci,addr=03.0 -device edu,addr=04.0'],
  ] as const)('names options as the version does (%s, $text)', (kind, its, words) => {
    expect(line(kind, its)).toContain(words);
  });

  it('doubles the commas of paths, which are no ends of options', () => {
    const spec = QEMU_MACHINES['vtd-legacy'];
    const options = { memoryBytes: 2 ** 27, cpus: 'none', extra: [] } as const;
    const words = commandLine(program(NEW, 'x86_64'), spec, options, '/a,b');
    expect(words.filter((word) => word.includes('/a,,b/'))).toHaveLength(2);
  });

  it('parks CPUs where they cannot be left out, and leaves out devices that are not there', () => {
    expect(line('vtd-legacy', OLD, 'parked')).toContain('-accel tcg -icount shift=0,sleep=off -bios /run/parking ');
    expect(line('riscv', OLD, 'parked')).toContain('-device loader,file=/run/parking,addr=0x800ff000');
    expect(line('smmuv3', OLD)).not.toContain('iommu-testdev');
  });

  it('parks x86 at its reset vector: cli, hlt, jump back to hlt', () => {
    const { bytes } = QEMU_MACHINES['vtd-legacy'].parking;
    expect([bytes.length, ...bytes.subarray(0xfff0, 0xfff4)]).toEqual([65536, 0xfa, 0xf4, 0xeb, 0xfd]);
  });
});
