import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import ts from 'typescript';
import { workspacePackages } from '../workspace.js';
import { citedIn } from './rule-table.js';

/** Where a test cites a rule. */
export interface Citation {
  readonly rule: string;
  /** Relative to the root of the workspace. */
  readonly file: string;
  readonly line: number;
  /** The test's name, with the names of what it is part of; outside of one, the string that cites. */
  readonly test: string;
  /** A name of a test or of a group of tests, another string, or a comment. */
  readonly kind: 'name' | 'string' | 'comment';
}

const TESTS = ['it', 'test', 'describe'];
const NOT_RUN = ['skip', 'todo', 'fails'];

/** Every citation in the tests of every package. Tests that are skipped do not count. */
export function findCitations(root: string): Citation[] {
  const files = workspacePackages(root).flatMap(({ folder }) => [
    ...testFiles(join(folder, 'src')),
    ...testFiles(join(folder, 'test')),
  ]);
  return files.sort().flatMap((path) => {
    const file = relative(root, path).split(sep).join('/');
    return new CitationFinder(file, readFileSync(path, 'utf8')).find();
  });
}

function testFiles(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return paths.filter((path) => path.endsWith('.test.ts')).map((path) => join(folder, path));
}

/** Finds the citations in one test file. */
export class CitationFinder {
  readonly file: string;
  readonly source: ts.SourceFile;
  readonly names: string[] = [];
  readonly comments = new Set<number>();
  readonly found: Citation[] = [];

  constructor(file: string, text: string) {
    this.file = file;
    this.source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  }

  find(): Citation[] {
    this.visit(this.source);
    return this.found;
  }

  visit(node: ts.Node): void {
    this.visitComments(node);
    const called = ts.isCallExpression(node) ? testOf(node) : null;
    if (called?.run === false) return;
    if (called !== null) this.names.push(called.name);
    if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) this.visitString(node);
    ts.forEachChild(node, (child) => this.visit(child));
    if (called !== null) this.names.pop();
  }

  visitString(node: ts.StringLiteralLike | ts.TemplateExpression): void {
    const call = node.parent;
    const isName = ts.isCallExpression(call) && call.arguments[0] === node && testOf(call) !== null;
    this.add(textOf(node), node.getStart(), isName ? 'name' : 'string');
  }

  visitComments(node: ts.Node): void {
    const text = this.source.text;
    for (const { pos, end } of ts.getLeadingCommentRanges(text, node.getFullStart()) ?? []) {
      if (this.comments.has(pos)) continue;
      this.comments.add(pos);
      this.add(text.slice(pos, end), pos, 'comment');
    }
  }

  add(text: string, at: number, kind: Citation['kind']): void {
    const { line } = this.source.getLineAndCharacterOfPosition(at);
    for (const rule of new Set(citedIn(text))) {
      const test = this.names.length > 0 ? this.names.join(' › ') : text;
      this.found.push({ rule, file: this.file, line: line + 1, test, kind });
    }
  }
}

/** The name of the test or group that a call makes, or null; `run`: it is not skipped. */
function testOf({ expression, arguments: [name] }: ts.CallExpression): { name: string; run: boolean } | null {
  if (name === undefined || !(ts.isStringLiteralLike(name) || ts.isTemplateExpression(name))) return null;
  const modifiers: string[] = [];
  let callee: ts.Expression = expression;
  for (;;) {
    if (ts.isCallExpression(callee)) callee = callee.expression;
    else if (ts.isPropertyAccessExpression(callee)) {
      modifiers.push(callee.name.text);
      callee = callee.expression;
    } else break;
  }
  if (!ts.isIdentifier(callee) || !TESTS.includes(callee.text)) return null;
  return { name: textOf(name), run: !modifiers.some((modifier) => NOT_RUN.includes(modifier)) };
}

/** A template's text, with … for what is put in. */
function textOf(node: ts.StringLiteralLike | ts.TemplateExpression): string {
  if (ts.isStringLiteralLike(node)) return node.text;
  return node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('');
}
