import { ScenarioError } from './scenario-error.js';
import type { Scenario, Step } from './schema.js';
import { startedActors } from './started-actors.js';
import type { YamlPlaces } from './yaml-places.js';

/** Steps that need an open device. */
const WITH_DEVICE: ReadonlySet<Step['do']> = new Set([
  'map-device',
  'bind',
  'submit',
  'stop',
  'wait',
  'unbind',
  'close',
  'dma-attach',
  'supervisor-bind',
]);
/** Steps that need a DMA domain. */
const WITH_DOMAIN: ReadonlySet<Step['do']> = new Set(['dma-map', 'dma-unmap', 'dma-detach']);

/** Steps that need the kernel's own addresses. */
const WITH_SUPERVISOR: ReadonlySet<Step['do']> = new Set(['supervisor-map', 'supervisor-unmap']);

/**
 * Checks what a schema cannot: that the actors' steps fit each other and the platform.
 * @throws ScenarioError at the step's place
 */
export function checkActors(scenario: Scenario, places: YamlPlaces): void {
  const started = startedActors(scenario);
  const roots = Object.keys(scenario.actors).filter((actor) => !started.has(actor));
  if (roots.length === 0) {
    throw new ScenarioError(`${places.at(['actors'])}: every actor is started by another one, so none ever begins`);
  }
  const done = new Set<string>();
  for (const actor of roots) checkActor(scenario, actor, new ActorCheck(scenario), places, done);
  const stray = Object.keys(scenario.actors).find((actor) => !done.has(actor));
  if (stray !== undefined) {
    throw new ScenarioError(
      `${places.at(['actors', stray])}: '${stray}' is only started by itself, so it never begins`,
    );
  }
}

/** Checks one actor, and those that it starts with what they inherit. */
function checkActor(scenario: Scenario, actor: string, check: ActorCheck, places: YamlPlaces, done: Set<string>): void {
  done.add(actor);
  const steps = scenario.actors[actor]!;
  steps.forEach((step, i) => {
    const fail = (problem: string): never => {
      throw new ScenarioError(`${places.at(['actors', actor, i])}: ${problem}`);
    };
    const problem = check.problem(step) ?? (step.do === 'exit' && i < steps.length - 1 ? LAST : null);
    if (problem !== null) fail(problem);
    if (step.do !== 'fork' && step.do !== 'thread') return;
    if (scenario.actors[step.child] === undefined) fail(`no actor is called '${step.child}'`);
    if (done.has(step.child)) fail(`'${step.child}' is started already; give this child another name`);
    checkActor(scenario, step.child, check.child(step.do), places, done);
  });
}

const LAST = "exit is a process's last step; move it to the end";

/** What is open and mapped while one goes through an actor's steps. */
class ActorCheck {
  readonly scenario: Scenario;
  readonly devices: readonly string[];
  /** Pages by buffer. */
  readonly buffers = new Map<string, number>();
  readonly children = new Set<string>();
  open = false;
  domain = false;
  supervisor = false;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.devices = scenario.platform.endpoints.map(({ at }) => at);
  }

  /** What a child begins with; a thread opens devices of its own. */
  child(step: 'fork' | 'thread'): ActorCheck {
    const check = new ActorCheck(this.scenario);
    for (const [buffer, pages] of this.buffers) check.buffers.set(buffer, pages);
    check.open = step === 'fork' && this.open;
    return check;
  }

  /** What is wrong with the next step, or null. */
  problem(step: Step): string | null {
    if (WITH_DEVICE.has(step.do) && !this.open) return `${step.do} needs an open device; put '- open: …' before it`;
    if (WITH_DOMAIN.has(step.do) && !this.domain) return `${step.do} needs a DMA domain; put '- dma-attach' before it`;
    if (WITH_SUPERVISOR.has(step.do) && !this.supervisor)
      return `${step.do} needs the kernel's own addresses; put '- supervisor-bind' before it`;
    const buffer = namesOf(step).find((name) => !this.buffers.has(name));
    if (buffer !== undefined)
      return `'${buffer}' is not mapped here; put '- mmap: { buffer: ${buffer}, pages: … }' before it`;
    switch (step.do) {
      case 'open':
        return this.opens(step.device);
      case 'close':
        this.open = false;
        this.supervisor = false;
        return null;
      case 'supervisor-bind':
        this.supervisor = step.refused === undefined;
        return null;
      case 'unbind':
        this.supervisor = false;
        return null;
      case 'dma-attach':
        this.domain = true;
        return null;
      case 'dma-detach':
        this.domain = false;
        return null;
      case 'mmap':
      case 'dma-map':
      case 'supervisor-map':
        return this.maps(step.buffer, step.pages);
      case 'read':
      case 'munmap':
      case 'mprotect':
      case 'madvise':
      case 'migrate':
      case 'reclaim':
        return this.reaches(step);
      case 'mremap':
        this.buffers.set(step.buffer, step.pages);
        return null;
      case 'submit':
        return jobProblem(step);
      case 'expect':
        return this.expects(step);
      case 'fork':
      case 'thread':
        this.children.add(step.child);
        return null;
      case 'join':
        return this.children.has(step.child)
          ? null
          : `'${step.child}' is no child of this actor; put '- fork: ${step.child}' before it`;
      case 'exec':
        this.buffers.clear();
        return null;
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

  reaches({
    buffer,
    first,
    pages,
  }: {
    readonly buffer: string;
    readonly first: number;
    readonly pages?: number | undefined;
  }): string | null {
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
  if (step.do === 'mmap' || step.do === 'dma-map' || step.do === 'supervisor-map') return [];
  if (step.do === 'submit') return [step.from, step.to].filter((name) => name !== undefined);
  if (step.do === 'expect') return [step.buffer, step.equals].filter((name) => name !== undefined);
  return 'buffer' in step ? [step.buffer] : [];
}
