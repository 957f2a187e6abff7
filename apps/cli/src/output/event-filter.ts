import { isBondEvent } from '@iommukit/scenario';
import { UsageError } from '../errors.js';

/** What a reader of the timeline also wants to see: what processes and jobs do, and faults that nobody handles. */
const PEOPLE =
  /^(mm_mmap|mm_munmap|mm_exit_mmap|process_exit|file_release|engine_job|\w+_supervisor_flush|smmu_event|vtd_fault)$/;

/**
 * Which events to show. `--events`: a list, or `all`; by default the six of a bond's life, and for people what
 * processes and jobs do, and faults that nobody handles.
 * @throws UsageError for a name that is none of `known`
 */
export function eventFilter(
  events: string | undefined,
  forPeople: boolean,
  known: readonly string[],
): (event: string) => boolean {
  if (events === undefined) return (event) => isBondEvent(event) || (forPeople && PEOPLE.test(event));
  if (events === 'all') return () => true;
  const wanted = new Set(events.split(',').map((name) => name.trim()));
  const unknown = [...wanted].filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    const names = unknown.map((name) => `'${name}'`).join(', ');
    throw new UsageError(`--events: no event is called ${names}; there are all, ${known.join(', ')}`);
  }
  return (event) => wanted.has(event);
}
