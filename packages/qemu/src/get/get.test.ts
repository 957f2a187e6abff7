import { describe, expect, it } from 'vitest';
import { debianMirror } from './mirror.js';
import { ARCHITECTURES, wrapperScript } from './wrapper.js';

describe('the mirror of this machine', () => {
  it('is the archive of Debian itself among what apt would ask for', () => {
    const printed = [
      "'https://deb.nodesource.com/node_20.x/dists/nodistro/InRelease' a 0 ",
      "'http://ftp.example.org/debian-security/dists/bookworm-security/InRelease' b 0 ",
      "'http://proxy.example.org:3142/mirror/debian/dists/bookworm-updates/InRelease' c 0 ",
      "'http://ftp.example.org/debian/dists/bookworm/InRelease' d 0 ",
    ].join('\n');
    expect(debianMirror(printed)).toBe('http://proxy.example.org:3142/mirror/debian');
  });

  it.each(['', "'http://archive.ubuntu.com/ubuntu/dists/noble/InRelease' a 0 ", 'E: broken'])(
    'is none where there is no such archive (%j)',
    (printed) => {
      expect(debianMirror(printed)).toBeNull();
    },
  );
});

describe('the script of an unpacked program', () => {
  it("starts it by the tree's own loader with the tree's own libraries and files, and becomes it", () => {
    const script = wrapperScript('qemu-system-x86_64', ARCHITECTURES['amd64']!);
    expect(script.split('\n')[0]).toBe('#!/bin/sh');
    expect(script).toContain(
      '\nexec "$tree/usr/lib64/ld-linux-x86-64.so.2" --library-path "$tree/usr/lib/x86_64-linux-gnu:',
    );
    expect(script).toContain('"$tree/usr/bin/qemu-system-x86_64" -L "$tree/usr/share/qemu"');
    expect(script).toMatch(/ "\$@"\n$/);
  });
});
