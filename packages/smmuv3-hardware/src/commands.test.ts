import { describe, expect, it } from 'vitest';
import { hex, Rig } from '../test/rig.js';

const PAGE = 0x7f1234567;
const SYNC = 0x0fc02046n;

/** SID 0x42, PASID 5 → ASID 0x12, one page mapped and cached. */
function cached(capabilities = {}) {
  const rig = new Rig(capabilities).enable();
  const table = rig.cdTable(0x42, 6);
  const root = rig.cd(table, 5, Rig.cd0(0x12));
  rig.map(root, PAGE, 0x40100);
  expect(rig.translate(0x42, 5, PAGE)).toBe(0x40100);
  return { rig, table, root, link: rig.link(0x42) };
}

/** Changes the page table behind the TLB's back; what is seen next tells whether the line was dropped. */
function remapped(capabilities = {}) {
  const all = cached(capabilities);
  all.rig.map(all.root, PAGE, 0x40200);
  expect(all.rig.translate(0x42, 5, PAGE)).toBe(0x40100);
  return all;
}

describe('CommandQueue', () => {
  it.each([
    ['NH_VA of the page', 0x0012000000000012n, 0x00007f1234567001n, true],
    ['NH_VA, not leaf', 0x0012000000000012n, 0x00007f1234567000n, true],
    ['NH_VA of the next page', 0x0012000000000012n, 0x00007f1234568001n, false],
    ['NH_VA of another ASID', 0x0013000000000012n, 0x00007f1234567001n, false],
    ['NH_VA of another VMID', 0x0012000100000012n, 0x00007f1234567001n, false],
    ['NH_VAA of the page', 0x0000000000000013n, 0x00007f1234567001n, true],
    ['NH_VAA of the next page', 0x0000000000000013n, 0x00007f1234568001n, false],
    ['NH_ASID', 0x0012000000000011n, 0n, true],
    ['NH_ASID of another', 0x1234000000000011n, 0n, false],
    ['NH_ALL', 0x10n, 0n, true],
    ['NH_ALL of another VMID', 0x0000000100000010n, 0n, false],
    ['NSNH_ALL', 0x30n, 0n, true],
    ['CFGI_ALL', 0x04n, 0x1fn, false],
    ['CFGI_CD', 0x0000004200005005n, 0x1n, false],
  ])('drops what %s covers from the TLB, and nothing else (3.6)', (_name, dw0, dw1, dropped) => {
    const { rig } = remapped();
    rig.command(dw0, dw1, SYNC, 0n);
    expect(rig.cons).toBe(2);
    expect(rig.translate(0x42, 5, PAGE)).toBe(dropped ? 0x40200 : 0x40100);
  });

  it('keeps global lines on NH_ASID, and drops them on NH_VA of any ASID (3.6)', () => {
    const { rig, root } = cached();
    rig.map(root, 7, 0x40300, 0x443n);
    expect(rig.translate(0x42, 5, 7)).toBe(0x40300);
    rig.map(root, 7, 0x40400, 0x443n);
    rig.command(0x0012000000000011n, 0n);
    expect(rig.translate(0x42, 5, 7)).toBe(0x40300);
    rig.command(0x0099000000000012n, 0x7001n);
    expect(rig.translate(0x42, 5, 7)).toBe(0x40400);
  });

  it('shares a global line with another ASID of the same ASET only (3.6)', () => {
    const { rig, table, root } = cached();
    rig.map(root, 7, 0x40300, 0x443n);
    rig.translate(0x42, 5, 7);
    rig.map(root, 7, 0x40400, 0x443n);
    rig.cd(table, 6, Rig.cd0(0x13), root);
    rig.cd(table, 7, Rig.cd0(0x14, 0n, 1n << 47n), root);
    expect(rig.translate(0x42, 6, 7)).toBe(0x40300);
    expect(rig.translate(0x42, 7, 7)).toBe(0x40400);
  });

  it('drops a block whole for one of its pages', () => {
    const { rig, root } = cached();
    rig.map(root, 0x200, 0x40400, 0xc41n, 2);
    expect(rig.translate(0x42, 5, 0x2ff)).toBe(0x404ff);
    rig.map(root, 0x200, 0x40600, 0xc41n, 2);
    expect(rig.translate(0x42, 5, 0x200)).toBe(0x40400);
    rig.command(0x0012000000000012n, 0x300001n);
    expect(rig.translate(0x42, 5, 0x200)).toBe(0x40600);
  });

  it('invalidates a range with RIL, and only the page without (4.2)', () => {
    // 16 x 4K from 0x400000, ASID 0x12, not leaf.
    for (const rangeInvalidation of [true, false]) {
      const { rig, root } = cached({ rangeInvalidation });
      for (const page of [0x400, 0x40f, 0x410]) {
        rig.map(root, page, 0x40500);
        rig.translate(0x42, 5, page);
        rig.map(root, page, 0x40600);
      }
      rig.command(0x0012000000400012n, 0x0000000000400400n);
      const now = [0x400, 0x40f, 0x410].map((page) => rig.translate(0x42, 5, page));
      expect(now).toEqual(rangeInvalidation ? [0x40600, 0x40600, 0x40500] : [0x40600, 0x40500, 0x40500]);
    }
  });

  it('stops at a range of nothing: TG without NUM, SCALE and TTL', () => {
    const { rig } = cached({ rangeInvalidation: true });
    rig.command(0x0012000000000012n, 0x400n);
    expect(rig.error).toBe(1);
  });

  it.each([
    ['an opcode that does not exist', 0x00n, 0n, {}],
    ['a Secure command', 0x0000004200000403n, 1n, {}],
    ['TLBI_EL2_ALL', 0x20n, 0n, {}],
    ['TLBI_EL2_ASID', 0x21n, 0n, {}],
    ['TLBI_EL2_VA', 0x0012000000000022n, 0x00007f1234567000n, {}],
    ['TLBI_S12_VMALL', 0x28n, 0n, {}],
    ['TLBI_S2_IPA', 0x2an, 0n, {}],
    ['TLBI_EL3_ALL', 0x18n, 0n, {}],
    ['TLBI_SNH_ALL', 0x60n, 0n, {}],
    ['an implementation defined opcode', 0x80n, 0n, {}],
    ['CFGI_VMS_PIDM', 0x07n, 0n, {}],
    ['ATC_INV without ATS', 0x0000004200005840n, 0x34n, { ats: false }],
    ['ATC_INV of too much', 0x0000004200005840n, 0x35n, {}],
    ['PRI_RESP without PRI', 0x0000004200005841n, 0x21ffn, { pri: false }],
    ['PRI_RESP with Resp=3', 0x0000004200005841n, 0x31ffn, {}],
    ['RESUME while stalls do not exist', 0x0000004200001044n, 0xbeefn, { stall: 'none' }],
    ['STALL_TERM while stalls do not exist', 0x0000004200000045n, 0n, { stall: 'none' }],
    ['SYNC with CS=3', 0x3046n, 0n, {}],
  ])('stops with CERROR_ILL at %s (4.4)', (_name, dw0, dw1, capabilities) => {
    const { rig } = cached(capabilities);
    rig.command(SYNC, 0n, dw0, dw1, SYNC, 0n);
    expect(rig.read(0x9c)).toBe(0x01000001);
    expect(rig.read(0x60)).toBe(1);
    expect(rig.interrupts).toEqual(['gerror']);
    // Nothing is consumed until GERRORN acknowledges; then the slot, rewritten as a SYNC, is fetched again.
    rig.write(0x98, rig.prod);
    rig.settle();
    expect(rig.cons).toBe(1);
    rig.store(rig.cmdq + 16, SYNC);
    rig.write(0x64, 1);
    rig.settle();
    expect(rig.read(0x9c)).toBe(3);
  });

  it('accepts RESUME and STALL_TERM that match nothing', () => {
    const { rig } = cached();
    rig.command(
      0x0000004200001044n,
      0xbeefn,
      0x0000004200000045n,
      0n,
      0x0000004200005001n,
      0n,
      0x0000004200005802n,
      0n,
    );
    expect([rig.cons, rig.error]).toEqual([4, 0]);
  });

  it('stops with CERROR_ABT when a command cannot be fetched', () => {
    const { rig } = cached();
    rig.write(0x20, 0x17);
    rig.write64(0x90, 0x80_0000_0003n);
    rig.write(0x20, 0x1f);
    rig.write(0x98, 1);
    rig.settle();
    expect(rig.read(0x9c)).toBe(0x02000000);
  });

  it('wraps: sixteen commands through a queue of eight', () => {
    const { rig } = cached();
    for (let i = 0; i < 4; i++) rig.command(...new Array(5).fill([SYNC, 0n]).flat());
    expect(rig.cons).toBe(20 % 16);
  });

  it('sends ATC_INV as the bodies of pcie-ats.md 2.4, and SYNC waits for every completion', () => {
    const { rig, link } = cached();
    rig.frozen = true;
    rig.command(0x0000004200005840n, 0x8002n, 0x0000004200000040n, 0x34n, 0x0000004200005a40n, 0x5000n, SYNC, 0n);
    expect(link.sent).toEqual([
      { kind: 'invalidate-request', itag: 0, pasid: 5, lo: 0x9800, hi: 0 },
      { kind: 'invalidate-request', itag: 1, pasid: -1, lo: 0xfffff800, hi: 0x7fffffff },
      { kind: 'invalidate-request', itag: 2, pasid: 5, lo: 0x5001, hi: 0 },
    ]);
    expect(rig.cons).toBe(3);
    rig.deliver(link, { kind: 'invalidate-completion', itags: 0b110, count: 2 });
    rig.deliver(link, { kind: 'invalidate-completion', itags: 0b001, count: 1 });
    expect(rig.cons).toBe(3);
    rig.deliver(link, { kind: 'invalidate-completion', itags: 0b110, count: 2 });
    expect(rig.cons).toBe(4);
  });

  it('waits for a free ITag when a device has 32 invalidations open', () => {
    const { rig, link } = cached();
    rig.frozen = true;
    for (let i = 0; i < 33; i++) rig.command(0x0000004200005840n, 0x34n);
    expect(link.sent).toHaveLength(32);
    rig.deliver(link, { kind: 'invalidate-completion', itags: 1 << 31, count: 1 });
    expect(link.sent.at(-1)).toMatchObject({ itag: 31 });
  });

  it('reports CERROR_ATC_INV_SYNC at the SYNC when a device stays silent, once', () => {
    const { rig } = cached();
    rig.command(0x0000004200005840n, 0x34n, SYNC, 0n);
    expect(rig.read(0x9c)).toBe(0x03000001);
    expect(rig.kernel.clock.now()).toBe(60e9);
    rig.write(0x64, 1);
    rig.settle();
    expect(rig.read(0x9c)).toBe(2);
  });

  it('ignores ATC_INV and PRI_RESP while SMMUEN=0', () => {
    const { rig, link } = cached();
    rig.write(0x20, 0x1e);
    rig.command(0x0000004200005840n, 0x34n, 0x0000004200005841n, 0x21ffn, SYNC, 0n);
    expect(link.sent).toEqual([]);
    expect(rig.cons).toBe(3);
  });

  it('sends PRI_RESP with the codes of PCIe, with a PASID as told', () => {
    const { rig, link } = cached();
    rig.command(0x0000004200005841n, 0x21ffn, 0x0000004200005841n, 0x1001n, 0x0000004200000041n, 0x0002n);
    expect(link.sent).toEqual([
      { kind: 'prg-response', pasid: 5, prgi: 0x1ff, code: 0 },
      { kind: 'prg-response', pasid: 5, prgi: 1, code: 1 },
      { kind: 'prg-response', pasid: -1, prgi: 2, code: 15 },
    ]);
  });

  it('signals SYNC by interrupt with CS=1, or by its message with MSI', () => {
    const { rig } = cached();
    rig.command(0x1046n, 0n);
    expect(rig.interrupts).toEqual(['cmdq-sync']);
    const other = cached({ msi: true });
    const word = other.rig.frames(0);
    other.rig.command(0xabcd12340000_1046n, BigInt(word) + 8n);
    expect(other.rig.interrupts).toEqual([]);
    expect(hex(other.rig.load(word + 8))).toBe('0x00000000abcd1234');
  });
});
