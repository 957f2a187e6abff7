/** Debian's names of an architecture: its libraries' folder and its loader. */
export interface DebianArchitecture {
  readonly libraries: string;
  readonly loader: string;
}

/** The architectures of Debian that QEMU is got for, by Debian's name. */
export const ARCHITECTURES: Readonly<Record<string, DebianArchitecture>> = {
  amd64: { libraries: 'usr/lib/x86_64-linux-gnu', loader: 'usr/lib64/ld-linux-x86-64.so.2' },
  arm64: { libraries: 'usr/lib/aarch64-linux-gnu', loader: 'usr/lib/ld-linux-aarch64.so.1' },
};

/**
 * The script that runs a program of the unpacked tree, which lies beside the script's folder: with the tree's own loader and
 * libraries, for those of the machine may be older.
 */
export function wrapperScript(program: string, { libraries, loader }: DebianArchitecture): string {
  return `#!/bin/sh
# Runs ${program} of the tree beside this folder with the libraries that it was built with.
tree=\${0%/*}/../tree
QEMU_MODULE_DIR=$tree/${libraries}/qemu
export QEMU_MODULE_DIR
exec "$tree/${loader}" --library-path "$tree/${libraries}:$tree/${libraries}/pulseaudio" \\
  "$tree/usr/bin/${program}" -L "$tree/usr/share/qemu" -L "$tree/usr/share/seabios" "$@"
`;
}
