import type { ConformanceTest } from './conformance-test.js';
import { ABSENT } from './suites/absent.js';
import { BIND, PASID_WIDTH } from './suites/bind.js';
import { COHERENCE_TESTS } from './suites/coherence.js';
import { DEVICE_TLB } from './suites/device-tlb.js';
import { DMA_DOMAINS, SEVERAL_DEVICES, SIDE_BY_SIDE } from './suites/dma-domains.js';
import { ENCODINGS } from './suites/encodings.js';
import { EXIT_TESTS } from './suites/exit.js';
import { FEATURE_ORDER } from './suites/feature-order.js';
import { HARDWARE } from './suites/hardware.js';
import { ISOLATION } from './suites/isolation.js';
import { LIFE_CYCLE } from './suites/life-cycle.js';
import { NO_MEMORY } from './suites/no-memory.js';
import { PAGE_FAULTS, STALLS } from './suites/page-faults.js';
import { OVERFLOW, PAGE_GROUPS, PAGE_REQUESTS } from './suites/page-groups.js';
import { SEVERAL_UNITS } from './suites/several-units.js';
import { SUPERVISOR } from './suites/supervisor.js';
import { HOSTILITY, TRANSLATION } from './suites/translation.js';
import { PROCESSES_WITHOUT_PASID } from './suites/without-pasid.js';

/** Every test of the kit. */
export const SUITE: readonly ConformanceTest[] = [
  ...LIFE_CYCLE,
  ...FEATURE_ORDER,
  ...BIND,
  ...PASID_WIDTH,
  ...PAGE_FAULTS,
  ...COHERENCE_TESTS,
  ...EXIT_TESTS,
  ...ISOLATION,
  ...NO_MEMORY,
  ...TRANSLATION,
  ...HOSTILITY,
  ...DEVICE_TLB,
  ...PAGE_REQUESTS,
  ...PAGE_GROUPS,
  ...OVERFLOW,
  ...STALLS,
  ...DMA_DOMAINS,
  ...SEVERAL_DEVICES,
  ...SIDE_BY_SIDE,
  ...PROCESSES_WITHOUT_PASID,
  ...HARDWARE,
  ...SUPERVISOR,
  ...SEVERAL_UNITS,
  ...ENCODINGS,
  ...ABSENT,
];
