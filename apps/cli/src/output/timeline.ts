import type { TraceEvent, TraceSink } from '@iommukit/kernel';
import { eventWords } from './event-words.js';
import type { Paint } from './paint.js';
import { shortTasks } from './short-names.js';
import { WIDTH, wrap } from './wrap.js';

/** With more actors than this, the lanes would take the room that the words need. */
const MAX_LANES = 12;
const GAP = '  ';

/** A run for people: one line an event, in columns by step, actor and event; one lane of dots for each actor. */
export class Timeline implements TraceSink {
  readonly paint: Paint;
  readonly events: TraceEvent[] = [];

  constructor(paint: Paint) {
    this.paint = paint;
  }

  event(event: TraceEvent): void {
    this.events.push(event);
  }

  /** The whole table, in columns as wide as they need to be. */
  text(): string {
    const tasks = [...new Set(this.events.map(({ task }) => task))];
    const names = shortTasks(tasks);
    const widths = {
      step: widest(['step', ...this.events.map(({ step }) => String(step))]),
      lanes: tasks.length > MAX_LANES ? 0 : tasks.length,
      actor: widest(['actor', ...names.values()]),
      event: widest(['event', ...this.events.map(({ point }) => point.name)]),
    };
    const { paint } = this;
    const before = widths.step + widths.lanes + widths.actor + widths.event + (widths.lanes > 0 ? 4 : 3) * GAP.length;
    const head = [
      'step'.padStart(widths.step),
      ...(widths.lanes > 0 ? [' '.repeat(widths.lanes)] : []),
      'actor'.padEnd(widths.actor),
      'event'.padEnd(widths.event),
      'what',
    ];
    const lines = this.events.map((event) => {
      const [first = '', ...more] = wrap(eventWords(event), WIDTH - before);
      const columns = [
        paint.dim(String(event.step).padStart(widths.step)),
        ...(widths.lanes > 0 ? [this.lanes(tasks.indexOf(event.task), widths.lanes)] : []),
        paint.cyan(names.get(event.task)!.padEnd(widths.actor)),
        this.emphasis(event.point.name)(event.point.name.padEnd(widths.event)),
        first,
      ];
      return [columns.join(GAP).trimEnd(), ...more.map((line) => ' '.repeat(before) + line)].join('\n');
    });
    return `${[paint.dim(head.join(GAP)), ...lines].join('\n')}\n`;
  }

  lanes(lane: number, count: number): string {
    return this.paint.dim('·'.repeat(lane)) + this.paint.cyan('●') + this.paint.dim('·'.repeat(count - lane - 1));
  }

  emphasis(event: string): (text: string) => string {
    const { paint } = this;
    if (event === 'dev_fault') return paint.yellow;
    if (event === 'dev_page_response') return paint.green;
    if (event.endsWith('_mm_release') || event.endsWith('_mm_invalidate')) return paint.magenta;
    return paint.bold;
  }
}

function widest(texts: readonly string[]): number {
  return Math.max(...texts.map(({ length }) => length));
}
