/**
 * The legal traces of the killed job (G-B2), written down independently of the code: for each page in order any number of
 * (fault, SUCCESS), then at most one (fault, INVALID), after which no fault follows; one release anywhere between bind and
 * unbind; a fault reported after release is answered INVALID; INVALID before release only if mm_users was already 0 (so the
 * release is still to come); no invalidate; one unbind_free, last.
 */
export function whyIllegal(shape: readonly string[]): string | null {
  const [first, ...rest] = shape;
  if (first !== 'bind alloc') return 'bind_alloc is not first';
  if (rest.pop() !== 'unbind free') return 'unbind_free is not last';
  let released = 0;
  let open: { page: number; afterRelease: boolean } | null = null;
  let page = 1;
  let refused = false;
  for (const line of rest) {
    const fault = /^fault page (\d+)$/.exec(line);
    if (line === 'release') released++;
    else if (fault !== null) {
      if (open !== null || refused) return 'a fault where none may be';
      const number = Number(fault[1]);
      if (number !== page && number !== page + 1) return 'pages out of order';
      page = number;
      open = { page, afterRelease: released > 0 };
    } else if (line === 'response SUCCESS' || line === 'response INVALID') {
      if (open === null) return 'a response to nothing';
      if (open.afterRelease && line !== 'response INVALID') return 'a fault reported after release is answered SUCCESS';
      refused = line === 'response INVALID';
      open = null;
    } else return `'${line}' does not belong here`;
  }
  if (open !== null) return 'a fault without a response';
  return released === 1 ? null : `${released} releases`;
}

/** The kinds of legal traces; each is to be seen among many schedules. */
export const KINDS: Readonly<Record<string, (shape: readonly string[]) => boolean>> = {
  'release before the first fault': (shape) =>
    shape.indexOf('release') < indexOf(shape, 'fault') && indexOf(shape, 'fault') >= 0,
  'INVALID before the release line': (shape) => {
    const invalid = shape.indexOf('response INVALID');
    return invalid >= 0 && invalid < shape.indexOf('release');
  },
  'golden B': (shape) =>
    shape.join() ===
    [
      'bind alloc',
      'fault page 1',
      'release',
      'response SUCCESS',
      'fault page 1',
      'response INVALID',
      'unbind free',
    ].join(),
  'release after a response, then fault + INVALID': (shape) => {
    const release = shape.indexOf('release');
    return (
      shape[release - 1] === 'response SUCCESS' &&
      indexOf(shape, 'fault', release) > release &&
      shape.includes('response INVALID')
    );
  },
  'job done before release': (shape) =>
    shape.filter((line) => line === 'response SUCCESS').length === 2 && !shape.includes('response INVALID'),
};

function indexOf(shape: readonly string[], start: string, from = 0): number {
  return shape.findIndex((line, i) => i >= from && line.startsWith(start));
}
