/**
 * Which bits each field of a structure in memory has, from the fact sheet: key, 64-bit word, bits. Written out
 * independently of the declarations, so that a typo in either shows. Every bit that is not listed is reserved.
 */
export const TABLE_BITS: Readonly<Record<string, string>> = {
  LegacyRootEntry: 'p qw0 0, ctp qw0 63:12',
  LegacyContextEntry: 'p qw0 0, fpd qw0 1, tt qw0 3:2, slptptr qw0 63:12, aw qw1 2:0, ignored qw1 6:3, did qw1 23:8',
  RootEntry: 'lp qw0 0, lctp qw0 63:12, up qw1 0, uctp qw1 63:12',
  EcsRootEntry: 'lp qw0 0, lctp qw0 63:12, up qw1 0, uctp qw1 63:12',
  EcsContextEntry: `p qw0 0, fpd qw0 1, tt qw0 4:2, emt qw0 7:5, dinve qw0 8, pre qw0 9, neste qw0 10, paside qw0 11,
    slptptr qw0 63:12, aw qw1 2:0, pge qw1 3, nxe qw1 4, wpe qw1 5, cd qw1 6, emte qw1 7, did qw1 23:8, smep qw1 24,
    eafe qw1 25, ere qw1 26, slee qw1 27, pat0 qw1 34:32, pat1 qw1 38:36, pat2 qw1 42:40, pat3 qw1 46:44,
    pat4 qw1 50:48, pat5 qw1 54:52, pat6 qw1 58:56, pat7 qw1 62:60, pts qw2 3:0, pasidptr qw2 63:12,
    pasidstptr qw3 63:12`,
  EcsPasidEntry: 'p qw0 0, pcd qw0 3, pwt qw0 4, flpm qw0 9, sre qw0 11, flptptr qw0 63:12',
  EcsPasidStateEntry: 'arefcnt qw0 47:32, dinv qw0 63',
  ContextEntry: `p qw0 0, fpd qw0 1, dte qw0 2, paside qw0 3, pre qw0 4, pdts qw0 11:9, pasiddirptr qw0 63:12,
    ridPasid qw1 19:0, ridPriv qw1 20`,
  PasidDirEntry: 'p qw0 0, fpd qw0 1, smptblptr qw0 63:12',
  PasidEntry: `p qw0 0, fpd qw0 1, aw qw0 4:2, slee qw0 5, pgtt qw0 8:6, slade qw0 9, slptptr qw0 63:12, did qw1 15:0,
    pwsnp qw1 23, pgsnp qw1 24, cd qw1 25, emte qw1 26, emt qw1 29:27, pwt qw1 30, pcd qw1 31, pat qw1 63:32,
    sre qw2 0, ere qw2 1, flpm qw2 3:2, wpe qw2 4, nxe qw2 5, smep qw2 6, eafe qw2 7, flptptr qw2 63:12`,
  IRTE: `p qw0 0, fpd qw0 1, dm qw0 2, rh qw0 3, tm qw0 4, dlm qw0 7:5, avail qw0 11:8, im qw0 15, v qw0 23:16,
    dst qw0 63:32, sid qw1 15:0, sq qw1 17:16, svt qw1 19:18`,
  FRCD: `fi qw0 63:12, sid qw1 15:0, t2 qw1 28, priv qw1 29, exe qw1 30, pp qw1 31, fr qw1 39:32, pv qw1 59:40,
    at qw1 61:60, t1 qw1 62, f qw1 63`,
  InterruptFRCD: `index qw0 63:48, sid qw1 15:0, t2 qw1 28, priv qw1 29, exe qw1 30, pp qw1 31, fr qw1 39:32,
    pv qw1 59:40, at qw1 61:60, t1 qw1 62, f qw1 63`,
  PageRequest: `type qw0 7:0, pp qw0 8, pdp qw0 9, rid qw0 31:16, pasid qw0 51:32, exr qw0 52, pmr qw0 53, rdr qw1 0,
    wrr qw1 1, lpig qw1 2, prgi qw1 11:3, addr qw1 63:12, privLow qw2 63:0, privHigh qw3 63:0`,
  EcsPageRequest: `srr qw0 0, bof qw0 1, pp qw0 2, lpig qw0 3, pasid qw0 23:4, bus qw0 31:24, private qw0 54:32,
    prgi qw0 63:55, rd qw1 0, wr qw1 1, exe qw1 2, priv qw1 3, devfn qw1 11:4, addr qw1 63:12`,
  VCCAP: 'pas qw0 0',
  VCMD: 'command qw0 7:0, operand qw0 63:8',
  VCRSP: 'ip qw0 0, sc qw0 2:1, result qw0 63:8',
};

