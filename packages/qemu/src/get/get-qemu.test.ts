import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { withFolder } from '../../test/leftovers.js';
import { findQemu } from '../process/find.js';
import { getQemu } from './get-qemu.js';

/** Tools of Debian that do just enough: apt finds two packages, one of which holds a loader that says QEMU's version. */
const TOOLS = {
  dpkg: 'echo amd64',
  'apt-get': `
case "$*" in
  *--print-uris*) echo "'http://mirror.example.org/debian/dists/bookworm/InRelease' x 0 "; exit 0;;
esac
for word in "$@"; do
  case "$word" in
    Dir::Cache::archives=*) archives=\${word#*=};;
  esac
done
case "$*" in *--download-only*) touch "$archives/qemu.deb" "$archives/other.deb";; esac`,
  'dpkg-deb': `
mkdir -p "$3/usr/lib64" "$3/usr/share/doc/qemu"
printf '#!/bin/sh\\necho "QEMU emulator version 11.1.3"\\n' >"$3/usr/lib64/ld-linux-x86-64.so.2"
chmod 755 "$3/usr/lib64/ld-linux-x86-64.so.2"`,
};

/** Runs `body` where only these tools are, besides those of a plain system. */
function withTools(body: (folder: string) => void, tools: Partial<typeof TOOLS> = {}) {
  return withFolder((folder) => {
    mkdirSync(join(folder, 'tools'));
    for (const [name, text] of Object.entries({ ...TOOLS, ...tools })) {
      writeFileSync(join(folder, 'tools', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    }
    vi.stubEnv('PATH', `${folder}/tools:/usr/bin:/bin`);
    body(folder);
  });
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('getQemu', () => {
  it('unpacks what apt downloads into a folder named after the version, where it is found', () =>
    withTools((folder) => {
      const said: string[] = [];
      const cache = join(folder, '.cache/iommukit');
      const programs = getQemu({ cache, say: (line) => said.push(line) });
      expect(programs).toBe(join(cache, 'qemu-11.1.3/bin'));
      expect(readdirSync(programs)).toEqual(['qemu-system-aarch64', 'qemu-system-riscv64', 'qemu-system-x86_64']);
      expect(readdirSync(cache)).toEqual(['qemu-11.1.3']);
      expect(existsSync(join(cache, 'qemu-11.1.3/tree/usr/share/doc'))).toBe(false);
      expect(said).toEqual(['downloading packages from http://mirror.example.org/debian', 'unpacking 2 packages']);
      const found = findQemu('riscv64', undefined, { home: folder, environment: {} });
      expect([found.version.text, found.source]).toEqual(['11.1.3', 'the cache']);
      expect(getQemu({ cache })).toBe(programs);
    }));

  it('leaves nothing, and says what apt says, when apt fails', () =>
    withTools(
      (folder) => {
        const cache = join(folder, 'cache');
        expect(() => getQemu({ cache, mirror: 'http://mirror.example.org/debian' })).toThrow(
          /^apt-get .* ends with exit code 100: E: no network$/,
        );
        expect(readdirSync(cache)).toEqual([]);
      },
      { 'apt-get': 'echo "E: no network" >&2; exit 100' },
    ));

  it('removes what somebody left who was ended meanwhile, and nothing of those who work', () =>
    withTools((folder) => {
      const cache = join(folder, 'cache');
      for (const name of ['getting-999999999', `getting-${process.ppid}`])
        mkdirSync(join(cache, name), { recursive: true });
      getQemu({ cache });
      expect(readdirSync(cache)).toEqual([`getting-${process.ppid}`, 'qemu-11.1.3']);
    }));

  it('says what to do where there is no Debian archive', () =>
    withTools(
      (folder) => {
        expect(() => getQemu({ cache: join(folder, 'cache') })).toThrow(
          /^this machine has no apt .*: install QEMU 10\.0 or newer/,
        );
      },
      { 'apt-get': 'exit 0' },
    ));

  it('says for which architectures there is one', () =>
    withTools(
      (folder) => {
        expect(() => getQemu({ cache: folder })).toThrow('QEMU is got for amd64 and arm64, not for s390x');
      },
      { dpkg: 'echo s390x' },
    ));
});
