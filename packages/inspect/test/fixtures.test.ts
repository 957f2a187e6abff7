import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { smallMachine } from './fixtures.js';

const fixture = (name: string): Uint8Array => readFileSync(new URL(`../fixtures/${name}`, import.meta.url));

it('has a machine as a fixture that is made by the writer of these tests', () => {
  const { image, registers } = smallMachine();
  expect(Buffer.compare(fixture('small.elf'), image)).toBe(0);
  expect(new TextDecoder().decode(fixture('small.txt'))).toBe(registers);
});
