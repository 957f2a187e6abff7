import { closeSync, readSync, writeSync } from 'node:fs';
import type { QemuError } from '../errors.js';
import type { Transport } from '../qtest/transport.js';
import type { Heartbeat } from './watchdog.js';

/** What the pipes ask of the process at their ends. */
export interface PipesOwner {
  /** The error for a command that gets no answer, because QEMU ended or was killed. */
  deathDuring(command: string): QemuError;
}

/**
 * QEMU's two pipes, one-way and blocking: a read returns at once when QEMU ends, and the watchdog ends a QEMU that does not
 * answer.
 */
export class Pipes implements Transport {
  readonly toQemu: number;
  readonly fromQemu: number;
  readonly heartbeat: Heartbeat;
  readonly owner: PipesOwner;
  readonly out = Buffer.alloc(64 * 1024);
  readonly in = Buffer.alloc(64 * 1024);
  /** What of `in` was read and not given out yet, and whether the pipes are closed. */
  readonly state = { from: 0, to: 0, closed: false };
  /** The first part of a line that is longer than `in` has left. */
  readonly parts: string[] = [];

  constructor(toQemu: number, fromQemu: number, heartbeat: Heartbeat, owner: PipesOwner) {
    this.toQemu = toQemu;
    this.fromQemu = fromQemu;
    this.heartbeat = heartbeat;
    this.owner = owner;
  }

  send(lines: string): void {
    if (this.state.closed) throw this.owner.deathDuring(lines);
    if (lines.length <= this.out.length) this.sendBytes(this.out, this.out.write(lines, 'latin1'), lines);
    else this.sendBytes(Buffer.from(lines, 'latin1'), lines.length, lines);
  }

  sendBytes(bytes: Buffer, length: number, lines: string): void {
    this.heartbeat.begin();
    try {
      for (let at = 0; at < length; ) at += writeSync(this.toQemu, bytes, at, length - at);
    } catch {
      throw this.owner.deathDuring(lines);
    } finally {
      this.heartbeat.end();
    }
  }

  line(command: string): string {
    const { state } = this;
    for (;;) {
      const end = this.in.indexOf(10, state.from);
      if (end >= 0 && end < state.to) {
        const line = this.in.toString('latin1', state.from, end);
        state.from = end + 1;
        return this.parts.length === 0 ? line : this.parts.splice(0).join('') + line;
      }
      if (state.to > state.from) this.parts.push(this.in.toString('latin1', state.from, state.to));
      state.from = state.to = 0;
      this.fill(command);
    }
  }

  fill(command: string): void {
    if (this.state.closed) throw this.owner.deathDuring(command);
    this.heartbeat.begin();
    let got = 0;
    try {
      got = readSync(this.fromQemu, this.in, 0, this.in.length, null);
    } catch {
      // Reading fails as it ends: QEMU is gone.
    } finally {
      this.heartbeat.end();
    }
    if (got === 0) throw this.owner.deathDuring(command);
    this.state.to = got;
  }

  close(): void {
    if (this.state.closed) return;
    this.state.closed = true;
    closeSync(this.toQemu);
    closeSync(this.fromQemu);
  }
}
