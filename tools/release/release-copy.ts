import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type WorkspacePackage, workspacePackages } from '../workspace.js';
import type { Shell } from './shell.js';

/** Which version each package has. */
export type Versions = ReadonlyMap<string, string>;

/** How large a change is. */
export type Bump = 'patch' | 'minor';

const IDENTITY = ['user.name=rehearsal', 'user.email=rehearsal@localhost', 'commit.gpgsign=false'];

/** A copy of the workspace, in which versions are made and tarballs packed. */
export class ReleaseCopy {
  readonly shell: Shell;
  readonly folder: string;
  readonly tarballs: string;

  /** Copies the workspace of `shell` into `folder`; tarballs go to `tarballs`. */
  constructor(shell: Shell, folder: string, tarballs: string) {
    this.shell = shell;
    this.folder = folder;
    this.tarballs = tarballs;
    this.copyFiles();
    this.run('git', ['init', '-q', '-b', 'main']);
    this.commit('the work tree');
  }

  run(name: string, options: readonly string[]): string {
    return this.shell.run(this.folder, name, options);
  }

  /** Takes along what git tracks or would track. Nothing is linked to the work tree: pnpm would install through a link. */
  copyFiles(): void {
    const { root } = this.shell;
    const list = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
    const files = list.toString().split('\0');
    for (const file of files.filter((name) => name !== '' && existsSync(join(root, name)))) {
      mkdirSync(dirname(join(this.folder, file)), { recursive: true });
      cpSync(join(root, file), join(this.folder, file));
    }
  }

  commit(message: string): void {
    this.run('git', ['add', '.']);
    const identity = IDENTITY.flatMap((setting) => ['-c', setting]);
    this.run('git', [...identity, 'commit', '-q', '--no-verify', '-m', message]);
  }

  /** The packages that are published. */
  packages(): WorkspacePackage[] {
    return workspacePackages(this.folder).filter(({ manifest }) => manifest.private !== true);
  }

  versions(): Versions {
    return new Map(this.packages().map(({ name, manifest }) => [name, manifest.version]));
  }

  /** Applies the changesets. Returns what is wrong with the versions and changelogs that they make. */
  version(): string[] {
    this.run('changeset', ['version']);
    return this.packages().flatMap(({ name, folder, manifest: { version } }) => {
      if (version === '0.0.0') return [`${name} has no changeset: it would be published as 0.0.0`];
      const changelog = join(folder, 'CHANGELOG.md');
      const told = existsSync(changelog) && readFileSync(changelog, 'utf8').includes(`## ${version}`);
      return told ? [] : [`${name} has no changelog for ${version}`];
    });
  }

  /** The next release's changeset: one package changed. */
  change(name: string, bump: Bump): void {
    writeFileSync(join(this.folder, '.changeset/next.md'), `---\n"${name}": ${bump}\n---\n\nA change.\n`);
  }

  /** Back to the last commit. */
  forget(): void {
    this.run('git', ['reset', '-q', '--hard']);
    this.run('git', ['clean', '-fdq']);
  }

  build(): void {
    this.run('turbo', ['run', 'build', '--output-logs=errors-only']);
  }

  /** Packs a package as it would be published. Returns the tarball's path. */
  pack({ folder }: WorkspacePackage): string {
    const packed = this.shell.run(folder, 'pnpm', ['pack', '--json', '--pack-destination', this.tarballs]);
    return JSON.parse(packed).filename;
  }
}
