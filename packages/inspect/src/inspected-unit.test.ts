import { describe, expect, it } from 'vitest';
import { elfCore } from '../test/elf-writer.js';
import { imageOf, legacyVtd, open, scalableSecondStage, stage2Smmu } from '../test/machines.js';
import { bytesSource, type ImageMemory, InspectedUnit, parseRegisters, readElfCore, vtdSequence } from './index.js';

/** A register file without the line of an address, or with another word at one. */
const without = (text: string, address: string): string =>
  text
    .split('\n')
    .filter((line) => !line.startsWith(address))
    .join('\n');

const word = (text: string, line: string, index: number, value: string): string =>
  text
    .split('\n')
    .map((each) => {
      if (!each.startsWith(line)) return each;
      const parts = each.split(' ');
      parts[index + 1] = value;
      return parts.join(' ');
    })
    .join('\n');

describe('the registers of a unit', () => {
  it.each([
    ['CAP', '00000000fed90000', 'VER (0xfed90000)'],
    ['GSTS', '00000000fed90010', 'ECAP (0xfed90010)'],
    ['RTADDR', '00000000fed90020', 'RTADDR (0xfed90020)'],
  ])('of VT-d: %s is needed', (_name, line, message) => {
    const made = legacyVtd(4);
    expect(() => open(made, undefined, without(made.registers, line))).toThrow(`the register ${message} is missing`);
  });

  it.each([
    ['IDR0', '0000000009050000', 'IDR0 (0x9050000)'],
    ['IDR5', '0000000009050010', 'IDR5 (0x9050014)'],
    ['CR0', '0000000009050020', 'CR0 (0x9050020)'],
    ['GBPA', '0000000009050040', 'GBPA (0x9050044)'],
    ['STRTAB_BASE', '0000000009050080', 'STRTAB_BASE (0x9050080)'],
    ['EVENTQ_BASE', '00000000090500a0', 'EVENTQ_BASE (0x90500a0)'],
  ])('of SMMUv3: %s is needed', (_name, line, message) => {
    const made = stage2Smmu();
    expect(() => open(made, undefined, without(made.registers, line))).toThrow(`the register ${message} is missing`);
  });

  it('that are off: VT-d without TES passes requests, and refuses those with PASID', () => {
    const made = legacyVtd(4);
    const unit = open(made, undefined, word(made.registers, '00000000fed90010', 3, '0x40000000'));
    expect(unit.access(made.requester, -1, 0x1234_5678n, 'write')).toEqual({ ok: true, pa: 0x1234_5678n, fault: null });
    const high = 0xffff_ffff_ffff_f123n;
    expect(unit.access(made.requester, -1, high, 'read'), 'every bit of it').toMatchObject({ ok: true, pa: high });
    expect(unit.access(made.requester, 5, 0x1234_5678n, 'write')).toEqual({ ok: false, pa: null, fault: null });
  });

  it('that are off: SMMUv3 without SMMUEN passes requests, or aborts them with GBPA.ABORT', () => {
    const made = stage2Smmu();
    const off = word(made.registers, '0000000009050020', 0, '0x0000000c');
    expect(open(made, undefined, off).access(1, -1, 0x5000n, 'read')).toEqual({ ok: true, pa: 0x5000n, fault: null });
    const abort = word(off, '0000000009050040', 1, '0x00101000');
    expect(open(made, undefined, abort).access(1, -1, 0x5000n, 'read')).toEqual({ ok: false, pa: null, fault: null });
  });

  it('in abort-DMA mode refuse everything, with its reason', () => {
    const made = scalableSecondStage();
    // ECAP.ADMS is bit 52; RTADDR.TTM 3.
    const adms = word(made.registers, '00000000fed90010', 1, '0x00104800');
    const lo = Number.parseInt(made.registers.split('\n')[2].split(' ')[1], 16);
    const unit = open(made, undefined, word(adms, '00000000fed90020', 0, `0x${(lo | 0xc00).toString(16)}`));
    expect(unit.access(made.requester, -1, 0x1000n, 'read').fault).toEqual({ reason: 0x33, name: 'TTM_ABORT' });
  });

  it('do not set its queues going', () => {
    const made = stage2Smmu();
    const unit = open(made);
    unit.access(made.requester, -1, 0x1000n, 'read');
    // CR0 was 0xd: CMDQEN is left out.
    expect(unit.bus.load32(made.base + 0x20)).toBe(5);
    expect(unit.bus.load32(made.base + 0x9c)).toBe(0);
  });

  it('begin with empty fault queues', () => {
    const made = stage2Smmu();
    const unit = open(made);
    expect(unit.bus.load32(made.base + 0x100a8)).toBe(0);
    unit.access(made.requester, -1, 0x10_0000n, 'read');
    expect(unit.bus.load32(made.base + 0x100a8)).toBe(1);
  });
});

