import { type Application, buildApplication, buildRouteMap, text_en } from '@stricli/core';
import { compareCommand } from './commands/compare.js';
import { qemuCommand } from './commands/qemu.js';
import { runCommand } from './commands/run.js';
import { startCommand } from './commands/start.js';
import { translateCommand } from './commands/translate.js';
import type { Context } from './context.js';
import { EXIT, isExplained, isUsersError } from './errors.js';

/** The command line. */
export function application(version: string): Application<Context> {
  const root = buildRouteMap<'compare' | 'qemu' | 'run' | 'start' | 'translate', Context>({
    routes: {
      compare: compareCommand,
      qemu: qemuCommand,
      run: runCommand,
      start: startCommand,
      translate: translateCommand,
    },
    docs: {
      brief: 'Shared Virtual Addressing end to end: run real IOMMU drivers on bit-accurate hardware models',
      fullDescription:
        'Shared Virtual Addressing end to end: run real IOMMU drivers on bit-accurate hardware models.\n\nExit codes: 0 fine, 1 a finding or a failed run, 2 wrong usage.',
    },
  });
  return buildApplication(root, {
    name: 'iommukit',
    versionInfo: { currentVersion: version },
    scanner: { caseStyle: 'allow-kebab-for-camel' },
    documentation: { disableAnsiColor: true },
    localization: {
      loadText: () => ({
        ...text_en,
        exceptionWhileRunningCommand: (error) => (isExplained(error) ? `iommukit: ${error.message}` : describe(error)),
      }),
    },
    determineExitCode: (error) => (isUsersError(error) ? EXIT.USAGE : EXIT.FINDING),
  });
}

function describe(error: unknown): string {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `iommukit failed. This is a defect of iommukit; please report it with the command and this:\n${stack}`;
}
