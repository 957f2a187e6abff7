import { roleOf } from '@iommukit/scenario';

/** A device of PCI segment 0, as people write it: `00:03.0`. */
export function shortDevice(text: string): string {
  return text.replace(/\b0000:(?=[0-9a-f]{2}:[01][0-9a-f]\.[0-7])/g, '');
}

/**
 * Task names without what tells no two of them apart: `engine/0000:00:03.0` is `engine` unless there is a second one,
 * then `engine/00:03.0`; `irq-smmuv3@9050000-priq` is `irq-priq`.
 */
export function shortTasks(names: readonly string[]): ReadonlyMap<string, string> {
  const roles = names.map((name) => withoutNode(roleOf(name)));
  const short = names.map(withoutNode);
  const nameOf = (name: string, at: number): string => [roles, short].find((list) => isUnique(list, at))?.[at] ?? name;
  return new Map(names.map((name, at) => [name, nameOf(name, at)]));
}

/** Without the devicetree node that an interrupt thread serves, and without PCI segment 0. */
function withoutNode(name: string): string {
  return shortDevice(name).replace(/[\w,-]+@[0-9a-f]+-/, 'irq-');
}

function isUnique(names: readonly string[], at: number): boolean {
  return names.every((name, i) => i === at || name !== names[at]);
}
