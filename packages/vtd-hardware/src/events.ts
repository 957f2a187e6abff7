import { FEADDR, FECTL, FEDATA, ICS, IEADDR, IECTL, IEDATA, PEADDR, PECTL, PEDATA, PRS } from '@iommukit/vtd-spec';
import type { Vtd } from './device.js';
import { FSTS_BIT } from './register-map.js';

/** The three events of a unit, by the platform's names of their lines. */
export type EventName = 'fault' | 'invalidation' | 'page-request';

const { PFO, PPF, IQE, ICE, ITE, PRO } = FSTS_BIT;
const IM = FECTL.f.im.maskLo;
const IP = FECTL.f.ip.maskLo;
/** Offset of FSTS: the causes of fault events. */
const FSTS_AT = 0x34;

/** Where an event's registers are, and which status bits are its causes. */
const BLOCKS = {
  fault: {
    control: FECTL.offset,
    data: FEDATA.offset,
    address: FEADDR.offset,
    status: FSTS_AT,
    causes: PFO | PPF | IQE | ICE | ITE | PRO,
  },
  invalidation: {
    control: IECTL.offset,
    data: IEDATA.offset,
    address: IEADDR.offset,
    status: ICS.offset,
    causes: ICS.f.iwc.maskLo,
  },
  'page-request': {
    control: PECTL.offset,
    data: PEDATA.offset,
    address: PEADDR.offset,
    status: PRS.offset,
    causes: PRS.f.ppr.maskLo | PRS.f.pro.maskLo,
  },
} as const satisfies Record<EventName, Record<string, number>>;

/** Messages to 0xfeexxxxx are interrupts. */
const INTERRUPTS = 0xfee;

/** The three MSI-like event blocks (vtd.md 1.1): while IM=1 an event is held in IP, and its message is sent when IM is cleared. */
export class Events {
  readonly vtd: Vtd;

  constructor(vtd: Vtd) {
    this.vtd = vtd;
  }

  /** An event fires. What it reports is in memory and in the registers before. */
  raise(name: EventName): void {
    const { registers } = this.vtd;
    const { control } = BLOCKS[name];
    const now = registers.get(control);
    if ((now & IM) !== 0) registers.put(control, (now | IP) >>> 0);
    else this.send(name);
  }

  /** Software wrote a status register: an event whose causes are all gone is held no more. */
  settle(name: EventName): void {
    const { registers } = this.vtd;
    const { control, status, causes } = BLOCKS[name];
    if ((registers.get(status) & causes) !== 0) return;
    const now = registers.get(control);
    if ((now & IP) !== 0) registers.put(control, (now & ~IP) >>> 0);
  }

  /** Software wrote the control register: an unmasked event that is held is sent. */
  controlWritten(name: EventName): void {
    const { registers } = this.vtd;
    const { control } = BLOCKS[name];
    const now = registers.get(control);
    if ((now & IM) !== 0 || (now & IP) === 0) return;
    registers.put(control, (now & ~IP) >>> 0);
    this.send(name);
  }

  /** The message: an interrupt where its address is one, else a write, which is lost where nothing takes it. */
  send(name: EventName): void {
    const { registers, place, bus } = this.vtd;
    const { address, data } = BLOCKS[name];
    const to = registers.get(address);
    if (to >>> 20 === INTERRUPTS) place.irq(name).pulse();
    else if (bus.memory.contains(to) || bus.claimOf(to)?.widths.includes(4) === true) {
      bus.store32(to, registers.get(data));
    }
  }
}
