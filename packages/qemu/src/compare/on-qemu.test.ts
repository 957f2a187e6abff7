import { expect, it } from 'vitest';
import type { Qemu } from '../qemu-machine.js';
import { QemuPerformer } from './on-qemu.js';

it('says which QEMU is too old for cases, how to get another, and leaves none behind', () => {
  let stopped = 0;
  // What QEMU 10.0 has.
  const edu = { rid: 0x20, bars: [{ index: 0, base: 0x1000_0000, bytes: 0x10_0000 }] };
  const old = { kind: 'vtd-legacy', functions: [edu], version: { text: '10.0.2' }, stop: () => stopped++ };
  expect(() => new QemuPerformer(() => old as unknown as Qemu)).toThrow(
    /^QEMU 10\.0\.2 lacks a device of cases: QEMU 11\.0 has it: .*iommukit qemu --get/,
  );
  expect(stopped).toBe(1);
});
