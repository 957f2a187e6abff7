import type { Choices } from '../token.js';
import type { Chooser, Footprint, Task } from '../types.js';

/** Makes the choices of a token again. A choice that cannot be made refuses, and says where. */
export class ReplayChooser implements Chooser {
  readonly choices: Choices;
  asked = 0;
  at = 0;
  problem = '';

  constructor(choices: Choices) {
    this.choices = choices;
  }

  begin(): void {
    this.asked = 0;
    this.at = 0;
    this.problem = '';
  }

  pick(_current: Task | null, ready: readonly Task[], _next: Footprint, fair: Task): number {
    const n = this.asked++;
    const planned = this.choices[this.at];
    if (planned === undefined || planned[0] !== n) return ready.indexOf(fair);
    this.at++;
    if (planned[1] < ready.length) return planned[1];
    const names = ready.map((task) => task.name).join(', ');
    this.problem = `choice ${n} takes task ${planned[1]} of the runnable ones, but only ${ready.length} are runnable (${names})`;
    return -1;
  }

  /** Choices of the token that the run never came to: if there are any, the token is of other code. */
  unmade(): number {
    return this.choices.length - this.at;
  }

  refusal(): string {
    return this.problem;
  }
}
