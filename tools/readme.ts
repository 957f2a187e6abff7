/** What a README's example is and what it claims to print. */
export interface ReadmeExample {
  /** The text of the first ```ts block. */
  readonly code: string;
  /** The texts of the `// → text` comments in the block, in order; one comment is one printed line. */
  readonly printed: readonly string[];
}

/** Takes the first ```ts block out of a README. Throws an Error when there is none. */
export function readmeExample(markdown: string): ReadmeExample {
  const block = /^```ts[^\S\n]*\n([\s\S]*?)^```[^\S\n]*$/m.exec(markdown.replaceAll('\r\n', '\n'));
  const code = block?.[1];
  if (code === undefined || code.trim() === '') throw new Error('the README has no example: it needs a ```ts block');
  const printed = [...code.matchAll(/\/\/ → ?(.*)$/gm)].map((match) => (match[1] ?? '').trimEnd());
  return { code, printed };
}
