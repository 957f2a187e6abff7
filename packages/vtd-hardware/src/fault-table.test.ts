import { describe, expect, it } from 'vitest';
import { FAULT_ROWS, type FaultRow, PAGE, setFpd } from '../test/fault-rows.js';
import { Rig, SID } from '../test/rig.js';

/** The reasons that are recorded when a row's request is made. */
function provoke(row: FaultRow, fpd: 'c' | 'd' | 'p' | null, settings: Record<string, string> = {}): string[] {
  const rig = new Rig(row.has ?? {}, settings);
  const link = rig.link();
  const tlp = row.setup(rig);
  const rtaddr = rig.read64(0x20);
  if (fpd !== null) setFpd(rig, row.ttm, fpd);
  rig.enable(row.ttm);
  if (rtaddr !== 0n) {
    rig.write64(0x20, rtaddr);
    rig.command(0x4000_0000);
  }
  rig.deliver(link, tlp);
  return rig.faults().map(([, qw1]) => `0x${qw1.slice(8, 10)}`);
}

const hex = (reason: number): string => `0x${reason.toString(16).padStart(2, '0')}`;
const NAMED = FAULT_ROWS.map((row): [string, FaultRow] => [`${hex(row.reason)}: ${row.why}`, row]);
/** What the table of 5.2 lets stand between a request and its fault: entries that are read before. */
const READ_BEFORE: readonly [number, number, readonly ('c' | 'd' | 'p')[]][] = [
  [0x02, 0x0e, ['c']],
  [0x41, 0x48, ['c']],
  [0x50, 0x50, ['c']],
  [0x51, 0x52, ['c', 'd']],
  [0x58, 0x58, ['c', 'd']],
  [0x59, 0x91, ['c', 'd', 'p']],
];
const readBefore = (row: FaultRow): readonly ('c' | 'd' | 'p')[] =>
  [0x08, 0x09, 0x0a].includes(row.reason)
    ? []
    : (READ_BEFORE.find(([from, to]) => row.reason >= from && row.reason <= to)?.[2] ?? []);

describe('the fault reasons of 5.1 and 5.2, each provoked by a request', () => {
  it.each(NAMED)('records %s', (_name, row) => {
    expect(provoke(row, null)).toEqual([hex(row.reason)]);
  });

  it.each(NAMED)('records %s, in the stepwise gait', (_name, row) => {
    expect(provoke(row, null, { gait: 'stepwise' })).toEqual([hex(row.reason)]);
  });

  it.each(
    NAMED.flatMap(([name, row]) =>
      readBefore(row).map((holder): [string, string, FaultRow, 'c' | 'd' | 'p'] => [
        row.by.includes(holder) ? 'suppresses' : 'records',
        `${name}, with FPD=1 of the ${{ c: 'context', d: 'directory', p: 'PASID' }[holder]} entry`,
        row,
        holder,
      ]),
    ),
  )('%s %s (5.2)', (_verb, _name, row, holder) => {
    const expected = row.by.includes(holder) ? [] : [hex(row.reason)];
    expect(provoke(row, holder)).toEqual(expected);
    expect(provoke(row, holder, { gait: 'stepwise' })).toEqual(expected);
  });

  it('has a row for every reason but those of nested translation, interrupts, and what cannot happen here', () => {
    const spans = [
      [0x01, 0x0e],
      [0x30, 0x33],
      [0x38, 0x3a],
      [0x40, 0x48],
      [0x50, 0x52],
      [0x58, 0x5d],
      [0x70, 0x73],
      [0x78, 0x7c],
      [0x80, 0x87],
      [0x90, 0x90],
    ];
    const reasons = spans.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, n) => from + n));
    const missing = reasons.filter((reason) => !FAULT_ROWS.some((row) => row.reason === reason));
    // No message of a device asks to execute anything and is refused with a record: see below.
    expect(missing).toEqual([0x5c, 0x82]);
  });

  it('refuses to execute: 0x82 with XD, 0x5c with ERE=0 where the unit has execute requests', () => {
    const rig = new Rig().enable();
    const directory = rig.context();
    rig.map(rig.pasid(directory, 5), PAGE, 0x40100, 0x8000_0000_0000_0007n);
    expect([rig.translate(SID, 5, PAGE, 4), rig.translate(SID, 5, PAGE, 5)]).toEqual(['fault 0x82', 'fault 0x82']);
    expect(rig.translate(SID, 5, PAGE, 1)).toBe(0x40100);
    const old = new Rig({ ers: true }).enable();
    const dir = old.context();
    old.map(old.pasid(dir, 5), PAGE, 0x40100);
    old.map(old.pasid(dir, 6, 0x49n, 0x80_0001n, old.frames(0), 2n), PAGE, 0x40100);
    expect([old.translate(SID, 5, PAGE, 4), old.translate(SID, 6, PAGE, 4)]).toEqual(['fault 0x5c', 0x40100]);
    expect([old.translate(SID, 5, PAGE, 1), old.translate(SID, 5, PAGE, 4)]).toEqual([0x40100, 'fault 0x5c']);
  });
});
