// One line of typing on a terminal in raw mode: echo, rubbing out, history. Knows a handful of control keys and the arrow
// keys, not a whole terminal.

export interface LineEvents {
  print(text: string): void;
  line(text: string): void;
}

const HISTORY_MAX = 64;
const LINE_MAX = 4096;

export class LineEditor {
  readonly #events: LineEvents;
  readonly #history: string[] = [];
  #historyIndex = 0;
  #line = '';
  #cursor = 0;
  /** The characters of an unfinished escape sequence. */
  #sequence = '';
  prompt: string;

  constructor(prompt: string, events: LineEvents) {
    this.prompt = prompt;
    this.#events = events;
  }

  showPrompt(): void {
    this.#events.print(this.prompt + this.#line);
  }

  type(text: string): void {
    for (const character of text) this.#key(character);
  }

  #key(character: string): void {
    if (this.#sequence !== '') return this.#continueSequence(character);
    const action = KEYS[character];
    if (action !== undefined) return this[action]();
    if (character >= ' ' && this.#line.length < LINE_MAX) this.#insert(character);
  }

  #continueSequence(character: string): void {
    this.#sequence += character;
    if (this.#sequence === '\x1b[' || this.#sequence === '\x1bO') return;
    if (/^\x1b\[\d+$/.test(this.#sequence)) return;
    const action = SEQUENCES[this.#sequence.slice(2)];
    this.#sequence = '';
    if (action !== undefined) this[action]();
  }

  #insert(character: string): void {
    this.#replace(this.#line.slice(0, this.#cursor) + character + this.#line.slice(this.#cursor), this.#cursor + 1);
  }

  startSequence(): void {
    this.#sequence = '\x1b';
  }

  enter(): void {
    const line = this.#line;
    this.#line = '';
    this.#cursor = 0;
    this.#events.print('\r\n');
    if (line.trim() !== '' && line !== this.#history.at(-1)) this.#history.push(line);
    if (this.#history.length > HISTORY_MAX) this.#history.shift();
    this.#historyIndex = this.#history.length;
    this.#events.line(line);
  }

  rubOut(): void {
    if (this.#cursor > 0) this.#replace(this.#line.slice(0, this.#cursor - 1) + this.#line.slice(this.#cursor), this.#cursor - 1);
  }

  deleteForward(): void {
    this.#replace(this.#line.slice(0, this.#cursor) + this.#line.slice(this.#cursor + 1), this.#cursor);
  }

  clear(): void {
    this.#replace('', 0);
  }

  cut(): void {
    this.#replace(this.#line.slice(0, this.#cursor), this.#cursor);
  }

  home(): void {
    this.#replace(this.#line, 0);
  }

  end(): void {
    this.#replace(this.#line, this.#line.length);
  }

  left(): void {
    this.#replace(this.#line, Math.max(0, this.#cursor - 1));
  }

  right(): void {
    this.#replace(this.#line, Math.min(this.#line.length, this.#cursor + 1));
  }

  older(): void {
    this.#recall(this.#historyIndex - 1);
  }

  newer(): void {
    this.#recall(this.#historyIndex + 1);
  }

  #recall(index: number): void {
    if (index < 0 || index > this.#history.length) return;
    this.#historyIndex = index;
    const line = this.#history[index] ?? '';
    this.#replace(line, line.length);
  }

  /** Redraws no more than has changed: plain typing at the end echoes just the character. */
  #replace(line: string, cursor: number): void {
    let same = 0;
    while (same < Math.min(this.#line.length, line.length) && this.#line[same] === line[same]) same++;
    const changed = this.#line !== line;
    const move = (from: number, to: number): string => (to < from ? '\b'.repeat(from - to) : (changed ? line : this.#line).slice(from, to));
    let text = '';
    let at = this.#cursor;
    if (changed) {
      text += at < same ? this.#line.slice(at, same) : '\b'.repeat(at - same);
      text += line.slice(same) + (line.length < this.#line.length ? '\x1b[K' : '');
      at = line.length;
    }
    text += move(at, cursor);
    this.#line = line;
    this.#cursor = cursor;
    if (text !== '') this.#events.print(text);
  }
}

type EditAction =
  | 'startSequence' | 'enter' | 'rubOut' | 'deleteForward' | 'clear' | 'cut' | 'home' | 'end' | 'left' | 'right' | 'older' | 'newer';

// prettier-ignore
const KEYS: Readonly<Record<string, EditAction>> = {
  '\x1b': 'startSequence', '\r': 'enter', '\n': 'enter', '\x7f': 'rubOut', '\b': 'rubOut', '\x04': 'deleteForward',
  '\x15': 'clear', '\x0b': 'cut', '\x01': 'home', '\x05': 'end', '\x02': 'left', '\x06': 'right', '\x10': 'older', '\x0e': 'newer',
};
// prettier-ignore
const SEQUENCES: Readonly<Record<string, EditAction>> = {
  A: 'older', B: 'newer', C: 'right', D: 'left', H: 'home', F: 'end', '1~': 'home', '4~': 'end', '3~': 'deleteForward',
};
