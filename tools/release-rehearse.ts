import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type ReadmeExample, readmeExample } from './readme.js';
import { type WorkspacePackage, workspacePackages } from './workspace.js';

/** A release from version numbers to a stranger's first `npm install`, in a temporary folder. */
class Rehearsal {
  readonly folder = mkdtempSync(join(tmpdir(), 'iommukit-release-'));
  readonly copy = join(this.folder, 'workspace');
  readonly tarballs = join(this.folder, 'tarballs');
  readonly consumer = join(this.folder, 'consumer');
  readonly problems: string[] = [];
  started = Date.now();

  constructor(readonly root: string) {}

  run(): void {
    this.copyWorkspace();
    this.say('copied the work tree');
    const packages = this.version();
    this.say(`${packages.length} packages have a version and a changelog`);
    this.command(this.copy, 'pnpm', ['install', '--frozen-lockfile', '--prefer-offline']);
    this.say('installed the workspace');
    this.command(this.copy, 'turbo', ['run', 'build', '--output-logs=errors-only']);
    this.say('built');
    const tarballs = packages.map((item) => this.pack(item));
    this.say(`${tarballs.length} tarballs packed`);
    this.install(packages, tarballs);
    this.say('installed into an empty npm project');
    this.writeConsumers(packages);
    this.command(this.consumer, join(this.root, 'node_modules/.bin/tsc'), ['-p', '.']);
    this.say('a TypeScript consumer, ESM and CJS, and every example of a README type-check');
    this.command(this.consumer, 'node', ['out/consumer.mjs']);
    this.command(this.consumer, 'node', ['out/consumer.cjs']);
    this.say('an ESM and a CJS consumer see the exports of every package');
    for (const item of packages) this.runExample(item);
    this.say('every example prints what its README says');
    this.tryCommand(packages);
    this.say('the command works');
  }

