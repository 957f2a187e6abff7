import { dirname, join, relative } from 'node:path';
import ts from 'typescript';

/** A coroutine or Step that nobody runs. */
export interface Finding {
  /** Relative to the folder that was checked. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** What runs coroutines holds them. */
const schedulers = ['packages/kernel/src/scheduler.ts'];

type Kind = 'Coroutine' | 'Step' | 'generator' | null;

/** Finds every expression whose Coroutine or Step is neither run by `yield*`, nor returned, nor passed to what expects it. */
export class CoroutineCheck {
  readonly checker: ts.TypeChecker;
  readonly findings: Finding[] = [];
  readonly kinds = new Map<ts.Type, Kind>();

  constructor(
    readonly program: ts.Program,
    readonly root: string,
  ) {
    this.checker = program.getTypeChecker();
  }

  run(): Finding[] {
    for (const source of this.program.getSourceFiles()) {
      const path = relative(this.root, source.fileName);
      if (source.isDeclarationFile || path.includes('node_modules') || path.startsWith('..')) continue;
      if (!schedulers.includes(path)) this.visit(source);
    }
    return this.findings;
  }

  visit(node: ts.Node): void {
    if (ts.isTypeNode(node)) return;
    if (isValue(node)) this.judge(node);
    ts.forEachChild(node, (child) => this.visit(child));
  }

  judge(node: ts.Expression): void {
    const type = this.checker.getTypeAtLocation(node);
    const kind = this.kind(type);
    if (kind !== null) {
      const problem = this.problem(node, kind);
      if (problem !== null) this.report(node, `a ${kind} ${problem}: it must be the operand of yield*`);
    } else if (this.returns(type) && this.isCallbackForNothing(node)) {
      this.report(node, 'a coroutine function where the result is thrown away: nobody would run it');
    }
  }

  /** What is wrong with the place where this value stands, or null. */
  problem(value: ts.Expression, kind: Kind): string | null {
    let node: ts.Node = value;
    while (passesOn(node.parent, node)) node = node.parent;
    const parent = node.parent;
    if (ts.isYieldExpression(parent)) return parent.asteriskToken ? null : 'is yielded, not run';
    if (ts.isReturnStatement(parent)) return returnsFromGenerator(parent) ? 'is returned by a coroutine' : null;
    if (ts.isArrowFunction(parent)) return null; // judged where the arrow function stands
    if (ts.isCallExpression(parent) || ts.isNewExpression(parent)) {
      return parent.expression === node || this.isExpected(parent, node) ? null : 'is passed to what does not run it';
    }
    if (kind === 'generator' && (ts.isForOfStatement(parent) || ts.isSpreadElement(parent))) return null;
    if (ts.isBinaryExpression(parent) && isComparison(parent.operatorToken)) return null;
    if (ts.isVariableDeclaration(parent) || ts.isBinaryExpression(parent) || ts.isPropertyDeclaration(parent)) {
      return 'is kept';
    }
    return ts.isExpressionStatement(parent) ? 'is dropped' : 'is not run';
  }

  /** Whether the parameter that takes this argument is declared as a coroutine. */
  isExpected(call: ts.CallExpression | ts.NewExpression, argument: ts.Node): boolean {
    const declaration = this.checker.getResolvedSignature(call)?.getDeclaration();
    const index = call.arguments?.indexOf(argument as ts.Expression) ?? -1;
    if (declaration === undefined || index < 0) return false;
    const parameter = declaration.parameters[Math.min(index, declaration.parameters.length - 1)];
    if (parameter === undefined) return false;
    const type = this.checker.getTypeAtLocation(parameter);
    if (!ts.isParameter(parameter) || parameter.dotDotDotToken === undefined) return this.kind(type) !== null;
    const element = this.checker.getIndexTypeOfType(type, ts.IndexKind.Number);
    return element !== undefined && this.kind(element) !== null;
  }

  /** Whether a function stands where one is expected whose result nobody looks at. */
  isCallbackForNothing(node: ts.Expression): boolean {
    if (passesOn(node.parent, node)) return false; // judged there
    const expected = this.checker.getContextualType(node);
    const signatures = expected?.getNonNullableType().getCallSignatures() ?? [];
    return (
      signatures.length > 0 &&
      signatures.every((signature) => (signature.getReturnType().flags & ts.TypeFlags.Void) !== 0)
    );
  }

  /** Whether this is a function type, and every call gives a coroutine. */
  returns(type: ts.Type): boolean {
    const signatures = type.getCallSignatures();
    return signatures.length > 0 && signatures.every((signature) => this.kind(signature.getReturnType()) !== null);
  }

  kind(type: ts.Type): Kind {
    const known = this.kinds.get(type);
    if (known !== undefined) return known;
    const kind = this.classify(type);
    this.kinds.set(type, kind);
    return kind;
  }

