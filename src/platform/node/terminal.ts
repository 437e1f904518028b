// The controlling terminal in raw mode, and back. Every way out of the process restores it: return, process.exit,
// uncaught errors and signals (those end in process.exit, see cli/run-machine.ts). After a stop and a continue by the
// shell it is made raw again.

let raw = false;
let hooked = false;

export function makeTerminalRaw(): void {
  if (!process.stdin.isTTY) return;
  if (!hooked) {
    hooked = true;
    process.on('exit', restoreTerminal);
    process.on('SIGCONT', remakeRaw);
  }
  process.stdin.setRawMode(true);
  raw = true;
}

export function restoreTerminal(): void {
  if (!raw) return;
  raw = false;
  process.stdin.setRawMode(false);
}

/** The shell has put its own settings back in the meantime; the library skips a mode that it believes to be set. */
function remakeRaw(): void {
  if (!raw) return;
  process.stdin.setRawMode(false);
  process.stdin.setRawMode(true);
}

/** What Ctrl-Z does: stops this process, with the terminal as the shell knows it. */
export function suspendProcess(): void {
  if (raw) process.stdin.setRawMode(false);
  process.kill(process.pid, 'SIGSTOP');
}
