import type { Transport } from '../src/index.js';

/** A bus behind qtest without a process: words of 4 bytes by address, zero unless written. */
export class PlainTransport implements Transport {
  readonly words = new Map<number, number>();
  readonly sent: string[] = [];
  readonly answers: string[] = [];

  send(lines: string): void {
    for (const line of lines.trimEnd().split('\n')) {
      this.sent.push(line);
      this.answers.push(this.perform(line));
    }
  }

  line(): string {
    return this.answers.shift()!;
  }

  perform(line: string): string {
    const [command, address, value] = line.split(' ') as [string, string, string?];
    const at = Number(address);
    if (command.startsWith('write')) {
      const whole = BigInt(value!);
      this.store(at, Number(whole & 0xffffffffn));
      if (command === 'writeq') this.store(at + 4, Number(whole >> 32n));
      return 'OK';
    }
    if (!command.startsWith('read')) return 'OK';
    const low = this.load(at).toString(16).padStart(8, '0');
    const high =
      command === 'readq'
        ? this.load(at + 4)
            .toString(16)
            .padStart(8, '0')
        : '00000000';
    return `OK 0x${high}${low}`;
  }

  load(address: number): number {
    return this.words.get(address) ?? 0;
  }

  store(address: number, value: number): void {
    this.words.set(address, value);
  }
}
