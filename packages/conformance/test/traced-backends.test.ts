import type { Backend } from '@iommukit/scenario';
import { describe, expect, it } from 'vitest';
import { REFERENCE, referenceCandidate } from '../reference/candidate.js';
import { type BackendManifest, type Candidate, conformance } from '../src/index.js';
import { SMMUV3, smmuv3Candidate } from './smmuv3.js';
import { tracedBackend } from './traced-agent.js';
import { VTD, vtdCandidate } from './vtd.js';

/** Backends that know nothing of being wrapped, and what their observers cannot see through the wrapper. */
const WRAPPED: readonly {
  readonly manifest: BackendManifest;
  readonly create: (given: Partial<Candidate>) => Candidate;
}[] = [
  { manifest: { ...SMMUV3, encodings: 'the queue is inside the wrapper' }, create: smmuv3Candidate },
  {
    manifest: {
      ...VTD,
      supervisorPasid: 'the wrapper does not have the call',
      encodings: 'the queue is inside the wrapper',
    },
    create: vtdCandidate,
  },
  { manifest: REFERENCE, create: referenceCandidate },
];

/** Everything that the kit asks a whole backend. Answers go past the wrapper: the fault queue knows the inner driver. */
const ASKED = [
  ...['start', 'probeDevice', 'releaseDevice', 'enable', 'disable', 'bind', 'unbind'],
  ...['allocDomain', 'freeDomain', 'attach', 'detach', 'map', 'unmap', 'iovaToPhys'],
  ...['connect', 'translate', 'read', 'write', 'translation-request', 'page-request', 'invalidate-completion'],
];

describe.each(WRAPPED)('driver and hardware of $manifest.name behind wrappers', ({ manifest, create }) => {
  const calls: string[] = [];
  const asked = new Set<string>();
  conformance({
    test: (name, body) =>
      it(name, () => {
        body();
        for (const call of calls.splice(0)) asked.add(call);
      }),
    create: () => {
      const backend: Backend = tracedBackend(create({}).backend, calls);
      return create({ backend, manifest });
    },
    schedules: 1,
  });

  it('are asked everything that the interfaces have', () => {
    expect(ASKED.filter((call) => !asked.has(call))).toEqual([]);
  });
});
