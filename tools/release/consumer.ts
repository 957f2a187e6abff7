import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Shell } from './shell.js';

/** The tarball of each package, by name. */
export type Tarballs = ReadonlyMap<string, string>;

const SCOPE = '@iommukit';

/** A stranger's npm project, which knows tarballs and nothing of a workspace. Its sources go to `src`, and come out in `out`. */
export class Consumer {
  readonly shell: Shell;
  readonly folder: string;

  constructor(shell: Shell, folder: string) {
    this.shell = shell;
    this.folder = folder;
  }

  /** Installs `names`, and whatever these ask for, from tarballs. */
  install(names: readonly string[], tarballs: Tarballs): void {
    const dependencies = Object.fromEntries(names.map((name) => [name, `file:${tarballs.get(name)}`]));
    const overrides = Object.fromEntries(
      [...tarballs].map(([name, file]) => [name, name in dependencies ? `$${name}` : `file:${file}`]),
    );
    const manifest = { name: 'consumer', private: true, version: '1.0.0', dependencies, overrides };
    this.write('package.json', JSON.stringify(manifest, null, 2));
    const options = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
    this.shell.run(this.folder, 'npm', ['install', ...options]);
  }

  /** The workspace's packages that are installed, with their versions. */
  installed(): Map<string, string> {
    const names = ['iommukit', ...readdirSync(join(this.folder, 'node_modules', SCOPE)).map((at) => `${SCOPE}/${at}`)];
    return new Map(names.filter((name) => existsSync(this.at(name))).map((name) => [name, this.versionOf(name)]));
  }

  versionOf(name: string): string {
    return JSON.parse(readFileSync(join(this.at(name), 'package.json'), 'utf8')).version;
  }

  /** The folder of an installed package. */
  at(name: string): string {
    return join(this.folder, 'node_modules', name);
  }

  write(file: string, text: string): void {
    mkdirSync(dirname(join(this.folder, file)), { recursive: true });
    writeFileSync(join(this.folder, file), text);
  }

  /** Compiles `src` with the types that the packages bring. @throws an Error with the compiler's words */
  compile(): void {
    const compilerOptions = {
      target: 'ES2022',
      module: 'NodeNext',
      strict: true,
      outDir: 'out',
      rootDir: 'src',
      types: ['node'],
      typeRoots: [join(this.shell.root, 'node_modules/@types')],
    };
    this.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src'] }));
    this.run('tsc', ['-p', '.']);
  }

  run(name: string, options: readonly string[]): string {
    return this.shell.run(this.folder, name, options);
  }
}
