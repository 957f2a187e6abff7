import type { TraceEvent, TraceSink } from '@iommukit/kernel';
import type { Paint } from './paint.js';

/** Columns of the timeline; the rest of the 100 is the event's fields. */
const STEP = 6;
const ACTOR = 15;
const EVENT = 19;
const WIDTH = 100;

/** Prints a run for people: one line an event, in columns by step, actor and event. */
export class Timeline implements TraceSink {
  readonly print: (line: string) => void;
  readonly paint: Paint;
  readonly wanted: (event: string) => boolean;

  constructor(print: (line: string) => void, paint: Paint, wanted: (event: string) => boolean) {
    this.print = print;
    this.paint = paint;
    this.wanted = wanted;
  }

  /** The head of the columns. */
  head(): void {
    this.print(this.paint.dim(`${'step'.padStart(STEP)}  ${'actor'.padEnd(ACTOR)} ${'event'.padEnd(EVENT)} what`));
  }

  wants(event: string): boolean {
    return this.wanted(event);
  }

  event({ step, task, point, record }: TraceEvent): void {
    const { paint } = this;
    const room = WIDTH - STEP - ACTOR - EVENT - 4;
    const [first = '', ...more] = wrap(point.format(record), room);
    const actor = clip(task, ACTOR).padEnd(ACTOR);
    const event = clip(point.name, EVENT).padEnd(EVENT);
    this.print(
      `${paint.dim(String(step).padStart(STEP))}  ${paint.cyan(actor)} ${this.emphasis(point.name)(event)} ${first}`,
    );
    for (const line of more) this.print(`${' '.repeat(STEP + ACTOR + EVENT + 4)}${line}`);
  }

  emphasis(event: string): (text: string) => string {
    const { paint } = this;
    if (event === 'dev_fault') return paint.yellow;
    if (event === 'dev_page_response') return paint.green;
    if (event.endsWith('_mm_release') || event.endsWith('_mm_invalidate')) return paint.magenta;
    return paint.bold;
  }
}

function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

/** Breaks at blanks, so that no line is longer than `width` unless one word is. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return [...lines, line];
}
