import { type Document, isMap, isNode, LineCounter, parseDocument } from 'yaml';
import { ScenarioError } from './scenario-error.js';

/** Keys and indices from the root of a checked scenario to a value. */
export type Path = readonly (string | number)[];

/** A YAML text, and where in it things are: errors name file, line and column. */
export class YamlPlaces {
  readonly file: string;
  readonly lines = new LineCounter();
  readonly document: Document;

  /** @throws ScenarioError for a text that is no YAML */
  constructor(text: string, file: string) {
    this.file = file;
    this.document = this.parse(text);
    const [problem] = this.document.errors;
    if (problem !== undefined) throw new ScenarioError(`${this.atOffset(problem.pos[0])}: ${problem.message}`);
  }

  /** `file:line:column` of a value, or of the deepest value on its path that the text has; of a map's key, the key. */
  at(path: Path): string {
    for (let depth = path.length; depth > 0; depth--) {
      const offset = this.offsetOf(this.textPath(path.slice(0, depth)));
      if (offset !== null) return this.atOffset(offset);
    }
    return this.atOffset(0);
  }

  /** The text's values, as plain objects. @throws ScenarioError for aliases that expand without end */
  plain(): unknown {
    try {
      return this.document.toJS({ maxAliasCount: 100 });
    } catch (error) {
      throw new ScenarioError(`${this.atOffset(0)}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  parse(text: string): Document {
    try {
      return parseDocument(text, { lineCounter: this.lines, prettyErrors: false });
    } catch (error) {
      // The YAML reader recurses: thousands of nested brackets exhaust the stack.
      if (!(error instanceof RangeError)) throw error;
      throw new ScenarioError(`${this.file}:1:1: nested too deeply; a scenario needs six levels`);
    }
  }

  offsetOf(path: Path): number | null {
    const parent = this.document.getIn(path.slice(0, -1), true);
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isNode(item.key) && String(item.key) === String(path.at(-1)));
      if (isNode(pair?.key) && pair.key.range) return pair.key.range[0];
    }
    const node = this.document.getIn(path, true);
    return isNode(node) && node.range ? node.range[0] : null;
  }

  /** The path as the text has it: a step's fields lie below its verb. */
  textPath(path: Path): Path {
    if (path[0] !== 'actors' || path.length <= 3) return path;
    const step = this.document.getIn(path.slice(0, 3), true);
    if (!isMap(step) || step.items.length !== 1) return path;
    const verb = String(step.items[0]!.key);
    const inner = [...path.slice(0, 3), verb];
    return isMap(step.get(verb, true)) ? [...inner, ...path.slice(3)] : inner;
  }

  atOffset(offset: number): string {
    const { line, col } = this.lines.linePos(offset);
    return `${this.file}:${line}:${col}`;
  }
}
