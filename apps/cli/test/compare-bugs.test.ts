import { complaintOf } from '@iommukit/qemu';
import * as smmu from '@iommukit/smmuv3-hardware';
import * as vtd from '@iommukit/vtd-hardware';
import { describe, expect, it } from 'vitest';
import { modelsWith, type OtherParts } from './models-with.js';
import { vectorsOf } from './vectors.js';

/** Fault reasons of VT-d (vtd.md 5.2). */
const FAULT = { FS_ACCESS: 0x70, FS_NOT_PRESENT: 0x71, SM_NOT_CANONICAL: 0x80 } as const;
/** Events of SMMUv3 (smmuv3.md 5.1). */
const EVENT = { C_BAD_STE: 0x04, C_BAD_CD: 0x0a, F_TRANSLATION: 0x10, F_ADDR_SIZE: 0x11, F_ACCESS: 0x12 } as const;
/** CD.T0SZ: bits 5:0. */
const T0SZ = 0x3f;

/** Bugs of one step each, by what a user would say of them. */
type Bugs<Parts> = Readonly<Record<string, Parts>>;

const VTD: Bugs<NonNullable<OtherParts['vtd']>> = {
  'first stage: reserved bits are ignored': {
    FirstStage: class extends vtd.FirstStage {
      override isReserved(): boolean {
        return false;
      }
    },
  },
  'first stage: rights are not looked at': {
    FirstStage: class extends vtd.FirstStage {
      override lessOf(): number {
        return 0;
      }
      override rightsOf(_less: number, lo: number, control: number): number {
        return super.rightsOf(0, lo, control);
      }
    },
  },
  'first stage: Accessed is not set': {
    FirstStage: class extends vtd.FirstStage {
      override accessed(lo: number): number {
        return lo;
      }
    },
  },
  'first stage: Dirty is not set': {
    FirstStage: class extends vtd.FirstStage {
      override dirtied(lo: number): number {
        return lo;
      }
    },
  },
  'first stage: an entry that is not present is a table that cannot be read': {
    FirstStage: class extends vtd.FirstStage {
      override absentReason(): number {
        return FAULT.FS_ACCESS;
      }
    },
  },
  'first stage: the first table that cannot be read is reported as a later one': {
    FirstStage: class extends vtd.FirstStage {
      override accessReason(control: number): number {
        return super.accessReason(control, false);
      }
    },
  },
  'second stage: reserved bits are ignored': {
    SecondStage: class extends vtd.SecondStage {
      override isReserved(): boolean {
        return false;
      }
    },
  },
  'second stage: rights of tables are forgotten': {
    Walker: class extends vtd.Walker {
      override descend(walk: vtd.TableWalk, stage: vtd.Stage): number {
        const next = super.descend(walk, stage);
        walk.inherited = 0;
        return next;
      }
    },
  },
  'the walk takes the next entry': {
    Walker: class extends vtd.Walker {
      override enter(walk: vtd.TableWalk, frame: number): void {
        super.enter(walk, frame);
        walk.address += 8;
      }
    },
  },
  'pages lead into the interrupt range': {
    Walker: class extends vtd.Walker {
      override settle(walk: vtd.TableWalk, stage: vtd.Stage, control: number, less: number): number {
        const next = super.settle(walk, stage, control, less);
        return walk.reason === stage.interruptReason(control) ? this.fault(walk, FAULT.FS_ACCESS) : next;
      }
    },
  },
  'addresses that are not canonical have another reason': {
    Translator: class extends vtd.Translator {
      override failHere(reason: number, level: number): number {
        return super.failHere(reason === FAULT.SM_NOT_CANONICAL ? FAULT.FS_NOT_PRESENT : reason, level);
      }
    },
  },
  'FPD is ignored': {
    Faults: class extends vtd.Faults {
      override record(reason: number, access: vtd.Access): boolean {
        return super.record(reason, access, false);
      }
    },
  },
  'a record names the page before': {
    Faults: class extends vtd.Faults {
      override compose(reason: number, access: vtd.Access): void {
        super.compose(reason, { ...access, page: access.page - 1 });
      }
    },
  },
  'a record does not say whether it was a write': {
    Faults: class extends vtd.Faults {
      override compose(reason: number, access: vtd.Access): void {
        super.compose(reason, { ...access, kind: 'read' });
      }
    },
  },
  'values of PASID entries are not looked at': {
    ScalableEntries: class extends vtd.ScalableEntries {
      override pasidValues(): boolean {
        return true;
      }
    },
  },
  'IOTLB invalidations drop nothing': {
    IotlbInvalidations: class extends vtd.IotlbInvalidations {
      override drop(): void {}
    },
  },
  'IOTLB invalidations of a domain drop nothing': {
    Iotlb: class extends vtd.Iotlb {
      override dropDomain(): void {}
    },
  },
  'IOTLB invalidations of pages drop nothing': {
    Iotlb: class extends vtd.Iotlb {
      override dropPages(): void {}
    },
  },
  'IOTLB invalidations of a PASID drop nothing': {
    Iotlb: class extends vtd.Iotlb {
      override dropPasid(): void {}
    },
  },
  'IOTLB invalidations of pages of a PASID drop nothing': {
    Iotlb: class extends vtd.Iotlb {
      override dropPasidPages(): void {}
    },
  },
  'IOTLB invalidations of a domain drop every domain': {
    Iotlb: class extends vtd.Iotlb {
      override dropDomain(): void {
        this.dropAll();
      }
    },
  },
  'context-cache invalidations of a device drop nothing': {
    ContextCache: class extends vtd.ContextCache {
      override dropDevice(): void {}
    },
  },
  'the PASID cache is never dropped': {
    PasidCache: class extends vtd.PasidCache {
      override dropAll(): void {}
    },
  },
};