describe('the memory of a unit', () => {
  it('is read page by page, where it is looked at', () => {
    const made = legacyVtd(4);
    const image = imageOf(made);
    let read = 0;
    const source = {
      name: 'counted',
      size: image.length,
      read(offset: number, into: Uint8Array) {
        read += into.length;
        into.set(image.subarray(offset, offset + into.length));
      },
    };
    const unit = open(made, source);
    const headers = read;
    for (let n = 0; n < 1000; n++) unit.access(made.requester, -1, 0x1000n, 'read');
    // Root, context, four tables.
    expect([headers, read - headers]).toEqual([64 + 16 + 2 * 56, 6 * 4096]);
  });

  it('that the image leaves out is told, instead of a fault that the machine would not have had', () => {
    const made = legacyVtd(4);
    const [ram] = made.rams;
    const source = bytesSource(
      elfCore([{ base: ram.base, bytes: ram.bytes.slice(0, 0x3000), size: ram.bytes.length }]),
      'm.elf',
    );
    expect(() => open(made, source).access(made.requester, -1, 0x1000n, 'read')).toThrow(
      /m\.elf: memory at 0x103000 is left out of it; dump all of the memory \[ENOTHELD\]/,
    );
  });

  it('that the image leaves out takes what the unit writes: a record in its event queue', () => {
    const made = stage2Smmu();
    const [ram] = made.rams;
    // The event queue is the last thing in RAM.
    const held = Number.parseInt(made.registers.split('\n')[10].split(' ')[1], 16) & ~0xfff;
    const bytes = ram.bytes.slice(0, held - ram.base);
    const unit = open(made, bytesSource(elfCore([{ base: ram.base, bytes, size: ram.bytes.length }])));
    for (const _ of [1, 2])
      expect(unit.access(made.requester, -1, 0x10_0000n, 'read').fault?.name).toBe('F_TRANSLATION');
    expect(unit.bus.load32(held)).toBe(0x10);
  });

  it('that the machine does not have is a fault of the walk', () => {
    const made = legacyVtd(4);
    const [ram] = made.rams;
    const source = bytesSource(elfCore([{ base: ram.base, bytes: ram.bytes.slice(0, 0x3000) }]));
    const { fault } = open(made, source).access(made.requester, -1, 0x1000n, 'read');
    expect(fault).toEqual({ reason: 7, name: 'TABLE_ACCESS' });
  });

  it('keeps what the model writes to itself, and forgets it when it becomes much', () => {
    const made = legacyVtd(4);
    const unit = open(made);
    const memory: ImageMemory = unit.bus.memory;
    const at = made.rams[0].base;
    const out = new Uint32Array(2);
    expect(memory.store64(at, 1, 2)).toBe(true);
    memory.load64(at, out);
    expect([...out]).toEqual([1, 2]);
    memory.forget();
    memory.load64(at, out);
    expect([...out]).toEqual([0, 0]);
    expect(memory.store32(0x10, 1)).toBe(false);
    expect(memory.load32(0x10)).toBe(0xffff_ffff);
  });

  it('reads and writes bytes across pages', () => {
    const unit = open(legacyVtd(4));
    const at = legacyVtd(4).rams[0].base + 0x8ffe;
    unit.bus.write(at, Uint8Array.of(1, 2, 3, 4));
    const into = new Uint8Array(6);
    unit.bus.read(at - 1, into);
    expect([...into]).toEqual([0, 1, 2, 3, 4, 0]);
  });
});

describe('a unit', () => {
  it('is refused where the model cannot have its capabilities', () => {
    const made = legacyVtd(4);
    const registers = parseRegisters([{ name: 'r', text: made.registers }]);
    const image = readElfCore(bytesSource(imageOf(made)));
    const hardware = { matches: [], parts: {}, create: () => expect.unreachable('the registers come first') };
    const parts = { image, registers, base: 0x1000, hardware, capabilities: {}, sequence: vtdSequence };
    expect(() => new InspectedUnit({ ...parts, hardware: { ...hardware, create: () => ({}) as never } })).toThrow(
      /register GSTS \(0x101c\) is missing/,
    );
  });

  it('answers many requests of many devices, in bounded memory', () => {
    const made = legacyVtd(4);
    const unit = open(made);
    for (let n = 0; n < 20_000; n++) unit.access(n % 65_536, -1, BigInt(n) << 12n, n % 2 === 0 ? 'read' : 'write');
    expect(unit.links.size).toBeLessThanOrEqual(1024);
    expect(unit.kernel.tasks.length).toBeLessThan(16);
    expect(unit.recorded.length).toBeLessThanOrEqual(1);
  });
});
