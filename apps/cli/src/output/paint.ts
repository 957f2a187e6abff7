import picocolors from 'picocolors';

/** Colours for a terminal, none elsewhere. */
export type Paint = ReturnType<typeof picocolors.createColors>;

/** Colour only where a person watches, and NO_COLOR is not set. */
export function paintFor(isTTY: boolean, environment: Readonly<Record<string, string | undefined>>): Paint {
  return picocolors.createColors(isTTY && !environment['NO_COLOR']);
}
