import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { install, root, toolEnvironment } from './install.mjs';
import { countTests } from './test-report.mjs';
import { turbo } from './turbo.mjs';

/** The tasks of `pnpm check`; turbo.json says what each reads. */
const checks = [
  'style',
  'lint',
  'typecheck',
  'layers',
  'coroutines',
  'rules:check',
  'fields:check',
  'browser',
  'unused',
  'package',
];

/** Installs, builds and runs a command of `iommukit`. */
async function iommukit(name) {
  install();
  const { ok } = await turbo(['build'], ['--filter=iommukit']);
  if (!ok) return 1;
  const command = [join(root, 'apps/cli/bin/iommukit.mjs'), name, ...process.argv.slice(3)];
  return spawnSync(process.execPath, command, { cwd: root, env: toolEnvironment(), stdio: 'inherit' }).status ?? 1;
}

/** The main job. */
const start = () => iommukit('start');

/** Says which QEMU there is, and gets it. */
const qemu = () => iommukit('qemu');

/** What a task adds to the count: its tests, or one failure. */
function countTask(task, started) {
  if (task.name === 'test') return countTests(task, started);
  if (task.name === 'test:tools') return countTests({ ...task, directory: join(root, 'tools') }, started);
  return { passed: 0, failed: task.ok ? 0 : 1 };
}

/** Installs, builds and runs every test and every check. The last line says how many passed. */
async function test() {
  const started = Date.now();
  install();
  const { ok, tasks } = await turbo(['build', 'test', 'test:tools', ...checks], ['--continue=dependencies-successful']);
  const total = { passed: 0, failed: 0 };
  for (const task of tasks) {
    const { passed, failed } = countTask(task, started);
    total.passed += passed;
    total.failed += failed;
  }
  if (!ok && total.failed === 0) total.failed = 1;
  const failing = tasks.filter((task) => !task.ok).map((task) => task.id.replace('//#', ''));
  if (failing.length > 0) console.log(`\nfailed: ${failing.join(', ')}`);
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

/** Runs the checks alone. */
async function check() {
  install();
  const { ok } = await turbo(checks, ['--continue=dependencies-successful']);
  console.log(ok ? 'all checks passed' : '\nsome checks failed');
  return ok ? 0 : 1;
}

/** Builds and measures. Only the figures go to stdout. */
async function bench() {
  install();
  const { ok } = await turbo(['build'], [], console.error);
  if (!ok) return 1;
  const command = ['--expose-gc', join(root, 'bench/run.mjs'), ...process.argv.slice(3)];
  return spawnSync(process.execPath, command, { cwd: root, env: toolEnvironment(), stdio: 'inherit' }).status ?? 1;
}

/** Rehearses a release. */
async function rehearse() {
  install();
  const command = [join(root, 'tools/ts.mjs'), 'release-rehearse', ...process.argv.slice(3)];
  return spawnSync(process.execPath, command, { cwd: root, env: toolEnvironment(), stdio: 'inherit' }).status ?? 1;
}

const commands = { start, qemu, test, check, bench, rehearse };
const command = commands[process.argv[2] ?? ''];
if (command === undefined) {
  console.error(`usage: node tools/run.mjs ${Object.keys(commands).join('|')}`);
  process.exitCode = 2;
} else {
  process.exitCode = await command();
}
