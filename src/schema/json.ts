// JSON as QEMU reads it: strings may stand in single quotes as well, a name comes once in an object, and errors are told in its
// words (docs/interop/qmp-spec, and the messages of 7.2). For `json:{…}` names and -blockdev; QMP will read it too.
import { Failure } from '../base/failure.ts';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

const DEPTH_MAX = 1024;

const NUMBER = /(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\d.eE])/;
const STRING = /("(?:[^"\\\0-\x1f]|\\.)*"|'(?:[^'\\\0-\x1f]|\\.)*')/;
const TOKEN = new RegExp(`\\s*(?:([{}[\\]:,])|([a-z]+)|${NUMBER.source}|${STRING.source})`, 'y');
/** What a number or a string was when it went wrong. */
const STRAY = /\s*(["'][^\n]*|-?(?:0|[1-9]\d*)?(?:\.\d*)?(?:[eE][+-]?\d*)?.)/y;

type Kind = 'punctuation' | 'word' | 'number' | 'string';

interface Token {
  readonly kind: Kind;
  readonly text: string;
}

const wrong = (message: string): Failure => new Failure('invalid-argument', message);
const unparsable = (message: string): Failure => wrong(`JSON parse error, ${message}`);

/** Exactly one value. */
export function parseJson(text: string): JsonValue {
  let position = 0;
  let value: JsonValue | undefined;
  while (text.slice(position).trim() !== '') {
    const { tokens, end } = nextGroup(text, position);
    if (value !== undefined) throw wrong('Expecting at most one JSON value');
    value = new Parser(tokens).value();
    position = end;
  }
  if (value === undefined) throw wrong('Expecting a JSON value');
  return value;
}

/** The tokens of one value: up to where its brackets close. */
function nextGroup(text: string, start: number): { tokens: Token[]; end: number } {
  const tokens: Token[] = [];
  let depth = 0;
  let position = start;
  do {
    if (text.slice(position).trim() === '') throw unparsable('premature EOI');
    TOKEN.lastIndex = position;
    const match = TOKEN.exec(text);
    if (match === null) throw start > 0 && tokens.length === 0 ? wrong('Expecting at most one JSON value') : strayAt(text, position);
    const [whole, punctuation, word, number, string] = match;
    if (punctuation !== undefined) {
      tokens.push({ kind: 'punctuation', text: punctuation });
      if (punctuation === '{' || punctuation === '[') depth++;
      if (punctuation === '}' || punctuation === ']') depth--;
      if (depth > DEPTH_MAX) throw wrong('JSON nesting depth limit exceeded');
    } else if (word !== undefined) tokens.push({ kind: 'word', text: word });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number });
    else tokens.push({ kind: 'string', text: string! });
    position += whole.length;
  } while (depth > 0);
  return { tokens, end: position };
}

function strayAt(text: string, position: number): Failure {
  STRAY.lastIndex = position;
  return unparsable(`stray '${STRAY.exec(text)?.[1] ?? ''}'`);
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  value(): JsonValue {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw unparsable('premature EOI');
    switch (token.kind) {
      case 'number':
        return Number(token.text);
      case 'string':
        return unquoted(token.text);
      case 'word':
        return keyword(token.text);
      case 'punctuation':
        if (token.text === '{') return this.#object();
        if (token.text === '[') return this.#list();
        throw unparsable('expecting value');
    }
  }

  #takes(text: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== 'punctuation' || token.text !== text) return false;
    this.#at++;
    return true;
  }

  #object(): JsonObject {
    const members = new Map<string, JsonValue>();
    if (this.#takes('}')) return {};
    do {
      const name = this.value();
      if (typeof name !== 'string') throw unparsable('key is not a string in object');
      if (!this.#takes(':')) throw unparsable('missing : in object pair');
      const value = this.value();
      if (members.has(name)) throw unparsable('duplicate key');
      members.set(name, value);
    } while (this.#takes(','));
    if (!this.#takes('}')) throw unparsable('expected separator in dict');
    return Object.fromEntries(members);
  }

  #list(): readonly JsonValue[] {
    const items: JsonValue[] = [];
    if (this.#takes(']')) return items;
    do items.push(this.value());
    while (this.#takes(','));
    if (!this.#takes(']')) throw unparsable('expected separator in list');
    return items;
  }
}

function keyword(word: string): JsonValue {
  if (word === 'true' || word === 'false') return word === 'true';
  if (word === 'null') return null;
  throw unparsable(`invalid keyword '${word}'`);
}

// prettier-ignore
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"', "'": "'", '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t',
};

function unquoted(token: string): string {
  let value = '';
  for (let at = 1; at < token.length - 1; at++) {
    const character = token[at]!;
    if (character !== '\\') {
      value += character;
      continue;
    }
    const letter = token[++at]!;
    if (letter !== 'u') {
      const escaped = ESCAPES[letter];
      if (escaped === undefined) throw unparsable('invalid escape sequence in string');
      value += escaped;
      continue;
    }
    const digits = token.slice(at + 1, at + 5);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw unparsable(`\\u${digits} is not a valid Unicode character`);
    value += String.fromCharCode(parseInt(digits, 16));
    at += 4;
  }
  return value;
}
