import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { root, toolEnvironment } from './install.mjs';

const runs = join(root, '.turbo/runs');
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours are control characters.
const colours = /\u001b\[[\d;]*m/g;
const taskLine = /^(\S+?):([\w:-]+): (.*)$/;

const summaries = () => {
  try {
    return readdirSync(runs).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
};

/** Reads the summary that turbo wrote for this run, and removes it. */
function takeSummary(before) {
  const name = summaries().find((candidate) => !before.has(candidate));
  if (name === undefined) return [];
  const file = join(runs, name);
  const { tasks } = JSON.parse(readFileSync(file, 'utf8'));
  rmSync(file);
  return tasks;
}

/**
 * Runs turbo tasks. Prints one line for each task that has to be executed and nothing for a cached one; the log of
 * a task that failed is printed when all is over.
 *
 * @param {string[]} tasks the names of the tasks
 * @param {string[]} [options] more options for `turbo run`
 * @param {(line: string) => void} [print] where the lines go
 * @returns {Promise<{ ok: boolean, tasks: { id: string, name: string, directory: string, ok: boolean }[] }>}
 */
export async function turbo(tasks, options = [], print = console.log) {
  const before = new Set(summaries());
  const settings = ['--output-logs=new-only', '--log-order=stream', '--log-prefix=task', '--summarize', '--no-color'];
  const started = Date.now();
  const child = spawn('turbo', ['run', ...tasks, ...settings, ...options], {
    cwd: root,
    env: toolEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  });
  const logs = new Map();
  const others = [];
  const listen = (stream) => {
    createInterface({ input: stream }).on('line', (line) => {
      const [, owner, task, text] = taskLine.exec(process.stdout.isTTY ? line : line.replace(colours, '')) ?? [];
      if (owner === undefined) return others.push(line);
      const id = `${owner}#${task}`;
      if (text.startsWith('cache hit')) return;
      if (text.startsWith('cache miss, executing')) return print(`  ${task.padEnd(10)} ${owner === '//' ? '' : owner}`);
      logs.set(id, [...(logs.get(id) ?? []), text]);
    });
  };
  listen(child.stdout);
  listen(child.stderr);
  const status = await new Promise((resolve) => {
    child.on('error', (error) => resolve(others.push(error.message) && 1));
    child.on('close', (code) => resolve(code ?? 1));
  });
  const done = takeSummary(before).map(({ taskId, task, directory, execution }) => ({
    id: taskId,
    name: task,
    directory: join(root, directory),
    ok: execution?.exitCode === 0,
  }));
  const executed = logs.size;
  if (executed > 0)
    print(`  ${executed} of ${done.length} tasks run in ${((Date.now() - started) / 1000).toFixed(1)} s`);
  for (const task of done) {
    if (task.ok) continue;
    const log = logs.get(task.id);
    print(log ? `\n✗ ${task.id}\n${log.join('\n')}` : `\n✗ ${task.id}: not run`);
  }
  if (status !== 0 && done.every((task) => task.ok)) print(others.join('\n'));
  return { ok: status === 0, tasks: done };
}
