/// <reference types="node" />
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { type FirmwareErrorCode, isFirmwareError } from '../src/index.js';

/** A file of `fixtures/` as plain bytes. */
export function fixture(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../fixtures/${name}`, import.meta.url)));
}

/** Expects `action` to throw a FirmwareError with that code, whose place is named as given. */
export function expectError(
  action: () => unknown,
  code: FirmwareErrorCode,
  where: string | RegExp,
  offset?: number | null,
): void {
  let thrown: unknown = null;
  try {
    action();
  } catch (error) {
    thrown = error;
  }
  if (!isFirmwareError(thrown)) throw new Error(`expected a FirmwareError ${code}, got ${thrown}`);
  expect({ code: thrown.code, where: thrown.where }).toEqual({
    code,
    where: typeof where === 'string' ? where : expect.stringMatching(where),
  });
  if (offset !== undefined) expect(thrown.offset).toBe(offset);
  expect(thrown.message).toContain(thrown.where);
  expect(thrown.message).toContain(thrown.remedy);
  expect(thrown.remedy.length).toBeGreaterThan(5);
}
