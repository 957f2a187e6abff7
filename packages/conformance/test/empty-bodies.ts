import ts from 'typescript';

/**
 * The same source with empty methods: those that return nothing do nothing, the others throw EOPNOTSUPP. Constructors,
 * fields and functions outside classes stay.
 */
export function emptyBodies(file: string, source: string): string {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.ES2022, true);
  const bodies: { readonly from: number; readonly to: number; readonly text: string }[] = [];
  const visit = (node: ts.Node): void => {
    if ((ts.isMethodDeclaration(node) || ts.isGetAccessor(node)) && ts.isClassDeclaration(node.parent)) {
      const { body } = node;
      const name = `${node.parent.name!.text}.${node.name.getText()}`;
      const idle = returnsNothing(node);
      if (body !== undefined)
        bodies.push({ from: body.getStart(), to: body.end, text: idle ? '{}' : notWritten(name) });
      return;
    }
    ts.forEachChild(node, visit);
  };
  visit(tree);
  let text = source;
  for (const { from, to, text: body } of bodies.reverse()) text = text.slice(0, from) + body + text.slice(to);
  return `import { IommuError as NotWritten } from '@iommukit/kernel';\n${text}`;
}

/** True for a function, or a generator, that does what it must by doing nothing. */
function returnsNothing(node: ts.MethodDeclaration | ts.GetAccessorDeclaration): boolean {
  const type = node.type?.getText();
  return (
    type === 'void' || (type === 'Coroutine<void>' && ts.isMethodDeclaration(node) && node.asteriskToken !== undefined)
  );
}

function notWritten(name: string): string {
  return `{ throw new NotWritten('EOPNOTSUPP', '${name} is not written yet'); }`;
}

/** What the compiler says of these files; what is not used yet is no error. */
export function compile(files: readonly string[], tsconfig: string): readonly string[] {
  const { config } = ts.readConfigFile(tsconfig, ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, '.');
  const program = ts.createProgram([...files], { ...options, noUnusedLocals: false, noUnusedParameters: false });
  return files
    .map((file) => program.getSourceFile(file)!)
    .flatMap((file) => [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
    .map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
}
