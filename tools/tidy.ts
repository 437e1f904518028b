// The house rules that a program can check, run as a test (test/tidy.test.ts) and as a command. Each rule says what is
// wrong and what to do instead. Types and unused code are the compiler's business.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { layerViolation } from './layers.ts';
import { repositoryFiles, repositoryRoot } from './repository.ts';
import { codeOnly } from './source-text.ts';

interface SourceFile {
  /** From the root of the repository. */
  readonly path: string;
  readonly lines: readonly string[];
  /** The lines without comments and literals. */
  readonly code: readonly string[];
}

interface Rule {
  applies(path: string): boolean;
  /** `line` counts from 1. */
  check(file: SourceFile): readonly { readonly line: number; readonly problem: string }[];
}

const FILE_LINES_MAX = 700;
const LINE_COLUMNS_MAX = 140;

const isSource = (path: string): boolean => /^(src|tools|test|assembly)\/.*\.ts$/.test(path);
const isTest = (path: string): boolean => path.endsWith('.test.ts') || path.startsWith('test/');
const knowsHost = (path: string): boolean => /^(src\/platform|src\/cli|src\/web|tools|test)\//.test(path) || isTest(path);
const mayUseNode = (path: string): boolean => /^(src\/platform\/node|src\/cli|tools|test)\//.test(path) || isTest(path);

/** Every line of code that matches is a problem. */
const banned = (applies: Rule['applies'], pattern: RegExp, problem: string): Rule => ({
  applies: (path) => isSource(path) && applies(path),
  check: ({ code }) => code.flatMap((text, index) => (pattern.test(text) ? [{ line: index + 1, problem }] : [])),
});

const inSrc = (path: string): boolean => path.startsWith('src/');

const CONSOLE_CALL = /(?<![.\w])console\s*\.\s*(log|error|warn|info|debug|table)\b/;

const bannedRules: readonly Rule[] = [
  banned(() => true, /\b(class|interface|type|function|const)\s+\w*(Manager|Helper|Utils?)\b/, 'name it after what it does'),
  banned((path) => !path.startsWith('assembly/'), /\bexport\s+default\b/, 'no default exports: export it by name'),
  banned((path) => !path.startsWith('assembly/'), /^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s+\w/, 'no enum: a const object'),
  banned((path) => !/^assembly|\.d\.ts$/.test(path), /^\s*(export\s+)?(declare\s+)?namespace\s+\w/, 'no namespace: a module'),
  banned((path) => inSrc(path) && !/^src\/(cli|web)\//.test(path), CONSOLE_CALL, 'no console here: a trace event or a Failure'),
  banned((path) => inSrc(path) && !knowsHost(path), /(?<![.\w])Date\b/, 'no wall clock here: the Clock port'),
  banned((path) => inSrc(path) && !knowsHost(path), /\bMath\.random\b/, 'no host randomness here: the Entropy port'),
  banned((path) => inSrc(path) && !knowsHost(path), /(?<![.\w])performance\s*\./, 'no host clock here: the Clock port'),
  banned((path) => inSrc(path) && !knowsHost(path), /(?<![.\w])set(Timeout|Interval|Immediate)\b/, 'no host timers here: the Timers port'),
  banned((path) => inSrc(path) && !knowsHost(path), /(?<![.\w])process\s*\./, 'no process here: only platform/ and cli/ know the host'),
  banned((path) => path.startsWith('src/ports/'), /^export\s+(const|let|function|class)\b/, 'ports/ holds interfaces only'),
];

const layers: Rule = {
  applies: (path) => path.startsWith('src/') && path.endsWith('.ts'),
  check: ({ path, lines, code }) =>
    lines.flatMap((text, index) => {
      const target = importTarget(text, code[index]!);
      if (target === undefined) return [];
      if (!target.startsWith('.')) return foreignImport(path, target, index + 1);
      const [top, to] = posix.join(posix.dirname(path), target).split('/');
      const problem = top === 'src' ? layerViolation(path.split('/')[1]!, to!) : outsideViolation(path, top!);
      return problem === undefined ? [] : [{ line: index + 1, problem }];
    }),
};

const outsideViolation = (path: string, top: string): string | undefined =>
  isTest(path) && top === 'test' ? undefined : `nothing in src/ imports from ${top}/, except tests from test/`;

const IMPORT = /\b(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/;

/** What a line imports, unless it only talks about importing. */
function importTarget(text: string, code: string): string | undefined {
  const match = IMPORT.exec(text);
  return match !== null && /^(from|import)/.test(code.slice(match.index)) ? match[1] : undefined;
}

/** Packages that are needed at run time, and imported statically: ARCHITECTURE.md says why. */
const RUNTIME_PACKAGES: readonly string[] = ['@bokuweb/zstd-wasm'];

function foreignImport(path: string, target: string, line: number): { line: number; problem: string }[] {
  const isNode = target.startsWith('node:');
  if (RUNTIME_PACKAGES.includes(target) && mayUseNode(path)) return [];
  if (!isNode && !isTest(path)) return [{ line, problem: `no package ${target} here: see the table of dependencies` }];
  return mayUseNode(path) ? [] : [{ line, problem: `no ${target} here: only platform/node and cli/ know Node` }];
}

const header: Rule = {
  applies: isSource,
  check({ lines }) {
    if (/^(\/\/|\/\*)/.test(lines[0] ?? '')) return [];
    return [{ line: 1, problem: 'no header: what the file is, what it is not, which specification' }];
  },
};

const fileLength: Rule = {
  applies: isSource,
  check({ lines }) {
    if (lines.length <= FILE_LINES_MAX) return [];
    return [{ line: FILE_LINES_MAX, problem: `more than ${FILE_LINES_MAX} lines: split it by topic` }];
  },
};

const lineLength: Rule = {
  applies: isSource,
  check({ lines }) {
    let exempt = false; // a table whose rows are one line each, up to its end
    return lines.flatMap((text, index) => {
      if (text.includes('// prettier-ignore')) exempt = true;
      else if (text === '' || /^\s*[\])}]+[;,]?$/.test(text)) exempt = false;
      return exempt || text.length <= LINE_COLUMNS_MAX ? [] : [{ line: index + 1, problem: `more than ${LINE_COLUMNS_MAX} columns` }];
    });
  },
};

