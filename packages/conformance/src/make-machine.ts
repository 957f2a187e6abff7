import { dmaEngine, dmaEngineDriver, dmaEnginePlatform, eduDriver } from '@iommukit/dma-engine';
import { assemble, type EndpointDescription, iommusOf, type Machine } from '@iommukit/machine';
import { resolveSettings, switchesOf } from '@iommukit/scenario';
import type { Candidate, ForeignMachine } from './candidate.js';
import { ConformanceError } from './checks.js';
import type { ConformanceTest, DeviceWish, MachineWish, Way } from './conformance-test.js';
import { KitOracles } from './kit-oracles.js';
import { supports } from './manifest.js';
import { PROBE_MODEL, type Probe, probeModules } from './probe.js';
import { capabilitiesWithout } from './two-units.js';

/** The first stream of platform devices. */
export const PLATFORM_STREAM = 0x40;
const PLATFORM_BASE = 0xa00_0000;
const PLATFORM_STRIDE = 0x10_0000;
const FIRST_ENGINE = 3;
const FIRST_PROBE = 5;

/** A machine before its boot, and what was plugged in. */
export interface BenchMachine {
  readonly machine: Machine;
  readonly oracles: KitOracles;
  readonly engineNames: readonly string[];
  readonly probeNames: readonly string[];
  readonly probes: ReadonlyMap<string, Probe>;
  readonly foreign: ForeignMachine | null;
}

/** Assembles the machine that a test wants, with the oracles watching. */
export function makeMachine(
  candidate: Candidate,
  { machine: wish = {}, ways }: ConformanceTest,
  way: Way | null,
): BenchMachine {
  const { platform, iommus, names: units } = unitsFor(candidate, wish);
  const engines = (wish.engines ?? (ways === undefined ? [] : [{}])).map((engine, i) =>
    describeEngine(engine, i, way, units),
  );
  const probes = (wish.probes ?? []).map(describeProbe);
  const { backend, parts = {} } = candidate;
  const foreign = candidate.hardware?.() ?? null;
  const modules = probeModules();
  const given = {
    ...candidate.settings,
    ...(wish.smallRequestQueue === true && candidate.smallRequestQueue?.settings),
    ...wish.settings,
  };
  let oracles: KitOracles | null = null;
  const machine = assemble({
    platform: foreign?.platform ?? platform,
    ...(foreign === null ? {} : { hardware: foreign.hardware }),
    overlay: { atsSupported: true, endpoints: [...engines, ...probes], iommu: candidate.capabilities ?? {}, iommus },
    iommuHardware: [withParts(backend.hardware, parts.hardware)],
    iommuDrivers: [withParts(backend.driver, parts.driver)],
    endpointHardware: [withParts(dmaEngine, parts.engine), modules.hardware],
    platformHardware: [withParts(dmaEnginePlatform, parts.engine)],
    endpointDrivers: [withParts(dmaEngineDriver, parts.engineDriver), eduDriver, modules.driver],
    coreParts: parts.core ?? {},
    settings: resolveSettings(switchesOf(backend), given),
    observe: (kernel, memory) => {
      oracles = new KitOracles(
        kernel,
        memory,
        new Set(probes.map(({ at }) => at)),
        supports(candidate.manifest, 'quietDeath'),
      );
      return oracles;
    },
  });
  if (wish.hostile === true) machine.kernel.trace.remove(oracles!.legalTrace);
  const names = (endpoints: readonly EndpointDescription[]): readonly string[] => endpoints.map(({ at }) => at);
  const [engineNames, probeNames] = [names(engines), names(probes)];
  return { machine, oracles: oracles!, engineNames, probeNames, probes: modules.made, foreign };
}

function withParts<M extends { readonly parts: object }>(module: M, parts: object = {}): M {
  return { ...module, parts: { ...module.parts, ...parts } };
}

/** Where things are, what the second unit can do, and the units' names where there are two. */
function unitsFor({ platform, twoUnits }: Candidate, { twoUnits: lack }: MachineWish) {
  if (lack === undefined) return { platform, iommus: {}, names: [] };
  if (twoUnits === undefined) throw new ConformanceError('the candidate has no machine with two units (twoUnits)');
  const first = iommusOf(twoUnits.platform).find(({ name }) => name !== twoUnits.second)!;
  const capabilities = lack === null ? null : capabilitiesWithout(twoUnits, lack);
  const iommus = { [twoUnits.second]: capabilities ?? {} };
  return { platform: twoUnits.platform, iommus, names: [first.name, twoUnits.second] };
}

function describeEngine(wish: DeviceWish, i: number, way: Way | null, units: readonly string[]): EndpointDescription {
  const {
    pasidBits = 20,
    ats = true,
    pri = way !== 'ats',
    prgPasidRequired = true,
    stall = true,
    prgCapacity = 32,
  } = wish;
  if (way !== 'stall') {
    const at = slot(FIRST_ENGINE + i);
    const usual = { pasidBits, ats, pri: pri && ats, prgPasidRequired, prgCapacity };
    const capabilities = way === 'copies' ? { pasidBits: 0, ats: false, pri: false } : usual;
    return { at, model: dmaEngine.model, capabilities, untrusted: wish.untrusted === true };
  }
  const at = `accelerator@${(PLATFORM_BASE + i * PLATFORM_STRIDE).toString(16)}`;
  const unit = units[i];
  return {
    at,
    model: dmaEngine.model,
    capabilities: {},
    streams: [PLATFORM_STREAM + (unit === undefined ? i : 0)],
    ...(unit === undefined ? {} : { iommu: unit }),
    pasidBits,
    stall,
  };
}

function describeProbe(wish: DeviceWish, i: number): EndpointDescription {
  const { pasidBits = 20, ats = true, pri = true, prgPasidRequired = true } = wish;
  const capabilities = { pasidBits, ats, pri: pri && ats, prgPasidRequired };
  return { at: slot(FIRST_PROBE + i), model: PROBE_MODEL, capabilities, untrusted: wish.untrusted === true };
}

function slot(device: number): string {
  return `0000:00:${device.toString(16).padStart(2, '0')}.0`;
}
