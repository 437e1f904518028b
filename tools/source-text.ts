// Source text without what is not code: comments and the contents of literals become blanks, lines stay where they are.
// Not a parser: a slash counts as a regular expression where an operand can start.

const OPERAND_ENDS = /[\w$)\]}'"`]$/;
const KEYWORD_BEFORE_OPERAND = /\b(return|typeof|case|in|of|yield|await|void|delete)$/;

export function codeOnly(text: string): string {
  let code = '';
  let at = 0;
  const templates: number[] = []; // depth of braces inside each open ${
  const blank = (end: number): void => {
    code += text.slice(at, end).replace(/[^\n]/g, ' ');
    at = end;
  };
  while (at < text.length) {
    const rest = text.slice(at, at + 2);
    const character = text[at]!;
    if (rest === '//') blank(endOf(text, '\n', at));
    else if (rest === '/*') blank(Math.min(text.length, endOf(text, '*/', at + 2) + 2));
    else if (character === "'" || character === '"') blank(endOfQuoted(text, at));
    else if (character === '`' || (character === '}' && templates.at(-1) === 0)) {
      if (character === '}') templates.pop();
      const end = endOfTemplatePart(text, at);
      if (text.startsWith('${', end - 2)) templates.push(0);
      blank(end);
    } else if (character === '/' && startsRegExp(code)) blank(endOfRegExp(text, at));
    else {
      const depth = templates.length - 1;
      if (character === '{' && depth >= 0) templates[depth]!++;
      if (character === '}' && depth >= 0) templates[depth]!--;
      code += character;
      at++;
    }
  }
  return code;
}

function endOf(text: string, mark: string, from: number): number {
  const index = text.indexOf(mark, from);
  return index < 0 ? text.length : index;
}

function endOfQuoted(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === text[start] || text[at] === '\n') return at + 1;
  }
  return text.length;
}

/** Ends after the closing backquote or after `${`. */
function endOfTemplatePart(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '`') return at + 1;
    else if (text.startsWith('${', at)) return at + 2;
  }
  return text.length;
}

function startsRegExp(before: string): boolean {
  const code = before.trimEnd();
  return !OPERAND_ENDS.test(code) || KEYWORD_BEFORE_OPERAND.test(code);
}

function endOfRegExp(text: string, start: number): number {
  let inClass = false;
  for (let at = start + 1; at < text.length && text[at] !== '\n'; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '[') inClass = true;
    else if (text[at] === ']') inClass = false;
    else if (text[at] === '/' && !inClass) return at + 1;
  }
  return start + 1;
}
