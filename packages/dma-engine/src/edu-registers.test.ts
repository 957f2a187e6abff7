import { describe, expect, it } from 'vitest';
import * as edu from './edu-registers.js';

/** Name, offset and bytes of each register that a module declares, by offset. */
const table = (module: object) =>
  Object.values(module)
    .filter((value): value is { name: string; offset: number; bytes: number } => {
      return typeof value === 'object' && value !== null && 'offset' in value;
    })
    .map(({ name, offset, bytes }) => [name, offset, bytes] as const)
    .sort((a, b) => a[1] - b[1]);

describe('the registers of edu', () => {
  it("lie where QEMU's specification puts them", () => {
    expect(table(edu)).toEqual([
      ['IDENTIFICATION', 0x00, 4],
      ['INTERRUPT_STATUS', 0x24, 4],
      ['INTERRUPT_ACKNOWLEDGE', 0x64, 4],
      ['SOURCE', 0x80, 8],
      ['DESTINATION', 0x88, 8],
      ['COUNT', 0x90, 8],
      ['COMMAND', 0x98, 4],
    ]);
  });

  it('have the bits of a transfer: start, to the bus, interrupt', () => {
    expect(edu.EDU_COMMAND.pack({ start: 1 })).toBe(1);
    expect(edu.EDU_COMMAND.pack({ toBus: 1 })).toBe(2);
    expect(edu.EDU_COMMAND.pack({ interrupt: 1 })).toBe(4);
    expect(edu.EDU_INTERRUPT_STATUS.unpack(0x100).dma).toBe(1);
    expect(edu.EDU_IDENTIFICATION.unpack(0x010000ed)).toEqual({ name: 0xed, minor: 0, major: 1 });
  });
});
