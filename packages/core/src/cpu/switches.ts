import type { Switches } from '@iommukit/kernel';

/** The `--set` switches of the CPUs. */
export const cpuSwitches: Switches = {
  btm: {
    values: ['off', 'on'],
    rule: 'MN-15',
    help: 'CPUs broadcast their TLB maintenance, and the IOMMU follows it',
  },
  'cpu-el2': {
    values: ['off', 'on'],
    rule: 'TLB-9',
    help: "the CPUs' kernel runs at EL2 (VHE), where its broadcasts reach streams of that exception level only",
  },
  asids: {
    values: { type: 'number', default: 0 },
    rule: 'ASID-6',
    help: 'how many ASIDs there are, number 0 included; 0: as many as their width allows. A few make them roll over',
  },
  cpus: {
    values: { type: 'number', default: 2 },
    rule: 'ASID-8',
    help: 'CPUs of the machine, each with a TLB and an active ASID',
  },
  'hw-af-dirty': {
    values: ['off', 'on'],
    rule: 'PF-10',
    help: 'hardware sets the Access flag and the dirty state of entries by itself, as x86 CPUs always do',
  },
};