  classify(type: ts.Type): Kind {
    if (type.aliasSymbol?.name === 'Coroutine') return 'Coroutine';
    if (type.isUnion()) return type.types.map((part) => this.kind(part)).find((kind) => kind !== null) ?? null;
    const name = type.symbol?.name;
    if (name === 'Step') return 'Step';
    if (name !== 'Generator') return null;
    const [suspension] = this.checker.getTypeArguments(type as ts.TypeReference);
    const small = ts.TypeFlags.NumberLike | ts.TypeFlags.Never;
    return suspension !== undefined && (suspension.flags & small) !== 0 ? 'generator' : null;
  }

  report(node: ts.Node, message: string): void {
    const declared = ts.isIdentifier(node) ? this.checker.getSymbolAtLocation(node)?.valueDeclaration : undefined;
    const places = [node, ts.isArrayLiteralExpression(node.parent) ? node.parent : undefined, declared];
    if (places.some((place) => place !== undefined && isAllowed(place))) return;
    const source = node.getSourceFile();
    const { line, character } = source.getLineAndCharacterOfPosition(node.getStart());
    this.findings.push({ file: relative(this.root, source.fileName), line: line + 1, column: character + 1, message });
  }
}

/** A comment with a reason, on the line or the one before, allows what is otherwise reported: `// no yield*: run by hand`. */
function isAllowed(node: ts.Node): boolean {
  const source = node.getSourceFile();
  const lines = source.text.split('\n');
  const { line } = source.getLineAndCharacterOfPosition(node.getStart());
  return /\/\/ no yield\*: \S/.test(lines[line] ?? '') || /^\s*\/\/ no yield\*: \S/.test(lines[line - 1] ?? '');
}

/** An expression that makes or names a value; a name in a declaration and a called function are none. */
function isValue(node: ts.Node): node is ts.Expression {
  if (ts.isCallExpression(node) || ts.isNewExpression(node) || ts.isYieldExpression(node)) return true;
  if (ts.isFunctionExpression(node) || ts.isArrowFunction(node) || ts.isElementAccessExpression(node)) return true;
  if (ts.isPropertyAccessExpression(node)) return !isName(node);
  return ts.isIdentifier(node) && !isName(node);
}

function isName(node: ts.Identifier | ts.PropertyAccessExpression): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) return true;
  if (ts.isBinaryExpression(parent) && parent.left === node && isAssignment(parent.operatorToken)) return true;
  if (ts.isImportSpecifier(parent) || ts.isExportSpecifier(parent) || ts.isLabeledStatement(parent)) return true;
  const isDeclared = ts.isDeclarationStatement(parent) || ts.isClassElement(parent) || ts.isVariableDeclaration(parent);
  if (isDeclared || ts.isParameter(parent) || ts.isBindingElement(parent) || ts.isPropertyAssignment(parent)) {
    return (parent as ts.NamedDeclaration).name === node;
  }
  return false;
}

const isComparison = ({ kind }: ts.Node): boolean =>
  kind === ts.SyntaxKind.EqualsEqualsEqualsToken || kind === ts.SyntaxKind.ExclamationEqualsEqualsToken;

const isAssignment = ({ kind }: ts.Node): boolean =>
  kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;

/** Whether the parent's value is this node's: parentheses, `a ? b : c`, `a ?? b`, casts. */
function passesOn(parent: ts.Node, node: ts.Node): parent is ts.Expression {
  if (ts.isParenthesizedExpression(parent) || ts.isNonNullExpression(parent)) return true;
  if (ts.isAsExpression(parent) || ts.isSatisfiesExpression(parent)) return true;
  if (ts.isConditionalExpression(parent)) return parent.condition !== node;
  if (!ts.isBinaryExpression(parent)) return false;
  const { kind } = parent.operatorToken;
  if (kind === ts.SyntaxKind.CommaToken) return parent.right === node;
  if (kind === ts.SyntaxKind.AmpersandAmpersandToken) return parent.right === node;
  return kind === ts.SyntaxKind.BarBarToken || kind === ts.SyntaxKind.QuestionQuestionToken;
}

function returnsFromGenerator(node: ts.Node): boolean {
  let parent = node.parent;
  while (!ts.isFunctionLike(parent)) parent = parent.parent;
  return 'asteriskToken' in parent && parent.asteriskToken !== undefined;
}

/** Checks all files of a TypeScript project. */
export function checkCoroutines(configFile: string): { files: number; findings: Finding[] } {
  const { config } = ts.readConfigFile(configFile, (path) => ts.sys.readFile(path));
  const parsed = ts.parseJsonConfigFileContent(config, ts.sys, dirname(configFile));
  const program = ts.createProgram(parsed.fileNames, parsed.options);
  return { files: parsed.fileNames.length, findings: new CoroutineCheck(program, dirname(configFile)).run() };
}

/** The command: prints what is wrong and returns the exit code. */
export function main(): number {
  const { files, findings } = checkCoroutines(join(process.cwd(), 'tsconfig.json'));
  for (const { file, line, column, message } of findings) console.error(`${file}:${line}:${column}: ${message}`);
  console.log(`${files} files, ${findings.length} coroutines that nobody runs`);
  return findings.length === 0 && files > 0 ? 0 : 1;
}
