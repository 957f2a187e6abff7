import { join } from 'node:path';
import type { QemuMachineSpec } from '../machines/kinds.js';
import type { QemuProgram } from './find.js';
import { FILES } from './guardian.js';

/** The devices' arguments: one that reaches all addresses, and one a slot. */
function deviceArguments({ devices }: QemuMachineSpec, absent: ReadonlySet<string>): string[] {
  return devices
    .filter(({ model }) => !absent.has(model))
    .flatMap(({ model, slot }) => {
      const mask = model === 'edu' ? ',dma_mask=0xffffffffffffffff' : '';
      return ['-device', `${model},addr=${slot.toString(16).padStart(2, '0')}.0${mask}`];
    });
}

/** Models that a version does not have. */
export function absentModels({ version: { major, minor } }: QemuProgram): ReadonlySet<string> {
  return new Set(major > 11 || (major === 11 && minor >= 0) ? [] : ['iommu-testdev']);
}

/** What becomes of the CPUs: there are none (QEMU's qtest accelerator), or they run a loop that waits for nothing. */
export type Cpus = 'none' | 'parked';

/** A path within an option, which is a list with commas between its parts. */
const quoted = (path: string): string => path.replaceAll(',', ',,');

/** The whole command line of a machine. */
export function commandLine(
  program: QemuProgram,
  spec: QemuMachineSpec,
  options: { readonly memoryBytes: number; readonly cpus: Cpus; readonly extra: readonly string[] },
  folder: string,
): string[] {
  const { memoryBytes, cpus, extra } = options;
  const file = (name: keyof typeof FILES) => quoted(join(folder, FILES[name]));
  const megabytes = `${memoryBytes / 2 ** 20}M`;
  const machine = [...spec.arguments(program.version)];
  const at = machine.indexOf('-machine') + 1;
  machine[at] = `${machine[at]},memory-backend=ram`;
  return [
    program.path,
    ...['-nodefaults', '-display', 'none', '-serial', 'none', '-monitor', 'none', '-net', 'none', '-m', megabytes],
    ...['-object', `memory-backend-file,id=ram,size=${megabytes},mem-path=${file('memory')},share=on`],
    ...machine,
    ...deviceArguments(spec, absentModels(program)),
    ...(cpus === 'none'
      ? ['-accel', 'qtest']
      : ['-accel', 'tcg', '-icount', 'shift=0,sleep=off', ...spec.parking.arguments(join(folder, FILES.parking))]),
    ...['-chardev', `pipe,id=qtest,path=${file('qtest')}`, '-qtest', 'chardev:qtest', '-qtest-log', 'none'],
    ...extra,
  ];
}
