import { type ChildProcess, spawn } from 'node:child_process';
import { QemuError } from '../errors.js';

/** Files in the folder of a run. */
export const FILES = {
  /** Guest RAM. */
  memory: 'memory',
  /** The pair of pipes is `qtest.in` and `qtest.out`. */
  qtest: 'qtest',
  stderr: 'stderr',
  /** QEMU's process id. */
  pid: 'pid',
  /** QEMU's exit code as a shell gives it, once it ended. */
  status: 'status',
  /** The parking program of CPUs that cannot be stopped. */
  parking: 'parking',
} as const;

/**
 * The guardian is QEMU's parent and owns the folder. Its standard input is a pipe whose other end only we have, so it ends
 * with us, however we end: then the guardian kills QEMU (with its process group, for the program may be a script that starts
 * the real one) and removes the folder. It waits for a first line, so that files can be put in place before. SIGTERM makes it
 * kill QEMU only. Signals of a terminal do not reach it: it leads a session of its own.
 */
const GUARDIAN = `
folder=$1; shift
umask 077
exec 3<&0 </dev/null
read -r _ <&3 || { rm -rf "$folder"; exit 0; }
mkfifo "$folder/qtest.in" "$folder/qtest.out"
alone=; command -v setsid >/dev/null && alone=setsid
$alone "$@" 3<&- >/dev/null 2>"$folder/stderr" &
qemu=$!
echo "$qemu" >"$folder/pid"
end() { kill -s KILL -- "-$qemu" || kill -s KILL "$qemu"; } 2>/dev/null
{ read -r _; [ -e "$folder/status" ] || end; } <&3 &
life=$!
trap end TERM
wait "$qemu"; status=$?
while kill -0 "$qemu" 2>/dev/null; do wait "$qemu"; status=$?; done
kill -s KILL -- "-$qemu" 2>/dev/null
trap '' TERM
echo "$status" >"$folder/status.new" && mv "$folder/status.new" "$folder/status" || : >"$folder/status"
exec 3<&-
wait "$life"
rm -rf "$folder"
`;

/** The process that keeps QEMU. */
export interface Guardian {
  readonly pid: number;
  /** QEMU may start: its files are in place. */
  go(): void;
  /** QEMU ends and the folder goes; returns at once. */
  release(): void;
}

/** Starts a guardian for a command line in `folder`, which may not be there yet. @throws QemuError UNUSABLE */
export function startGuardian(folder: string, command: readonly string[]): Guardian {
  const child: ChildProcess = spawn('/bin/sh', ['-c', GUARDIAN, 'iommukit-guardian', folder, ...command], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  child.on('error', () => {});
  const { pid, stdin } = child;
  if (pid === undefined || stdin === null) throw new QemuError('UNUSABLE', '/bin/sh cannot be started');
  stdin.on('error', () => {});
  child.unref();
  (stdin as typeof stdin & { unref?(): void }).unref?.();
  return { pid, go: () => void stdin.write('go\n'), release: () => void stdin.destroy() };
}