const barrel: Rule = {
  applies: (path) => path.startsWith('src/') && path.endsWith('.ts'),
  check({ lines }) {
    const statements = lines.filter((text) => text.trim() !== '' && !text.trimStart().startsWith('//'));
    const onlyExports = statements.length > 0 && statements.every((text) => /^export\b.*\bfrom\b/.test(text));
    return onlyExports ? [{ line: 1, problem: 'only re-exports: import from the files themselves' }] : [];
  },
};

const remarks: Rule = {
  applies: (path) => isSource(path) && path !== 'tools/tidy.ts',
  check: ({ lines }) =>
    lines.flatMap((text, index) => {
      const problems: string[] = [];
      if (/\b(TODO|FIXME)\b(?! \(#\d+\))/.test(text)) problems.push('a TODO names its issue: TODO (#12)');
      if (/['"`(\s](\/work|\/tmp|\/home|\/root)\//.test(text)) problems.push('no path of one machine: the caller or os.tmpdir() gives it');
      return problems.map((problem) => ({ line: index + 1, problem }));
    }),
};

const links: Rule = {
  applies: (path) => path.endsWith('.md'),
  check: ({ path, lines }) =>
    lines.flatMap((text, index) =>
      [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)]
        .map(([, target]) => target!)
        .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(repositoryRoot, dirname(path), target)))
        .map((target) => ({ line: index + 1, problem: `the link ${target} leads nowhere` })),
    ),
};

const RULES: readonly Rule[] = [...bannedRules, layers, header, fileLength, lineLength, barrel, remarks, links];

function readSource(path: string): SourceFile {
  const text = readFileSync(join(repositoryRoot, path), 'utf8').replace(/\n$/, '');
  return { path, lines: text.split('\n'), code: codeOnly(text).split('\n') };
}

/** One line for each broken rule: file, line, what to do. */
export function findUntidy(): string[] {
  return repositoryFiles()
    .filter((path) => RULES.some((rule) => rule.applies(path)))
    .flatMap((path) => checkFile(readSource(path)));
}

export function checkFile(file: SourceFile): string[] {
  return RULES.filter((rule) => rule.applies(file.path)).flatMap((rule) =>
    rule.check(file).map(({ line, problem }) => `${file.path}:${line}: ${problem}`),
  );
}

/** As if it were a file of the repository; for the tests of the rules. */
export const checkText = (path: string, text: string): string[] =>
  checkFile({ path, lines: text.split('\n'), code: codeOnly(text).split('\n') });

if (import.meta.filename === process.argv[1]) {
  const problems = findUntidy();
  process.stdout.write(problems.map((problem) => `${problem}\n`).join(''));
  process.exit(problems.length === 0 ? 0 : 1);
}
