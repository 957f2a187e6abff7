import { describe, expect, it } from 'vitest';
import { acpiTable, packed, sealed } from '../test/acpi-writer.js';
import { andd, atsr, dmar, drhd, rhsa, rmrr, satc, scope, structure } from '../test/dmar-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import { parseDmar } from './index.js';

/** A copy of the real table with some bytes changed, and its checksum right again. */
function changed(change: (view: DataView) => void): Uint8Array {
  const bytes = fixture('dmar.aml');
  change(new DataView(bytes.buffer));
  return sealed(bytes);
}

describe('parseDmar', () => {
  it('reads the table of a real machine, field by field as its disassembly lists them', () => {
    const { structures, ...header } = parseDmar(fixture('dmar.aml'));
    expect(header).toEqual({
      revision: 1,
      maker: 'BOCHS BXPC',
      addressBits: 48,
      interruptRemapping: true,
      x2apicOptOut: false,
      dmaOptIn: false,
    });
    expect(structures).toHaveLength(1);
    const [unit] = structures;
    expect(unit).toMatchObject({
      kind: 'drhd',
      offset: 0x30,
      segment: 0,
      base: 0xfed9_0000,
      bytes: 4096,
      includePciAll: false,
    });
    const scopes = unit.kind === 'drhd' ? unit.scopes : [];
    const line = (kind: string, at: number, bus: number, device: number, fn: number) =>
      `${kind} @0x${at.toString(16)} ${bus}: ${device}.${fn}`;
    expect(
      scopes.map(({ kind, offset, bus, path: [hop] }) => line(kind, offset, bus, hop.device, hop.function)),
    ).toEqual([
      line('ioapic', 0x40, 0xff, 0, 0),
      line('endpoint', 0x48, 0, 0, 0),
      line('endpoint', 0x50, 0, 2, 0),
      line('endpoint', 0x58, 0, 3, 0),
      line('endpoint', 0x60, 0, 4, 0),
      line('endpoint', 0x68, 0, 5, 0),
      line('endpoint', 0x70, 0, 6, 0),
      line('bridge', 0x78, 0, 7, 0),
      line('bridge', 0x80, 0, 8, 0),
      line('endpoint', 0x88, 0, 0x1f, 0),
      line('endpoint', 0x90, 0, 0x1f, 2),
      line('endpoint', 0x98, 0, 0x1f, 3),
    ]);
  });

  it('reads every kind of structure and of scope', () => {
    const table = dmar(
      [
        drhd(0xfed9_0000, [scope(1, 0, 0, [2, 0])], { segment: 3, size: 2 }),
        drhd(0xfed9_1000, [scope(5, 7, 0xf0, [21, 1]), scope(4, 2, 0xf0, [15, 0])], { flags: 1 }),
        rmrr(0x7b80_0000, 0x7fff_ffff, scope(2, 0, 0, [1, 0], [3, 5])),
        atsr(3, 1),
        rhsa(0xfed9_1000, 5),
        andd(7, '\\_SB.I2C0'),
        satc(0, 1, scope(9, 4, 1, [2, 3])),
        structure(6, packed([4, 1])),
      ],
      { width: 51, flags: 6 },
    );
    const read = parseDmar(table);
    expect([read.addressBits, read.interruptRemapping, read.x2apicOptOut, read.dmaOptIn]).toEqual([
      52,
      false,
      true,
      true,
    ]);
    expect(read.structures).toEqual([
      {
        kind: 'drhd',
        offset: 48,
        segment: 3,
        base: 0xfed9_0000,
        bytes: 0x4000,
        includePciAll: false,
        scopes: [{ offset: 64, kind: 'endpoint', type: 1, enumeration: 0, bus: 0, path: [{ device: 2, function: 0 }] }],
      },
      {
        kind: 'drhd',
        offset: 72,
        segment: 0,
        base: 0xfed9_1000,
        bytes: 0x1000,
        includePciAll: true,
        scopes: [
          { offset: 88, kind: 'namespace', type: 5, enumeration: 7, bus: 0xf0, path: [{ device: 21, function: 1 }] },
          { offset: 96, kind: 'hpet', type: 4, enumeration: 2, bus: 0xf0, path: [{ device: 15, function: 0 }] },
        ],
      },
      {
        kind: 'rmrr',
        offset: 104,
        segment: 0,
        base: 0x7b80_0000,
        bytes: 0x480_0000,
        scopes: [
          {
            offset: 128,
            kind: 'bridge',
            type: 2,
            enumeration: 0,
            bus: 0,
            path: [
              { device: 1, function: 0 },
              { device: 3, function: 5 },
            ],
          },
        ],
      },
      { kind: 'atsr', offset: 138, segment: 3, allPorts: true, scopes: [] },
      { kind: 'rhsa', offset: 146, base: 0xfed9_1000, proximity: 5 },
      { kind: 'andd', offset: 166, number: 7, name: '\\_SB.I2C0' },
      {
        kind: 'satc',
        offset: 184,
        segment: 0,
        required: true,
        scopes: [{ offset: 192, kind: 'unknown', type: 9, enumeration: 4, bus: 1, path: [{ device: 2, function: 3 }] }],
      },
      { kind: 'unknown', offset: 200, type: 6 },
    ]);
  });

  it('says what is wrong with the table, and where', () => {
    expectError(() => parseDmar(fixture('iort.aml')), 'EBADMAGIC', 'DMAR signature', 0);
    expectError(() => parseDmar(fixture('dmar.aml').subarray(0, 100)), 'ETRUNCATED', 'DMAR length', 4);
    const damaged = fixture('dmar.aml');
    damaged[60] ^= 1;
    expectError(() => parseDmar(damaged), 'ECHECKSUM', 'DMAR checksum', 9);
    expectError(() => parseDmar(acpiTable('DMAR', packed([4, 0]))), 'EBADHEADER', 'DMAR length', 4);
    expectError(() => parseDmar(dmar([], { width: 64 })), 'EBADPROPERTY', 'DMAR host address width', 36);
  });

  it('says what is wrong with a structure, and where', () => {
    const unit = (change: (view: DataView) => void) => () => parseDmar(changed(change));
    const where = 'DMAR structure 0 (drhd)';
    expectError(
      unit((view) => view.setUint16(0x32, 15, true)),
      'EBADSTRUCT',
      where,
      0x32,
    );
    expectError(
      unit((view) => view.setUint16(0x32, 0x71, true)),
      'ETRUNCATED',
      where,
      0x30,
    );
    expectError(
      unit((view) => view.setUint16(0x32, 0x6e, true)),
      'ETRUNCATED',
      'DMAR structure 1 (unknown)',
      0xa0,
    );
    expectError(
      unit((view) => view.setUint8(0x39, 1)),
      'EBADPROPERTY',
      where,
      0x38,
    );
    expectError(
      unit((view) => view.setUint32(0x38, 0)),
      'EBADPROPERTY',
      where,
      0x38,
    );
    expectError(
      unit((view) => view.setUint32(0x3c, 0x100_0000, true)),
      'ERANGE',
      where,
      0x38,
    );
    expectError(() => parseDmar(dmar([drhd(2 ** 53 - 4096)])), 'ERANGE', where, 0x38);
    expectError(() => parseDmar(dmar([rmrr(0x2000, 0x1fff)])), 'EBADPROPERTY', 'DMAR structure 0 (rmrr)', 0x40);
    expectError(
      () => parseDmar(dmar([structure(4, packed([4, 0], 'A\x07'))])),
      'EBADNAME',
      'DMAR structure 0 (andd)',
      56,
    );
  });

  it('says what is wrong with a scope, and where', () => {
    const one =
      (...bytes: number[]) =>
      () =>
        parseDmar(dmar([drhd(0x1000, [Uint8Array.from(bytes)])]));
    const where = 'DMAR structure 0 (drhd) scope 0';
    expectError(one(1, 7, 0, 0, 0, 0, 0, 0), 'EBADSTRUCT', where, 0x41);
    expectError(one(1, 9, 0, 0, 0, 0, 0, 0, 0), 'EBADSTRUCT', where, 0x41);
    expectError(one(1, 6, 0, 0, 0, 0, 0, 0), 'EBADSTRUCT', where, 0x41);
    expectError(one(1, 10, 0, 0, 0, 0, 0, 0), 'EBADSTRUCT', where, 0x41);
    expectError(one(1, 8, 0, 0, 0, 0), 'EBADSTRUCT', where, 0x40);
    expectError(one(1, 8, 0, 0, 0, 0, 32, 0), 'EBADPROPERTY', where, 0x46);
    expectError(one(1, 8, 0, 0, 0, 0, 0, 8), 'EBADPROPERTY', where, 0x46);
  });

  it('refuses references to nothing, and what is there twice', () => {
    const read =
      (...structures: Uint8Array[]) =>
      () =>
        parseDmar(dmar(structures));
    const one = drhd(0x1000);
    expectError(read(one, rhsa(0x2000, 0)), 'EBADREFERENCE', 'DMAR structure 1 (rhsa)', 72);
    expectError(read(drhd(0x1000, [scope(5, 1, 0, [0, 0])])), 'EBADREFERENCE', 'DMAR structure 0 (drhd)', 0x44);
    expectError(read(one, one), 'EDUPLICATE', 'DMAR structure 1 (drhd)', 72);
    expectError(read(drhd(0x1000, [], { flags: 1 }), drhd(0x2000, [], { flags: 1 })), 'EDUPLICATE', /1 \(drhd\)/, 68);
    expectError(read(andd(1, 'A'), andd(1, 'B')), 'EDUPLICATE', 'DMAR structure 1 (andd)', 65);
    expect(read(drhd(0x1000, [], { flags: 1 }), drhd(0x2000, [], { flags: 1, segment: 1 }))().structures).toHaveLength(
      2,
    );
  });
});
