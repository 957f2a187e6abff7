import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cases as bitfield } from './bitfield.mjs';
import { cases as bonds } from './bonds.mjs';
import { cBound } from './bound.mjs';
import { cases as firmware } from './firmware.mjs';
import { cases as life } from './life.mjs';
import { absence as noQemu, cases as qemu } from './qemu.mjs';
import { cases as translate } from './translate.mjs';

const USAGE = `usage: pnpm bench [--json] [name …]
Measures what things cost, as medians with spread, and as ratios to the same work in C where there is a C compiler.
--json prints one object a line: {name, medianNs, minNs, maxNs, ratioToC}; where it is no time, {name, unit, median, min, max}.
Names without a backend mean the SMMUv3, or none; vtd:name is the same on VT-d.
Cases of QEMU are left out where there is none, unless they are named.`;

/** Columns of the names. */
const WIDTH = 26;
/** What the parent passes to a child that measures one case. */
const CASE = '--measure-one';
const all = { ...translate, ...life, ...bonds, ...bitfield, ...firmware, ...qemu };
const given = process.argv.slice(2).filter((word) => word !== '--');
const flags = given.filter((word) => word.startsWith('-'));
const names = given.filter((word) => !word.startsWith('-'));
const unknown = [
  ...flags.filter((flag) => flag !== '--json' && flag !== '--help'),
  ...names.filter((name) => !(name in all)),
];

if (process.argv[2] === CASE) console.log(JSON.stringify(await all[process.argv[3]]()));
else if (flags.includes('--help')) console.log(`${USAGE}\nnames: ${Object.keys(all).join(', ')}`);
else if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(', ')}\n${USAGE}\nnames: ${Object.keys(all).join(', ')}`);
  process.exitCode = 2;
} else run(names.length > 0 ? names : whatIsHere(), flags.includes('--json'));

/** Every case but those of programs that are not here. */
function whatIsHere() {
  const why = noQemu();
  if (why === null) return Object.keys(all);
  console.error(`without cases of QEMU: ${why}`);
  return Object.keys(all).filter((name) => !(name in qemu));
}

function run(chosen, json) {
  const bound = chosen.some((name) => name in translate) ? cBound() : null;
  if (!json)
    console.log(
      `${'case'.padEnd(WIDTH)}${['median', 'min', 'max', 'C', 'ratio'].map((head) => head.padStart(12)).join('')}`,
    );
  for (const name of chosen) {
    const result = alone(name);
    const line =
      'unit' in result ? quantity(name, result) : duration(name, result, bound?.get(name.replace('vtd:', '')) ?? null);
    if (json) console.log(JSON.stringify(line.fields));
    else console.log(`${name.padEnd(WIDTH)}${line.columns.map((column) => column.padStart(12)).join('')}`);
  }
}

/** A time, and its ratio to the same work in C. */
function duration(name, { medianNs, minNs, maxNs }, c) {
  const ratioToC = c === null ? null : round(medianNs / c);
  return {
    fields: { name, medianNs: round(medianNs), minNs: round(minNs), maxNs: round(maxNs), ratioToC },
    columns: [
      ...[medianNs, minNs, maxNs, c].map((ns) => (ns === null ? '-' : text(ns))),
      ratioToC === null ? '-' : `${ratioToC}`,
    ],
  };
}

/** What is no time: bytes (B), or a ratio (×). */
function quantity(name, { unit, medianNs: median, minNs: min, maxNs: max }) {
  const values = [median, min, max].map(round);
  return {
    fields: { name, unit, median: values[0], min: values[1], max: values[2] },
    columns: [...values.map((value) => `${value} ${unit}`), '-', '-'],
  };
}

/** Measures a case in a process of its own: what one case taught the compiler does not slow the next one down. */
function alone(name) {
  const script = fileURLToPath(import.meta.url);
  const child = spawnSync(process.execPath, ['--expose-gc', script, CASE, name], { encoding: 'utf8' });
  if (child.status === 0) return JSON.parse(child.stdout);
  throw new Error(`${name} failed:\n${child.stderr}`);
}

function text(ns) {
  if (ns >= 10_000_000) return `${(ns / 1e6).toFixed(1)} ms`;
  if (ns >= 10_000) return `${(ns / 1000).toFixed(1)} µs`;
  return ns >= 1000 ? `${(ns / 1000).toFixed(2)} µs` : `${ns.toFixed(1)} ns`;
}

function round(value) {
  return Math.round(value * 100) / 100;
}
