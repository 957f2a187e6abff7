import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { QemuProcess } from '../../src/process/qemu-process.js';

/** How the fake misbehaves. */
export type FakeMode =
  | 'chatty'
  | 'crash'
  | 'die'
  | 'fail'
  | 'garbage'
  | 'half'
  | 'hang'
  | 'interrupts'
  | 'mute'
  | 'refuse'
  | 'serve'
  | 'short';

/** The program. */
export const FAKE = fileURLToPath(new URL('fake-qemu.mjs', import.meta.url));

/** The command line that starts the fake on the pipes of `folder`. */
export const fakeCommand = (mode: FakeMode) => (folder: string) => [
  execPath,
  FAKE,
  mode,
  '-chardev',
  `pipe,id=qtest,path=${folder}/qtest`,
];

/** Plenty, and little for those of whom the end of it is expected. */
const PLENTY_MS = 30_000;
const LITTLE_MS = 1000;

/** Starts it in `temporary`. */
export function startFake(mode: FakeMode, temporary: string): QemuProcess {
  return new QemuProcess({
    command: fakeCommand(mode),
    memoryBytes: 2 ** 21,
    parking: null,
    startMs: mode === 'mute' ? LITTLE_MS : PLENTY_MS,
    answerMs: mode === 'hang' ? LITTLE_MS : PLENTY_MS,
    temporary,
  });
}
