/** What has to be invalidated when translations change, in the order in which lists are sorted (SMMU-26). */
export const TARGET = { S1_ASID: 0, S2_VMID: 1, S2_VMID_S1_CLEAR: 2, ATS: 3 } as const;

/** One of {@link TARGET}. */
export type TargetType = 0 | 1 | 2 | 3;

/** One thing to invalidate. Never changed: a list holds another one instead. */
export interface InvalidationTarget {
  readonly type: TargetType;
  /** ASID, VMID or StreamID. */
  readonly id: number;
  /** The PASID of an ATS target; 0 with the others. */
  readonly ssid: number;
  /** How many need it; 0: trash, to be skipped. */
  readonly users: number;
}

/** A list sorted by type, id, ssid, without duplicates; trash only in front of something that is used. */
export type InvalidationTargets = readonly InvalidationTarget[];

/** What one attachment adds to a list, or takes away. */
export type TargetKey = Omit<InvalidationTarget, 'users'>;

/** A new list with one more user of each of `keys`, and without trash. Readers of the old list are not disturbed. */
export function mergeTargets(list: InvalidationTargets, keys: readonly TargetKey[]): InvalidationTarget[] {
  const merged = purgeTargets(list);
  for (const { type, id, ssid } of keys) {
    const at = placeOf(merged, { type, id, ssid });
    const present = merged[at];
    if (present !== undefined && order(present, { type, id, ssid }) === 0) {
      merged[at] = { ...present, users: present.users + 1 };
    } else {
      merged.splice(at, 0, { type, id, ssid, users: 1 });
    }
  }
  return merged;
}

/**
 * One user less of each of `keys`, in place: nothing is allocated, so it cannot fail. What nobody needs any more is
 * skipped by readers from now on; at the end of the list it goes at once.
 */
export function unrefTargets(list: InvalidationTarget[], keys: readonly TargetKey[]): void {
  for (const key of keys) {
    const at = placeOf(list, key);
    const present = list[at];
    if (present === undefined || order(present, key) !== 0 || present.users === 0) continue;
    list[at] = { ...present, users: present.users - 1 };
  }
  while (list.length > 0 && list[list.length - 1]!.users === 0) list.pop();
}

/** A new list without trash. */
export function purgeTargets(list: InvalidationTargets): InvalidationTarget[] {
  return list.filter(({ users }) => users > 0);
}

/** How many of a list are trash. */
export function trashIn(list: InvalidationTargets): number {
  return list.reduce((trash, { users }) => (users === 0 ? trash + 1 : trash), 0);
}

/** Index of the first target that does not sort before `key`. */
function placeOf(list: InvalidationTargets, key: TargetKey): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (order(list[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function order(a: TargetKey, b: TargetKey): number {
  return a.type - b.type || a.id - b.id || a.ssid - b.ssid;
}
