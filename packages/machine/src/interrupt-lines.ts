import { type InterruptLine, IommuError } from '@iommukit/kernel';

/** The line called `name` among those of `owner`. @throws IommuError ENOENT that lists what there is */
export function lineNamed(lines: ReadonlyMap<string, InterruptLine>, owner: string, name: string): InterruptLine {
  const line = lines.get(name);
  if (line !== undefined) return line;
  const known = [...lines.keys()].filter((key) => key !== '').join(', ') || 'none';
  throw new IommuError('ENOENT', `${owner} has no interrupt '${name}'`, {
    remedy: `name it in the platform description (it has: ${known})`,
  });
}
