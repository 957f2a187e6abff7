import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A package of the workspace. */
export interface WorkspacePackage {
  /** The name in its package.json. */
  readonly name: string;
  /** The absolute path of its folder. */
  readonly folder: string;
  /** Its folder relative to the workspace, as `packages/kernel`. */
  readonly path: string;
  /** Its package.json. */
  // biome-ignore lint/suspicious/noExplicitAny: a manifest has whatever its author wrote.
  readonly manifest: any;
}

/** Every package below `packages/` and `apps/` of this workspace folder, sorted by path. */
export function workspacePackages(root: string): WorkspacePackage[] {
  const paths = ['packages', 'apps'].flatMap((group) =>
    existsSync(join(root, group))
      ? readdirSync(join(root, group))
          .sort()
          .map((name) => `${group}/${name}`)
      : [],
  );
  return paths
    .filter((path) => existsSync(join(root, path, 'package.json')))
    .map((path) => {
      const manifest = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8'));
      return { name: manifest.name, folder: join(root, path), path, manifest };
    });
}
