/** Takes one element out of a list, without the array that `splice` would make of it. */
export function removeAt<T>(list: T[], index: number): void {
  const last = list.length - 1;
  for (let i = index; i < last; i++) list[i] = list[i + 1]!;
  // Not `length = last`, which is a call into the runtime.
  list.pop();
}
