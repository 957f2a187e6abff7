import { type Order, RandomChooser, type Task } from '@iommukit/kernel';
import { ScenarioError } from './scenario-error.js';

/** Draws schedules, and notes which named steps happen: what an `order:` can refer to. */
export class StepRecorder extends RandomChooser {
  readonly steps: Set<string>;

  constructor(run: number, steps: Set<string>) {
    super(0, run);
    this.steps = steps;
  }

  passed({ name }: Task, step: string): void {
    this.steps.add(`${roleOf(name)}.${step}`);
  }
}

/** The part of a task's name that an order refers to: `fault-worker/1` is a `fault-worker`. */
export function roleOf(task: string): string {
  const slash = task.indexOf('/');
  return slash < 0 ? task : task.slice(0, slash);
}

/** @throws ScenarioError when an order names a task that is none of `tasks`; it lists them */
export function checkTasks(orders: readonly Order[], tasks: readonly string[]): void {
  const known = new Set(tasks.flatMap((name) => [name, roleOf(name)]));
  const stranger = orders.flat().find(({ task }) => !known.has(task));
  if (stranger === undefined) return;
  const roles = [...new Set(tasks.map(roleOf))].join(', ');
  throw new ScenarioError(`order: no task is called '${stranger.task}'; there are ${roles}`);
}

/** The steps that orders name of one task. */
export function stepsOf(orders: readonly Order[], task: string): ReadonlySet<string> {
  return new Set(
    orders
      .flat()
      .filter((wanted) => wanted.task === task)
      .map(({ step }) => step),
  );
}
