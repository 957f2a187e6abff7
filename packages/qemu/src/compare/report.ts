import type { Answers, CaseStep, CompareCase, MemoryPiece, Observation } from './case-format.js';
import type { Comparison } from './explain.js';
import { layoutNamed } from './layouts.js';
import { type CompareMachine, compareMachine } from './machine.js';

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const shown = (value: bigint | boolean | undefined): string =>
  value === undefined ? '-' : typeof value === 'bigint' ? hex(value) : String(value);

/** A case and what two performers say of it, for people: tables as the specification names their fields, and both traces. */
export function reportOf(what: CompareCase, ours: Answers, theirs: Answers, names: readonly [string, string]): string {
  const machine = compareMachine(what.machine)!;
  const lines = [`${what.machine}: ${what.note}`, '', 'memory'];
  for (const piece of what.memory) lines.push(...pieceLines(machine, piece));
  lines.push('', 'steps');
  what.steps.forEach((step, i) => {
    lines.push(`  ${String(i).padStart(3)} ${stepText(step)}`);
    if (step.do === 'store') lines.push(...pieceLines(machine, step).slice(1));
    lines.push(...observationLines(ours.steps[i] ?? {}, theirs.steps[i] ?? {}, names));
  });
  lines.push('  end', ...observationLines(ours.end, theirs.end, names));
  for (const address of [...new Set([...ours.memory.keys(), ...theirs.memory.keys()])].sort((a, b) => a - b)) {
    const [mine, other] = [ours.memory.get(address), theirs.memory.get(address)];
    if (mine === other) continue;
    lines.push(
      `  memory ${hex(address)}: ${names[0]} ${shown(mine)}, ${names[1]} ${shown(other)} (-: as software left it)`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** What is left of a comparison, a line each. */
export function differenceLines({ left }: Comparison, names: readonly [string, string]): readonly string[] {
  return left.map(({ step, field, ours, theirs }) => {
    const place = step < 0 ? 'at the end' : `after step ${step}`;
    return `${place}, ${field}: ${names[0]} ${shown(ours)}, ${names[1]} ${shown(theirs)}`;
  });
}

function pieceLines({ backend }: CompareMachine, { address, as, what, words }: MemoryPiece): string[] {
  const layout = layoutNamed(backend, as);
  const head = `  ${hex(address)} ${as}, ${what}: ${words.map(hex).join(' ')}`;
  if (layout === null || layout.bytes !== words.length * 8) return [head];
  const halves = Uint32Array.from(words.flatMap((word) => [Number(word & 0xffff_ffffn), Number(word >> 32n)]));
  const fields = layout
    .format(halves)
    .split('\n')
    .slice(1)
    .filter((line) => !/\s0(\s|$)/.test(line) && !/0x0+(\s|$)/.test(line));
  return [head, ...fields.map((line) => `      ${line.trim()}`)];
}

function stepText(step: CaseStep): string {
  switch (step.do) {
    case 'write':
      return `write ${step.register} ${hex(step.value)}`;
    case 'store':
      return `store ${hex(step.address)} ${step.as}, ${step.what}: ${step.words.map(hex).join(' ')}`;
    case 'queue':
      return `queue ${step.as}: ${step.words.map(hex).join(' ')}`;
    default:
      return `${step.device} ${step.access}s ${step.bytes} bytes at ${hex(step.iova)}`;
  }
}

function observationLines(ours: Observation, theirs: Observation, [mine, other]: readonly [string, string]): string[] {
  const fields = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])];
  if (fields.length === 0) return [];
  const same = fields.filter((field) => ours[field] === theirs[field]);
  const lines = same.length > 0 ? [`        ${same.map((field) => `${field} ${shown(ours[field])}`).join('  ')}`] : [];
  for (const field of fields) {
    if (ours[field] === theirs[field]) continue;
    lines.push(`      ! ${field}: ${mine} ${shown(ours[field])}, ${other} ${shown(theirs[field])}`);
  }
  return lines;
}
