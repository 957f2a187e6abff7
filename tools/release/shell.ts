import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Runs commands, those of one workspace's node_modules first. */
export class Shell {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Runs a command in a folder and returns what it printed. @throws an Error with all it said when it fails */
  run(folder: string, name: string, options: readonly string[]): string {
    const path = `${join(this.root, 'node_modules/.bin')}:${process.env['PATH']}`;
    const env = { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' };
    const { status, stdout, stderr, error } = spawnSync(name, options, { cwd: folder, env, encoding: 'utf8' });
    if (status === 0) return stdout;
    throw new Error(`${name} ${options.join(' ')} failed:\n${error?.message ?? ''}${stdout}${stderr}`);
  }
}