const CONTEXT_CACHE = 'type qw0 3:0, g qw0 5:4, typeHigh qw0 11:9, did qw0 31:16, sid qw0 47:32, fm qw0 49:48';
const IOTLB = `type qw0 3:0, g qw0 5:4, dw qw0 6, dr qw0 7, typeHigh qw0 11:9, did qw0 31:16, am qw1 5:0, ih qw1 6,
  addr qw1 63:12`;
const DEVICE_TLB = `type qw0 3:0, typeHigh qw0 11:9, pfsidLow qw0 15:12, mip qw0 20:16, sid qw0 47:32,
  pfsidHigh qw0 63:52, s qw1 0, addr qw1 63:12`;
const INTERRUPT_ENTRY = 'type qw0 3:0, g qw0 4, typeHigh qw0 11:9, im qw0 31:27, iidx qw0 47:32';
const WAIT = `type qw0 3:0, if qw0 4, sw qw0 5, fn qw0 6, pd qw0 7, typeHigh qw0 11:9, statusData qw0 63:32,
  statusAddress qw1 51:2, statusAddressHigh qw1 63:52`;

/** The same of descriptors (vtd.md 3.1 to 3.11). */
export const DESCRIPTOR_BITS: Readonly<Record<string, string>> = {
  ContextCacheInv: CONTEXT_CACHE,
  ContextCacheInv256: CONTEXT_CACHE,
  IotlbInv: IOTLB,
  IotlbInv256: IOTLB,
  DeviceTlbInv: DEVICE_TLB,
  DeviceTlbInv256: DEVICE_TLB,
  InterruptEntryInv: INTERRUPT_ENTRY,
  InterruptEntryInv256: INTERRUPT_ENTRY,
  InvWait: WAIT,
  InvWait256: WAIT,
  PasidIotlbInv: `type qw0 3:0, g qw0 5:4, typeHigh qw0 11:9, did qw0 31:16, pasid qw0 51:32, am qw1 5:0, ih qw1 6,
    addr qw1 63:12`,
  PasidCacheInv: 'type qw0 3:0, g qw0 5:4, typeHigh qw0 11:9, did qw0 31:16, pasid qw0 51:32',
  PasidDeviceTlbInv: `type qw0 3:0, mip qw0 8:4, typeHigh qw0 11:9, pfsidLow qw0 15:12, sid qw0 31:16,
    pasid qw0 51:32, pfsidHigh qw0 63:52, g qw1 0, s qw1 11, addr qw1 63:12`,
  PageGroupResponse: `type qw0 3:0, pp qw0 4, pdp qw0 5, typeHigh qw0 11:9, rc qw0 15:12, rid qw0 31:16,
    pasid qw0 51:32, lpig qw1 2, prgi qw1 11:3, privLow qw2 63:0, privHigh qw3 63:0`,
  EcsIotlbInv: `type qw0 3:0, g qw0 5:4, did qw0 31:16, pasid qw0 51:32, am qw1 5:0, ih qw1 6, gl qw1 7,
    addr qw1 63:12`,
  EcsPasidCacheInv: 'type qw0 3:0, g qw0 5:4, did qw0 31:16, pasid qw0 51:32',
  EcsDeviceTlbInv: `type qw0 3:0, mip qw0 8:4, pfsidLow qw0 15:12, sid qw0 31:16, pasid qw0 51:32,
    pfsidHigh qw0 63:52, glob qw1 0, s qw1 11, addr qw1 63:12`,
  EcsPageGroupResponse:
    'type qw0 3:0, pp qw0 4, rid qw0 31:16, pasid qw0 51:32, rc qw1 3:0, private qw1 54:32, prgi qw1 63:55',
  EcsPageStreamResponse: `type qw0 3:0, pasid qw0 23:4, bus qw0 31:24, private qw0 54:32, prgi qw0 63:55, rc qw1 3:0,
    devfn qw1 11:4, addr qw1 63:12`,
};
