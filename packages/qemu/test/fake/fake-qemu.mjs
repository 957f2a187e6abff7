// Speaks qtest like QEMU, and misbehaves as its first argument says. usage: fake-qemu.mjs MODE -chardev pipe,id=qtest,path=P …
import { openSync, readSync, writeSync } from 'node:fs';

const [mode, ...rest] = process.argv.slice(2);
if (rest.includes('--version')) {
  console.log(mode === 'old' ? 'QEMU emulator version 9.2.4' : 'QEMU emulator version 11.1.0 (fake)');
  process.exit(0);
}
if (mode === 'refuse') {
  console.error('fake-qemu: -device intel-iommu,wrong=on: Property not found');
  process.exit(1);
}
if (mode === 'chatty') {
  console.error('fake-qemu: and so on\n'.repeat(100_000));
  console.error('fake-qemu: my last words');
  process.exit(1);
}
if (mode === 'crash') process.kill(process.pid, 'SIGSEGV');
const path = rest.find((word) => word.startsWith('pipe,')).replace(/^.*path=/, '');
const input = openSync(`${path}.in`, 'r+');
const output = openSync(`${path}.out`, 'r+');
const say = (text) => writeSync(output, text);
const memory = new Map();
let answered = 0;
let clock = 0;

function answer(line) {
  const [command, address, value] = line.split(' ');
  if (command === 'endianness') return say('OK little\n');
  if (mode === 'hang') return;
  if (mode === 'die') {
    console.error('fake-qemu: going down');
    process.exit(7);
  }
  if (mode === 'half') {
    say('OK 0x00');
    process.kill(process.pid, 'SIGKILL');
  }
  if (mode === 'garbage') return say('What?\n');
  if (mode === 'fail') return say('FAIL Unknown device\n');
  if (mode === 'short') return say('OK 12q\n');
  if (mode === 'interrupts') say(`IRQ raise ${answered}\nIRQ lower 200\n`);
  answered++;
  if (command === 'clock_step') {
    clock += Number(address ?? 5);
    return say(`OK ${clock}\n`);
  }
  if (command.startsWith('read')) return say(`OK 0x${(memory.get(address) ?? 0n).toString(16).padStart(16, '0')}\n`);
  if (command.startsWith('write')) memory.set(address, BigInt(value));
  say('OK\n');
}

const bytes = Buffer.alloc(65536);
let text = '';
while (true) {
  if (mode === 'mute') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  const got = readSync(input, bytes, 0, bytes.length, null);
  text += bytes.toString('latin1', 0, got);
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
    answer(text.slice(0, end));
    text = text.slice(end + 1);
  }
}
