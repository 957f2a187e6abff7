import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readmeExample } from './readme.js';
import { runExample } from './readme-example.js';

const fixture = (name: string) => new URL(`./fixtures/readme/${name}/README.md`, import.meta.url);
const example = (name: string) => readmeExample(readFileSync(fixture(name), 'utf8'));

describe('the README example runner', () => {
  it('runs the first ts block and finds every printed line in its comments', async () => {
    expect(example('good').printed).toEqual(['sum 6', 'two', 'lines']);
    expect(await runExample(fixture('good'), example('good'))).toEqual(example('good').printed);
  });

  it('shows the difference when the example prints something else', async () => {
    expect(await runExample(fixture('wrong'), example('wrong'))).not.toEqual(example('wrong').printed);
  });

  it('fails when the README has no ts block', () => {
    expect(() => example('none')).toThrow('no example');
  });

  it('fails when the example cannot be loaded', async () => {
    await expect(runExample(fixture('throws'), example('throws'))).rejects.toThrow('no-such-package');
  });
});
