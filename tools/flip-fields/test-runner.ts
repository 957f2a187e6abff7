import { format } from 'node:util';
import { expect } from 'vitest';

/** A test as its file gives it. */
interface CollectedTest {
  readonly name: string;
  readonly run: () => unknown;
}

type Body = (...args: unknown[]) => unknown;

/**
 * As much of vitest as tests of declarations use, without a process, a file or a report for each run: `describe` and `it`
 * with `each`, and the real `expect`.
 */
export class TestRunner {
  readonly tests: CollectedTest[] = [];
  readonly groups: string[] = [];

  /** What `import … from 'vitest'` gives. */
  get exports(): Readonly<Record<string, unknown>> {
    const describe = (name: string, body: Body) => this.group(name, body);
    const it = (name: string, body: Body) => this.add(name, body);
    return {
      expect,
      describe: Object.assign(describe, { each: eachOf(describe) }),
      it: Object.assign(it, { each: eachOf(it) }),
      test: Object.assign(it, { each: eachOf(it) }),
    };
  }

  group(name: string, body: Body): void {
    this.groups.push(name);
    body();
    this.groups.pop();
  }

  add(name: string, run: () => unknown): void {
    this.tests.push({ name: [...this.groups, name].join(' › '), run });
  }

  /** Runs until a test fails, the one of this name first; returns its name and why, or null when all pass. */
  async firstFailure(likely: string): Promise<{ readonly test: string; readonly error: unknown } | null> {
    const first = this.tests.filter(({ name }) => name === likely);
    for (const { name, run } of [...first, ...this.tests.filter((test) => !first.includes(test))]) {
      try {
        await run();
      } catch (error) {
        return { test: name, error };
      }
    }
    return null;
  }
}

/** `each` as vitest has it: a row that is an array is spread. */
function eachOf(add: (name: string, body: Body) => void) {
  return (rows: readonly unknown[]) => (name: string, body: Body) => {
    for (const row of rows) {
      const args = Array.isArray(row) ? row : [row];
      const count = name.match(/%[sdioj]/g)?.length ?? 0;
      add(format(name, ...args.slice(0, count)), () => body(...args));
    }
  };
}
