import { bundleTests, literalTests, type TestBundle } from './bundle-tests.js';
import { type Flip, flippedBitfield, flipsOf } from './flipped-bitfield.js';
import { TestRunner } from './test-runner.js';

/** How the literal tests of one package do against its declarations with one field moved. */
export interface FlipReport {
  readonly package: string;
  /** Tests that were there to catch. */
  readonly tests: number;
  /** Fields that were moved, one after the other. */
  readonly fields: number;
  /** Those that no test noticed. */
  readonly survivors: readonly Flip[];
  /** Fields that were caught, in percent. */
  readonly percent: number;
}

/** Moves each field of a package's declarations by one, and runs its literal tests each time. Throws when they fail as it is. */
export async function reportFlips(name: string, folder: string): Promise<FlipReport> {
  const bundle = await bundleTests(literalTests(folder), folder);
  const { layouts, tests, failure } = await runTests(bundle, null);
  if (failure !== null) throw new Error(`${name}: ${failure.test} fails already: ${failure.error}`);
  const flips = flipsOf(layouts);
  const survivors: Flip[] = [];
  let catcher = '';
  for (const flip of flips) {
    const { failure: caught } = await runTests(bundle, flip, catcher);
    if (caught === null) survivors.push(flip);
    else catcher = caught.test;
  }
  const fields = flips.length;
  const percent = fields === 0 ? 0 : (100 * (fields - survivors.length)) / fields;
  return { package: name, tests, fields, survivors, percent };
}

/** Runs the tests until one fails; what caught the field before often catches the next, so it is the first. */
async function runTests(bundle: TestBundle, flip: Flip | null, catcher = '') {
  const { exports, layouts } = flippedBitfield(flip);
  const runner = new TestRunner();
  const modules: Readonly<Record<string, unknown>> = { vitest: runner.exports, '@iommukit/bitfield': exports };
  try {
    bundle((name) => modules[name]);
  } catch (error) {
    // A value that a file of tests makes does not fit where the field is now.
    return { layouts, tests: 0, failure: { test: 'loading', error } };
  }
  return { layouts, tests: runner.tests.length, failure: await runner.firstFailure(catcher) };
}

/** The report as text: a line a package, then what survived. */
export function printFlips(reports: readonly FlipReport[], least: number): string[] {
  const width = Math.max(0, ...reports.map((report) => report.package.length));
  const lines = reports.map(({ package: name, fields, survivors, percent }) => {
    const caught = `${fields - survivors.length} of ${fields} moved fields caught`;
    const verdict = percent < least ? `, at least ${least} % are wanted` : '';
    return `${name.padEnd(width)}  ${caught} (${percent.toFixed(1)} %)${verdict}`;
  });
  const survived = reports.flatMap(({ package: name, survivors }) =>
    survivors.map(({ structure, key, hi, lo, by }) => {
      const moved = `[${hi}:${lo}] to [${hi + by}:${lo + by}]`;
      return `  ${name}: ${structure}.${key} moved from ${moved}`;
    }),
  );
  return survived.length === 0 ? lines : [...lines, '', 'No test notices:', ...survived];
}
