import { describe, expect, it } from 'vitest';
import { isInspectError, parseRegisters } from './index.js';

const parse = (...texts: string[]) => parseRegisters(texts.map((text, i) => ({ name: `r${i}.txt`, text })));

describe('parseRegisters', () => {
  it('reads lines as the monitor prints them', () => {
    const words = parse(
      '00000000fed90000: 0x00000010 0x00000000 0x222f0606 0x01d2008c\n00000000fed90010: 0x00f00f4a\n',
    );
    expect([...words.words]).toEqual([
      [0xfed9_0000, 0x10],
      [0xfed9_0004, 0],
      [0xfed9_0008, 0x222f_0606],
      [0xfed9_000c, 0x01d2_008c],
      [0xfed9_0010, 0x00f0_0f4a],
    ]);
  });

  it('takes comments, empty lines, prefixes, carriage returns and short words', () => {
    const words = parse('# VT-d\n\n0xFED90000:\t0x10 0XABCDEF01 # two\r\n  fed90008 : 0x0\n');
    expect([...words.words.values()]).toEqual([0x10, 0xabcd_ef01, 0]);
  });

  it('reads JSON: words alone and in lists, as numbers and as text', () => {
    const words = parse('{"0x1000": ["0x10", 4294967295], "0x2000": "0xc0000000",\n"0x2004": 7}');
    expect([...words.words]).toEqual([
      [0x1000, 0x10],
      [0x1004, 0xffff_ffff],
      [0x2000, 0xc000_0000],
      [0x2004, 7],
    ]);
  });

  it('reads JSON lists of addresses with words', () => {
    const words = parse(
      '[{"address": "0x1000", "words": ["0x1", 2]}, {"address": 8192, "words": [3]}, {"address": "3000", "words": 4}]',
    );
    expect([...words.words]).toEqual([
      [0x1000, 1],
      [0x1004, 2],
      [0x2000, 3],
      [0x3000, 4],
    ]);
  });

  it('puts several files together', () => {
    expect(parse('1000: 0x1', '{"0x1004": 2}').read(0x1004, 'B')).toBe(2);
  });

  it('finds where units begin', () => {
    const words = parse('fed90008: 0x1\nfed9121c: 0x1\nfed93000: 0x1');
    expect(words.bases(0x1000, 0x1000)).toEqual([0xfed9_0000, 0xfed9_1000, 0xfed9_3000]);
    expect(words.bases(0x1000, 0x2000)).toEqual([0xfed9_0000, 0xfed9_3000]);
  });

  it('names the register, its address and the files when one is missing', () => {
    expect(() => parse('1000: 0x1').unit(0x1000)(0x1c, 'GSTS')).toThrow(
      /r0\.txt: the register GSTS \(0x101c\) is missing; dump that register too \[ENOREGISTER\]/,
    );
  });

  it.each([
    ['no colon', 'fed90000 0x1', /r0\.txt:1: 'fed90000 0x1' has no address and words/],
    ['no words', '1000: 0x1\nfed90000:', /r0\.txt:2: 'fed90000:' has no address/],
    ['garbage for an address', 'GSTS: 0x1', /r0\.txt:1: 'GSTS' is no hexadecimal address/],
    ['garbage for a word', '\n\n1000: 0x1 zero', /r0\.txt:3: 'zero' is no word; lines are `address: word/],
    ['a word without 0x', '1000: 00000010', /'00000010' is no word/],
    ['words of 64 bits', '1000: 0x0000000000000010', /'0x0000000000000010' has more than 32 bits.*xp \/140xw/],
    [
      'bytes',
      '1000: 0x10 0x00 0x00 0x00\n1004: 0x01 0x02 0x03 0x04',
      /r0\.txt:2: the word at 0x1004 is given by r0\.txt:1 too; .*words have 32 bits/,
    ],
    ['an odd address', '1002: 0x1', /0x1002 is no multiple of 4/],
    ['an address beyond 52 bits', 'fffffffffffff000: 0x1', /is no multiple of 4|more than 52 bits/],
    ['control characters', '\u0007\u001b[31m: 0x1', /r0\.txt:1: '\?\?\[31m' is no hexadecimal address/],
    ['damaged JSON', '{\n"0x1000": [1,]}', /r0\.txt:[12]: it is no JSON/],
    ['a JSON list of numbers', '[1, 2]', /r0\.txt: item 1: it is no object/],
    ['a JSON list without addresses', '[{"words": [1]}]', /item 1: 'undefined' is no address/],
    ['a JSON list without words', '[{"address": 4096}]', /item 1: nothing is no word/],
    ['a JSON name', '{"GSTS": 1}', /r0\.txt:1: 'GSTS' is no address/],
    ['a JSON word of 33 bits', '{"0x1000":\n4294967296}', /r0\.txt:1: 4294967296 is no word of 32 bits/],
    ['a JSON fraction', '{"0x1000": [0.5]}', /0\.5 is no word/],
    ['JSON in JSON', '{"0x1000": {"a": 1}}', /\{"a":1\} is no word/],
  ])('refuses %s, with file and line', (_what, text, message) => {
    let error: unknown;
    try {
      parse(text);
    } catch (caught) {
      error = caught;
    }
    expect(isInspectError(error)).toBe(true);
    expect(String(error)).toMatch(message);
  });

  it('tells both places when files give one address twice', () => {
    expect(() => parse('1000: 0x1 0x2', '0\n'.replace('0\n', '1004: 0x2'))).toThrow(
      /r1\.txt:1: the word at 0x1004 is given by r0\.txt:1 too/,
    );
  });
});
