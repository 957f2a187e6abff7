import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kill } from 'node:process';
import { QemuError } from '../errors.js';
import { FILES, type Guardian, startGuardian } from './guardian.js';
import { poll, shakeHands } from './handshake.js';
import { allocateMemory } from './memory-file.js';
import { Pipes, type PipesOwner } from './pipes.js';
import { Watchdog } from './watchdog.js';

/** What a process is started with. */
export interface ProcessOptions {
  /** The program and its arguments; `folder` is where the run's files are ({@link FILES}). */
  command(folder: string): readonly string[];
  /** Bytes of guest RAM. */
  readonly memoryBytes: number;
  /** What the CPUs run, or null. */
  readonly parking: Uint8Array | null;
  /** How long QEMU may take to answer, in ms; default 4000. */
  readonly answerMs?: number;
  /** How long it may take to its first answer, in ms; default: as to any other. */
  readonly startMs?: number;
  /** The folder for the run's folder; default: the system's for temporary files. */
  readonly temporary?: string;
}

/** How long QEMU may take to answer unless told otherwise, in ms: then the error comes within 5 s. */
const ANSWER_MS = 4000;
/** How long its last words and its folder may take to come and go, in ms. */
const END_MS = 4000;
/** Bytes of its standard error that are kept. */
const STDERR_BYTES = 16 * 1024;

/** A QEMU that runs: its pipes, its memory's file, its end. It ends with this process at the latest. */
export class QemuProcess implements PipesOwner {
  readonly folder: string;
  readonly guardian: Guardian;
  readonly watchdog: Watchdog;
  readonly answerMs: number;
  readonly memory: number;
  readonly pipes: Pipes;
  readonly stderr: number;
  /** The process that the guardian started. */
  readonly pid: number;
  readonly end: { stopped: boolean; error: QemuError | null } = { stopped: false, error: null };

  /** @throws QemuError REFUSED, DIED, HUNG, NO_SPACE; nothing is left then */
  constructor(options: ProcessOptions) {
    this.answerMs = options.answerMs ?? ANSWER_MS;
    this.folder = join(options.temporary ?? tmpdir(), `iommukit-qemu-${randomBytes(8).toString('hex')}`);
    this.guardian = startGuardian(this.folder, options.command(this.folder));
    const opened: number[] = [];
    let watchdog: Watchdog | null = null;
    try {
      this.makeFolder();
      this.memory = allocateMemory(this.path('memory'), options.memoryBytes);
      opened.push(this.memory);
      if (options.parking !== null) writeFileSync(this.path('parking'), options.parking);
      watchdog = this.watchdog = new Watchdog(this.guardian.pid, this.answerMs);
      this.guardian.go();
      const startMs = options.startMs ?? this.answerMs;
      const pipes = shakeHands(this.path('qtest'), startMs, () => existsSync(this.path('status')));
      if (pipes === null) throw this.refusal(startMs);
      this.pipes = new Pipes(pipes.toQemu, pipes.fromQemu, watchdog, this);
      this.stderr = openSync(this.path('stderr'), 'r');
      this.pid = Number.parseInt(readFileSync(this.path('pid'), 'utf8'), 10);
    } catch (error) {
      for (const fd of opened) closeSync(fd);
      this.clear(watchdog);
      throw error;
    }
  }

  path(file: keyof typeof FILES): string {
    return join(this.folder, FILES[file]);
  }

  makeFolder(): void {
    try {
      mkdirSync(this.folder, { mode: 0o700 });
    } catch (error) {
      const why = (error as NodeJS.ErrnoException).code;
      throw new QemuError('REFUSED', `the folder ${this.folder} cannot be made (${why})`, {
        remedy: 'set TMPDIR to a folder that can be written',
      });
    }
  }

  /** Why there was no first answer. */
  refusal(startMs: number): QemuError {
    const stderr = lastWordsIn(this.path('stderr'));
    const status = readOr(this.path('status'), null);
    if (status === null) {
      return new QemuError('HUNG', `QEMU gives no answer for ${startMs / 1000} s after its start`, { stderr });
    }
    // Who refuses says so and exits; a signal comes from elsewhere, or from a defect.
    const code = isSignal(status) ? 'DIED' : 'REFUSED';
    return new QemuError(code, `QEMU ${ending(status)} before it answered`, { stderr });
  }

  deathDuring(command: string): QemuError {
    this.end.error ??= this.death(command);
    return this.end.error;
  }

  death(command: string): QemuError {
    const what = command.trimEnd().split('\n')[0]!.slice(0, 80);
    if (this.end.stopped) return new QemuError('STOPPED', `QEMU was stopped; '${what}' comes too late`);
    poll(END_MS, () => existsSync(this.path('status')));
    const stderr = lastWords(this.stderr);
    if (this.watchdog.killed) {
      const limit = this.answerMs / 1000;
      return new QemuError('HUNG', `QEMU gave no answer to '${what}' for ${limit} s and was killed`, { stderr });
    }
    const status = readOr(this.path('status'), '');
    return new QemuError('DIED', `QEMU ${ending(status)} during '${what}'`, { stderr });
  }

  /** Ends QEMU and removes every trace of it. Twice does no harm. */
  stop(): void {
    if (this.end.stopped) return;
    this.end.stopped = true;
    this.pipes.close();
    closeSync(this.memory);
    closeSync(this.stderr);
    this.clear(this.watchdog);
  }

  clear(watchdog: Watchdog | null): void {
    watchdog?.stop();
    this.guardian.release();
    if (poll(END_MS, () => !existsSync(this.folder))) return;
    this.replaceGuardian();
  }

  /** Does what the guardian does, if somebody ended it. */
  replaceGuardian(): void {
    const pid = Number.parseInt(readOr(this.path('pid'), ''), 10);
    const ended = existsSync(this.path('status'));
    for (const target of pid > 1 && !ended ? [-pid, pid] : []) {
      try {
        kill(target, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A shell's exit code for a program that a signal ended is 128 and the signal. */
const SIGNALLED = 128;

const isSignal = (status: string): boolean => Number.parseInt(status, 10) > SIGNALLED;

/** A shell's exit code in words. */
function ending(status: string): string {
  const code = Number.parseInt(status, 10);
  if (Number.isNaN(code)) return 'ended';
  return isSignal(status) ? `was ended by signal ${code - SIGNALLED}` : `ended with exit code ${code}`;
}

/** The end of what was written to a file. */
function lastWords(fd: number): string {
  const bytes = Buffer.alloc(STDERR_BYTES);
  const from = Math.max(0, fstatSync(fd).size - STDERR_BYTES);
  return bytes.toString('utf8', 0, readSync(fd, bytes, 0, STDERR_BYTES, from));
}

/** The same, of a file that may be missing. */
function lastWordsIn(path: string): string {
  if (!existsSync(path)) return '';
  const fd = openSync(path, 'r');
  try {
    return lastWords(fd);
  } finally {
    closeSync(fd);
  }
}

function readOr<T>(file: string, otherwise: T): string | T {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return otherwise;
  }
}
