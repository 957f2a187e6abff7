import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ReadmeExample, readmeExample } from '../readme.js';
import type { WorkspacePackage } from '../workspace.js';
import type { Consumer, Tarballs } from './consumer.js';
import type { Report } from './report.js';

const EVERY_PACKAGE_EXPORTS = `
for (const [name, seen] of Object.entries(all)) {
  const count = Object.keys(seen).filter((key) => key !== 'default' && key !== 'module.exports').length;
  if (count === 0) throw new Error(name + ' exports nothing');
}
`;

const exampleName = (name: string) => `example-${name.replace(/^@[^/]+\//, '')}`;

/** A stranger who installs everything: its exports, the examples of its READMEs, and the command. */
export class WholeConsumer {
  readonly packages: readonly WorkspacePackage[];
  readonly consumer: Consumer;
  readonly report: Report;

  constructor(packages: readonly WorkspacePackage[], consumer: Consumer, report: Report) {
    this.packages = packages;
    this.consumer = consumer;
    this.report = report;
  }

  rehearse(tarballs: Tarballs): void {
    const { consumer, report } = this;
    const names = this.packages.map(({ name }) => name);
    consumer.install(names, tarballs);
    report.done('installed into an empty npm project');
    this.writeImports(names);
    this.writeExamples(names);
    consumer.compile();
    report.done('a TypeScript consumer, ESM and CJS, and every example of a README type-check');
    consumer.run('node', ['out/consumer.mjs']);
    consumer.run('node', ['out/consumer.cjs']);
    report.done('an ESM and a CJS consumer see the exports of every package');
    for (const item of this.packages) this.runExample(item);
    report.done('every example prints what its README says');
    this.tryCommand();
    report.done('the command works');
  }

  writeImports(names: readonly string[]): void {
    const all = `const all: Record<string, object> = { ${names.map((name, i) => `'${name}': p${i}`).join(', ')} };`;
    const imports = names.map((name, i) => `import * as p${i} from '${name}';`).join('\n');
    const requires = names.map((name, i) => `import p${i} = require('${name}');`).join('\n');
    this.consumer.write('src/consumer.mts', `${imports}\n${all}${EVERY_PACKAGE_EXPORTS}`);
    this.consumer.write('src/consumer.cts', `${requires}\n${all}${EVERY_PACKAGE_EXPORTS}`);
  }

  writeExamples(names: readonly string[]): void {
    for (const name of names) {
      const shown = this.example(name);
      if (shown !== null) this.consumer.write(`src/${exampleName(name)}.mts`, shown.code);
    }
  }

  /** The example in the README of an installed package; null, and a problem, when there is none. */
  example(name: string): ReadmeExample | null {
    try {
      return readmeExample(readFileSync(join(this.consumer.at(name), 'README.md'), 'utf8'));
    } catch (error) {
      this.report.problem(`${name}: ${(error as Error).message}`);
      return null;
    }
  }

  /** Runs an example against the installed packages; files that it reads are those of its own package. */
  runExample({ name, folder }: WorkspacePackage): void {
    const file = join(this.consumer.folder, `out/${exampleName(name)}.mjs`);
    if (!existsSync(file)) return;
    const output = this.consumer.shell.run(folder, 'node', [file]);
    const lines = output.split('\n').map((line) => line.trimEnd());
    if (lines.join('\n').trimEnd() !== this.example(name)?.printed.join('\n').trimEnd()) {
      this.report.problem(`the example of ${name} prints something else than its README says:\n${output}`);
    }
  }

  tryCommand(): void {
    const { consumer } = this;
    const version = consumer.versionOf('iommukit');
    const printed = consumer.run('npx', ['--no-install', 'iommukit', '--version']).trim();
    if (printed !== version) this.report.problem(`iommukit --version prints ${printed}, but it is ${version}`);
    consumer.run('npx', ['--no-install', 'iommukit', 'run', '--list']);
    consumer.run('npx', ['--no-install', 'iommukit', 'run', 'buffer-job']);
  }
}
