import { describe, expect, it } from 'vitest';
import {
  acpiTable,
  type IortNodeBytes,
  iort,
  namedComponent,
  packed,
  rootComplex,
  sealed,
  smmuV3,
} from '../test/acpi-writer.js';
import { expectError, fixture } from '../test/fixture.js';
import { acpiSignature, parseIort } from './index.js';

const ITS: IortNodeBytes = { type: 0, data: packed([4, 1], [4, 0]) };

/** A copy of the real table with some bytes changed, and its checksum right again. */
function changed(change: (view: DataView) => void): Uint8Array {
  const bytes = fixture('iort.aml');
  change(new DataView(bytes.buffer));
  return sealed(bytes);
}

describe('parseIort', () => {
  it('reads the table of a real machine, field by field as its disassembly lists them', () => {
    const { revision, maker, nodes } = parseIort(fixture('iort.aml'));
    expect([revision, maker]).toEqual([3, 'BOCHS BXPC']);
    expect(nodes).toEqual([
      { kind: 'its-group', offset: 0x30, revision: 1, identifier: 0, mappings: [], ids: [0] },
      {
        kind: 'smmuv3',
        offset: 0x48,
        revision: 4,
        identifier: 1,
        mappings: [{ inputBase: 0, count: 0x10000, outputBase: 0, output: 0x30, single: false }],
        base: 0x9050000,
        model: 0,
        coherent: true,
        httu: 0,
        vatos: 0,
        interrupts: { event: 0x6a, pri: 0x6b, gerror: 0x6d, sync: 0x6c },
        proximity: null,
      },
      {
        kind: 'root-complex',
        offset: 0xa0,
        revision: 3,
        identifier: 2,
        mappings: [
          { inputBase: 0, count: 0x300, outputBase: 0, output: 0x48, single: false },
          { inputBase: 0x300, count: 0xfd00, outputBase: 0x300, output: 0x30, single: false },
        ],
        segment: 0,
        ats: false,
        pri: false,
        pasidForwarding: false,
        pasidBits: 0,
        memory: { coherent: true, hints: 0, flags: 3 },
        addressBits: 64,
      },
    ]);
  });

  it('reads SMMUv3 flags: coherence, HTTU and proximity domain (smmuv3.md 7.3)', () => {
    const read = (flags: number) => parseIort(iort(smmuV3(0x1000, flags, 1))).nodes[0];
    expect(read(0)).toMatchObject({ coherent: false, httu: 0, proximity: null, model: 1 });
    expect(read(0b0101)).toMatchObject({ coherent: true, httu: 2 });
    expect(read(0b1010)).toMatchObject({ coherent: false, httu: 1, proximity: 3 });
  });

  it('reads named components: path, stall, PASID bits, streams (FEAT-5, smmuv3.md 7.3)', () => {
    const smmu = 0x30;
    const bytes = iort(smmuV3(0x1000), namedComponent('\\_SB_.DMA0', 0b101001, [[0, 1, 0x100, smmu, 1]]));
    expect(parseIort(bytes).nodes[1]).toMatchObject({
      kind: 'named-component',
      name: '\\_SB_.DMA0',
      stall: true,
      pasidBits: 20,
      addressBits: 48,
      memory: { coherent: true },
      mappings: [{ outputBase: 0x100, count: 1, single: true, output: smmu }],
    });
  });

  it('reads root complexes: ATS, PRI, PASID forwarding and width', () => {
    expect(parseIort(iort(rootComplex(7, [], 0b101, 16))).nodes[0]).toMatchObject({
      segment: 7,
      ats: true,
      pri: false,
      pasidForwarding: true,
      pasidBits: 16,
    });
    const old = { ...rootComplex(1, []), revision: 0, data: rootComplex(1, []).data.subarray(0, 16) };
    expect(parseIort(iort(old)).nodes[0]).toMatchObject({ segment: 1, pasidBits: null, addressBits: null });
  });

  it('reads older SMMUs, counters, reserved memory, and keeps what is newer', () => {
    const old: IortNodeBytes = {
      type: 3,
      data: packed(
        [8, 0x2000],
        [8, 0x10000],
        [4, 3],
        [4, 2],
        [4, 0],
        [4, 2],
        [4, 60],
        [4, 0],
        [4, 0],
        [4, 33],
        [4, 1],
        [4, 34],
        [4, 1],
      ),
    };
    const counters: IortNodeBytes = { type: 5, data: packed([8, 0x3000], [4, 40], [4, 0x30]) };
    const kept: IortNodeBytes = {
      type: 6,
      revision: 3,
      data: packed([4, 3], [4, 1], [4, 28], [8, 0x8000_0000], [8, 0x1000], [4, 0]),
      ids: [[0, 1, 5, 0x30]],
    };
    const { nodes } = parseIort(iort(old, counters, kept, { type: 9, data: packed([4, 1]) }));
    expect(nodes).toMatchObject([
      { kind: 'smmu', base: 0x2000, bytes: 0x10000, model: 3, coherent: true, contextInterrupts: [33, 34] },
      { kind: 'pmcg', base: 0x3000, interrupt: 40, of: 0x30 },
      { kind: 'reserved', remappable: true, privileged: true, ranges: [{ base: 0x8000_0000, bytes: 0x1000 }] },
      { kind: 'unknown', type: 9 },
    ]);
  });

  it('names the field, the offset and the remedy of what is wrong in the header', () => {
    const real = fixture('iort.aml');
    const parse = (bytes: Uint8Array) => () => parseIort(bytes);
    expectError(parse(new Uint8Array(0)), 'EBADMAGIC', 'IORT signature', 0);
    expectError(parse(fixture('mcfg.aml')), 'EBADMAGIC', 'IORT signature', 0);
    expectError(parse(real.subarray(0, 20)), 'ETRUNCATED', 'IORT header', 0);
    expectError(parse(real.subarray(0, 200)), 'ETRUNCATED', 'IORT length', 4);
    expectError(parse(changed((view) => view.setUint32(4, 20, true))), 'EBADHEADER', 'IORT length', 4);
    expectError(parse(acpiTable('IORT', new Uint8Array(4))), 'EBADHEADER', 'IORT length', 4);
    real[50] ^= 1;
    expectError(parse(real), 'ECHECKSUM', 'IORT checksum', 9);
    for (const at of [12, 0xec, 0x5000_0000]) {
      expectError(parse(changed((view) => view.setUint32(40, at, true))), 'EBADHEADER', 'IORT node offset', 40);
    }
  });

  it('names the node and the offset of what is wrong in it', () => {
    const parse = (change: (view: DataView) => void) => () => parseIort(changed(change));
    expectError(
      parse((view) => view.setUint32(36, 4, true)),
      'ETRUNCATED',
      'IORT node 3',
      0xec,
    );
    expectError(
      parse((view) => view.setUint16(0x49, 10, true)),
      'EBADSTRUCT',
      'IORT node 1 (smmuv3)',
      0x49,
    );
    expectError(
      parse((view) => view.setUint16(0xa1, 999, true)),
      'ETRUNCATED',
      'IORT node 2 (root-complex)',
      0xa0,
    );
    expectError(
      parse((view) => view.setUint32(0x54, 0x50, true)),
      'EBADSTRUCT',
      'IORT node 1 (smmuv3)',
      0x48,
    );
    expectError(
      parse((view) => view.setUint32(0x50, 9, true)),
      'EBADSTRUCT',
      'IORT node 1 (smmuv3)',
      0x48,
    );
    expectError(
      parse((view) => view.setUint32(0x40, 2, true)),
      'EBADSTRUCT',
      'IORT node 0 (its-group)',
      0x30,
    );
    expectError(
      parse((view) => view.setUint32(0x5c, 0x200000, true)),
      'ERANGE',
      'IORT node 1 (smmuv3)',
      0x58,
    );
    expectError(
      parse((view) => view.setUint32(0xbc, 0x10000, true)),
      'EBADPROPERTY',
      'IORT node 2 (root-complex)',
      0xbc,
    );
    expectError(
      parse((view) => view.setUint8(0xc1, 31)),
      'EBADPROPERTY',
      'IORT node 2 (root-complex)',
      0xc1,
    );
    const mapping = 'IORT node 2 (root-complex) mapping 0';
    expectError(
      parse((view) => view.setUint32(0xcc, 0xffff_ff00, true)),
      'EBADPROPERTY',
      mapping,
      0xc4,
    );
    expectError(
      parse((view) => view.setUint32(0xd0, 0x44, true)),
      'EBADREFERENCE',
      mapping,
      0xa0,
    );
    expectError(
      parse((view) => view.setUint32(0xd0, 0xa0, true)),
      'EBADREFERENCE',
      mapping,
      0xa0,
    );
    expectError(
      () => parseIort(iort(ITS, namedComponent('', 0, []))),
      'EBADNAME',
      'IORT node 1 (named-component)',
      0x65,
    );
    expectError(() => parseIort(iort(namedComponent('A', 21 << 1, []))), 'EBADPROPERTY', /named-component/, 0x40);
  });

  it('knows an ACPI table by its first four letters', () => {
    expect(acpiSignature(fixture('iort.aml'))).toBe('IORT');
    expect(acpiSignature(fixture('virt.dtb'))).toBeNull();
    expect(acpiSignature(new Uint8Array(2))).toBeNull();
  });
});
