import { findQemu, platformOfQemu, QEMU_MACHINES, QemuHardware, startQemu } from '@iommukit/qemu';
import type { Scenario } from '@iommukit/scenario';
import type { Context } from '../context.js';
import { planOf } from '../plan.js';
import { qemuMachineOf } from '../qemu-machine-of.js';
import { makeRunner } from './make-runner.js';
import { repeatCommand } from './repeat.js';
import type { RunFlags } from './run-flags.js';
import { runOne } from './run-one.js';

/**
 * Runs a scenario on QEMU: the same drivers, and the hardware that others wrote. Such a run does not replay.
 * @throws UsageError with the reasons when QEMU cannot play it, QemuError when QEMU cannot be had, or fails
 */
export async function runOnQemu(context: Context, name: string, flags: RunFlags): Promise<void> {
  const plan = await planOf(name, flags);
  const kind = qemuMachineOf(plan);
  const program = findQemu(QEMU_MACHINES[kind].arch, flags.qemu);
  const qemu = startQemu(program, kind, { arguments: engines(plan.scenario) });
  try {
    const platform = platformOfQemu(plan.platform, qemu);
    const hardware = new QemuHardware(qemu, platform);
    const runner = makeRunner({ ...plan, platform, hardware }, `${name} on ${hardware.name}`);
    await runOne(context, runner, flags, repeatCommand(name, flags));
  } finally {
    qemu.stop();
  }
}

/** An edu where the scenario has an engine. One is plugged in always, in slot 4. */
function engines({ platform }: Scenario): readonly string[] {
  return platform.endpoints.flatMap(({ at }) => {
    const [slot = '', fn = ''] = at.slice(at.lastIndexOf(':') + 1).split('.');
    return slot === '04' ? [] : ['-device', `edu,addr=${slot}.${fn},dma_mask=0xffffffffffffffff`];
  });
}
