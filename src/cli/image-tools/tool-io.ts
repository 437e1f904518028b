// What an image tool has of the process around it: where its text goes, and under which name it was started. Tests give
// their own, so that a command runs without a process of its own.

export interface ToolIo {
  /** The name that messages begin with: what the program was started as. */
  readonly program: string;
  /** Standard output is a terminal. */
  readonly isTerminal: boolean;
  out(text: string): void;
  error(text: string): void;
  /** The next line of standard input, without its end; undefined at the end. */
  readLine?(): Promise<string | undefined>;
  /** Called when the user interrupts (SIGINT, SIGTERM); returns how to stop listening. */
  onInterrupt?(stop: () => void): () => void;
}