  /** Takes along what git tracks or would track. Nothing is linked to the work tree: pnpm would install through a link. */
  copyWorkspace(): void {
    const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
      cwd: this.root,
    });
    const files = list
      .toString()
      .split('\0')
      .filter((file) => file !== '' && existsSync(join(this.root, file)));
    for (const file of files) {
      mkdirSync(dirname(join(this.copy, file)), { recursive: true });
      cpSync(join(this.root, file), join(this.copy, file));
    }
    const identity = [
      '-c',
      'user.name=rehearsal',
      '-c',
      'user.email=rehearsal@localhost',
      '-c',
      'commit.gpgsign=false',
    ];
    this.command(this.copy, 'git', ['init', '-q', '-b', 'main']);
    this.command(this.copy, 'git', ['add', '.']);
    this.command(this.copy, 'git', [...identity, 'commit', '-q', '--no-verify', '-m', 'rehearsal']);
  }

  /** Applies the changesets. Returns the public packages as they would be published. */
  version(): WorkspacePackage[] {
    this.command(this.copy, 'changeset', ['version']);
    const packages = workspacePackages(this.copy).filter(({ manifest }) => manifest.private !== true);
    for (const { name, folder, manifest } of packages) {
      const changelog = join(folder, 'CHANGELOG.md');
      if (manifest.version === '0.0.0') this.problems.push(`${name} has no changeset: it would be published as 0.0.0`);
      else if (!existsSync(changelog) || !readFileSync(changelog, 'utf8').includes(`## ${manifest.version}`)) {
        this.problems.push(`${name} has no changelog for ${manifest.version}`);
      }
    }
    return packages;
  }

  pack({ folder }: WorkspacePackage): string {
    const packed = this.command(folder, 'pnpm', ['pack', '--json', '--pack-destination', this.tarballs]);
    return JSON.parse(packed).filename;
  }

  install(packages: readonly WorkspacePackage[], tarballs: readonly string[]): void {
    const dependencies = Object.fromEntries(packages.map(({ name }, i) => [name, `file:${tarballs[i]}`]));
    const overrides = Object.fromEntries(packages.map(({ name }) => [name, `$${name}`]));
    const manifest = { name: 'consumer', private: true, version: '1.0.0', dependencies, overrides };
    this.write('package.json', JSON.stringify(manifest, null, 2));
    this.command(this.consumer, 'npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error']);
  }

  writeConsumers(packages: readonly WorkspacePackage[]): void {
    const names = packages.map(({ name }) => name);
    const report = [
      'for (const [name, seen] of Object.entries(all)) {',
      '  const count = Object.keys(seen).filter((key) => key !== "default" && key !== "module.exports").length;',
      '  if (count === 0) throw new Error(name + " exports nothing");',
      '}',
    ].join('\n');
    const object = `const all: Record<string, object> = { ${names.map((name, i) => `'${name}': p${i}`).join(', ')} };`;
    const imports = names.map((name, i) => `import * as p${i} from '${name}';`).join('\n');
    const requires = names.map((name, i) => `import p${i} = require('${name}');`).join('\n');
    this.write('src/consumer.mts', `${imports}\n${object}\n${report}\n`);
    this.write('src/consumer.cts', `${requires}\n${object}\n${report}\n`);
    for (const name of names) {
      const shown = this.example(name);
      if (shown !== null) this.write(`src/${exampleName(name)}.mts`, shown.code);
    }
    const compilerOptions = {
      target: 'ES2022',
      module: 'NodeNext',
      strict: true,
      outDir: 'out',
      rootDir: 'src',
      types: ['node'],
      typeRoots: [join(this.root, 'node_modules/@types')],
    };
    this.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src'] }));
  }

  /** The example in the README of an installed package; null, and a problem, when there is none. */
  example(name: string): ReadmeExample | null {
    try {
      return readmeExample(readFileSync(join(this.consumer, 'node_modules', name, 'README.md'), 'utf8'));
    } catch (error) {
      this.problems.push(`${name}: ${(error as Error).message}`);
      return null;
    }
  }

  /** Runs an example against the installed packages; files that it reads are those of its own package. */
  runExample({ name, folder }: WorkspacePackage): void {
    const file = join(this.consumer, `out/${exampleName(name)}.mjs`);
    if (!existsSync(file)) return;
    const output = this.command(folder, 'node', [file]);
    const lines = output.split('\n').map((line) => line.trimEnd());
    if (lines.join('\n').trimEnd() !== this.example(name)?.printed.join('\n').trimEnd()) {
      this.problems.push(`the example of ${name} prints something else than its README says:\n${output}`);
    }
  }

  tryCommand(packages: readonly WorkspacePackage[]): void {
    const version = packages.find(({ name }) => name === 'iommukit')?.manifest.version;
    const printed = this.command(this.consumer, 'npx', ['--no-install', 'iommukit', '--version']).trim();
    if (printed !== version) this.problems.push(`iommukit --version prints ${printed}, but it is ${version}`);
    this.command(this.consumer, 'npx', ['--no-install', 'iommukit', 'run', '--list']);
    this.command(this.consumer, 'npx', ['--no-install', 'iommukit', 'run', 'buffer-job']);
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(join(this.consumer, file)), { recursive: true });
    writeFileSync(join(this.consumer, file), text);
  }

  /** Runs a command and returns what it printed. @throws an Error with all it said when it fails */
  command(folder: string, name: string, options: readonly string[]): string {
    const path = `${join(this.root, 'node_modules/.bin')}:${process.env['PATH']}`;
    const env = { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' };
    const { status, stdout, stderr, error } = spawnSync(name, options, { cwd: folder, env, encoding: 'utf8' });
    if (status === 0) return stdout;
    throw new Error(`${name} ${options.join(' ')} failed:\n${error?.message ?? ''}${stdout}${stderr}`);
  }

  say(what: string): void {
    const now = Date.now();
    console.log(`  ✓ ${what} (${((now - this.started) / 1000).toFixed(1)} s)`);
    this.started = now;
  }
}

const exampleName = (name: string) => `example-${name.replace(/^@[^/]+\//, '')}`;

/** The command: rehearses the release of this workspace and returns the exit code. `--keep` keeps the folder. */
export function main(options: readonly string[]): number {
  const rehearsal = new Rehearsal(resolve('.'));
  console.log('rehearsing a release');
  try {
    rehearsal.run();
  } catch (error) {
    rehearsal.problems.push((error as Error).message);
  } finally {
    if (options.includes('--keep')) console.log(`kept ${rehearsal.folder}`);
    else rmSync(rehearsal.folder, { recursive: true });
  }
  for (const problem of rehearsal.problems) console.error(`  ✗ ${problem}`);
  console.log(rehearsal.problems.length === 0 ? 'the release is ready' : 'the release is not ready');
  return rehearsal.problems.length === 0 ? 0 : 1;
}
