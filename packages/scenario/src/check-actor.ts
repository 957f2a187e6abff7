import { ScenarioError } from './scenario-error.js';
import type { Scenario, Step } from './schema.js';
import type { YamlPlaces } from './yaml-places.js';

/** Steps that need an open device. */
const WITH_DEVICE: ReadonlySet<Step['do']> = new Set(['map-device', 'bind', 'submit', 'wait', 'unbind', 'close']);

/**
 * Checks what a schema cannot: that an actor's steps fit each other and the platform.
 * @throws ScenarioError at the step's place
 */
export function checkActor(scenario: Scenario, actor: string, places: YamlPlaces): void {
  const steps = scenario.actors[actor]!;
  const check = new ActorCheck(scenario);
  steps.forEach((step, i) => {
    const problem = check.problem(step) ?? (step.do === 'exit' && i < steps.length - 1 ? LAST : null);
    if (problem !== null) throw new ScenarioError(`${places.at(['actors', actor, i])}: ${problem}`);
  });
}

const LAST = "exit is a process's last step; move it to the end";

/** What is open and mapped while one goes through an actor's steps. */
class ActorCheck {
  readonly devices: readonly string[];
  /** Pages by buffer. */
  readonly buffers = new Map<string, number>();
  open = false;

  constructor({ platform }: Scenario) {
    this.devices = platform.endpoints.map(({ at }) => at);
  }

  /** What is wrong with the next step, or null. */
  problem(step: Step): string | null {
    if (WITH_DEVICE.has(step.do) && !this.open) return `${step.do} needs an open device; put '- open: …' before it`;
    const buffer = namesOf(step).find((name) => !this.buffers.has(name));
    if (buffer !== undefined)
      return `'${buffer}' is not mapped here; put '- mmap: { buffer: ${buffer}, pages: … }' before it`;
    switch (step.do) {
      case 'open':
        return this.opens(step.device);
      case 'close':
        this.open = false;
        return null;
      case 'mmap':
        return this.maps(step.buffer, step.pages);
      case 'munmap':
        return this.unmaps(step);
      case 'submit':
        return jobProblem(step);
      case 'expect':
        return this.expects(step);
      default:
        return null;
    }
  }

  opens(device: string): string | null {
    if (this.open) return 'a device is open already; close it first';
    if (!this.devices.includes(device))
      return `no device is at ${device}; platform.endpoints has: ${this.devices.join(', ') || 'none'}`;
    this.open = true;
    return null;
  }

  maps(buffer: string, pages: number): string | null {
    if (this.buffers.has(buffer)) return `'${buffer}' is mapped already; give this buffer another name`;
    this.buffers.set(buffer, pages);
    return null;
  }

  unmaps({ buffer, first, pages }: Extract<Step, { do: 'munmap' }>): string | null {
    const has = this.buffers.get(buffer)!;
    if (first + (pages ?? 1) <= has) return null;
    return `'${buffer}' has ${has} page${has === 1 ? '' : 's'}, numbered from 0: first and pages reach beyond its end`;
  }

  expects({ buffer, equals, byte }: Extract<Step, { do: 'expect' }>): string | null {
    if ((equals === undefined) === (byte === undefined)) return 'expect needs either equals: or byte:';
    if (equals === undefined || this.buffers.get(equals) === this.buffers.get(buffer)) return null;
    return `'${buffer}' and '${equals}' differ in size, so they are never equal`;
  }
}

function jobProblem({ op, from, to }: Extract<Step, { do: 'submit' }>): string | null {
  if (op !== 'fill' && from === undefined) return `a ${op} job needs from:`;
  if (op !== 'checksum' && to === undefined) return `a ${op} job needs to:`;
  return null;
}

/** The buffers that a step uses. */
function namesOf(step: Step): readonly string[] {
  if (step.do === 'fill' || step.do === 'munmap') return [step.buffer];
  const names = step.do === 'submit' ? [step.from, step.to] : step.do === 'expect' ? [step.buffer, step.equals] : [];
  return names.filter((name) => name !== undefined);
}