const SMMUV3: Bugs<NonNullable<OtherParts['smmuv3']>> = {
  'APTable is ignored': {
    Walker: class extends smmu.Walker {
      override descend(walk: smmu.TableWalk, shape: number, frame: number): number {
        const next = super.descend(walk, shape, frame);
        walk.inherited = 0;
        return next;
      }
    },
  },
  'T0SZ is off by one': {
    Fetcher: class extends smmu.Fetcher {
      override decode(fetch: smmu.ConfigFetch): number {
        fetch.words[0] = ((fetch.words[0] & ~T0SZ) | Math.max(0, (fetch.words[0] & T0SZ) - 1)) >>> 0;
        return super.decode(fetch);
      }
    },
  },
  'an address that is too wide is no translation': {
    Walker: class extends smmu.Walker {
      override fault(walk: smmu.TableWalk, reason: number): number {
        return super.fault(walk, reason === EVENT.F_ADDR_SIZE ? EVENT.F_TRANSLATION : reason);
      }
    },
  },
  'the Access flag is not looked at': {
    Walker: class extends smmu.Walker {
      override settleFlags(walk: smmu.TableWalk, control: number): number {
        const next = super.settleFlags(walk, control);
        return walk.reason === EVENT.F_ACCESS ? smmu.NEXT.LEAF : next;
      }
    },
  },
  'a page of type 0b01 is valid at level 3': {
    Walker: class extends smmu.Walker {
      override isLeaf(lo: number, level: number, shape: number): boolean {
        return level === 3 || super.isLeaf(lo, level, shape);
      }
    },
  },
  'the walk takes the next descriptor': {
    Walker: class extends smmu.Walker {
      override enter(walk: smmu.TableWalk, shape: number, frame: number): void {
        super.enter(walk, shape, frame);
        walk.address += 8;
      }
    },
  },
  'FetchAddr is 8 bytes further': {
    EventQueue: class extends smmu.EventQueue {
      override composeFetch(address: number): void {
        super.composeFetch(address + 8);
      }
    },
  },
  'events do not say that it was a read': {
    EventQueue: class extends smmu.EventQueue {
      override compose(id: number, access: smmu.Access, fetchAddress: number): void {
        super.compose(id, { ...access, write: true }, fetchAddress);
      }
    },
  },
  'C_BAD_CD has the number of C_BAD_STE': {
    EventQueue: class extends smmu.EventQueue {
      override compose(id: number, access: smmu.Access, fetchAddress: number): void {
        super.compose(id === EVENT.C_BAD_CD ? EVENT.C_BAD_STE : id, access, fetchAddress);
      }
    },
  },
  'an ILLEGAL STE is used': {
    Fetcher: class extends smmu.Fetcher {
      override illegal(): boolean {
        return false;
      }
    },
  },
  'invalidations by address drop nothing': {
    TlbCommands: class extends smmu.TlbCommands {
      override byAddress(): number {
        return this.done();
      }
    },
  },
  'TLBI_NH_ASID drops nothing': {
    TlbCommands: class extends smmu.TlbCommands {
      override nhAsid(): number {
        return this.done();
      }
    },
  },
  'TLBI_NH_ALL drops nothing': {
    TlbCommands: class extends smmu.TlbCommands {
      override nhAll(): number {
        return this.done();
      }
    },
  },
  'TLBI_NH_VA drops every ASID': {
    TlbCommands: class extends smmu.TlbCommands {
      override nhVa(words: Uint32Array): number {
        return this.nhVaa(words);
      }
    },
  },
  'CFGI_CD drops nothing': {
    ConfigCache: class extends smmu.ConfigCache {
      override dropContext(): void {}
    },
  },
  'CFGI_STE drops nothing': {
    ConfigCache: class extends smmu.ConfigCache {
      override dropStreams(): void {}
    },
  },
  'a refused command is passed': {
    CommandQueue: class extends smmu.CommandQueue {
      override stopIndex(): number {
        return this.ring.after(this.ring.cons);
      }
    },
  },
  'a refused command has another code': {
    CommandQueue: class extends smmu.CommandQueue {
      override stop(): void {
        super.stop(2);
      }
    },
  },
};

const VECTORS = { vtd: vectorsOf('vtd'), smmuv3: vectorsOf('smmuv3') };

/** The first vector that finds the models out. */
function foundBy(backend: keyof typeof VECTORS, parts: OtherParts): string | undefined {
  const models = modelsWith(parts);
  return VECTORS[backend].find(({ vector }) => complaintOf(vector, models) !== null)?.name;
}

describe('QEMU’s frozen answers find out a model with one bug', () => {
  it('and have nothing to say of the models as they are', () => {
    expect([foundBy('vtd', {}), foundBy('smmuv3', {})]).toEqual([undefined, undefined]);
  });

  it.each(Object.entries(VTD))('VT-d: %s', (_name, vtd) => {
    expect(foundBy('vtd', { vtd })).toBeDefined();
  });

  it.each(Object.entries(SMMUV3))('SMMUv3: %s', (_name, smmuv3) => {
    expect(foundBy('smmuv3', { smmuv3 })).toBeDefined();
  });
});
