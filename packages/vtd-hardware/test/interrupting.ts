import type { Chooser, Footprint } from '@iommukit/kernel';

/** Lets task `first` go on until it is about to touch `what` for the `nth` time; then task `other` until it ends; then anybody. */
export function interrupting(first: string, what: Footprint, nth: number, other: string): Chooser {
  let visits = 0;
  return {
    begin: () => {},
    pick: (current, ready, next) => {
      if (current?.name === first && next === what) visits++;
      const wanted = visits >= nth ? other : first;
      return Math.max(
        ready.findIndex((task) => task.name === wanted),
        0,
      );
    },
  };
}
