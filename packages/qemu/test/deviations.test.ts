import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEVIATIONS, type Deviation } from '../src/index.js';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const cell = (text: string): string => text.replaceAll('|', '\\|');

/** A deviation's row in the README. */
const rowOf = ({ id, title, specification, reason }: Deviation): string =>
  `| \`${id}\` | ${cell(title)} | ${cell(specification)} | ${cell(reason)} |`;

describe('the list of deviations', () => {
  it('names each once, after its backend', () => {
    const ids = DEVIATIONS.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^(vtd|smmu)(-[a-z]+)+$/);
  });

  it.each(DEVIATIONS)('$id says what the specification says, where, and why the models stay', (deviation) => {
    const { title, specification, reason, explains, skips } = deviation;
    expect(title).toContain('QEMU');
    expect(specification).toMatch(/^(vtd|smmuv3)\.md \d[\d., and:A-Z-]*.*: /);
    expect(reason).not.toBe('');
    expect(explains ?? skips).toBeTypeOf('function');
  });

  it('is the README’s', () => {
    const rows = README.split('\n').filter((line) => /^\| `(vtd|smmu)-[a-z-]+` \| .*QEMU/.test(line));
    expect(rows).toEqual(DEVIATIONS.map(rowOf));
  });
});
