// Runs a program on a pseudo-terminal, as a person would: waits for text, types keys, sends signals. Node has no
// pseudo-terminals; Python, where it is installed, does.
import { spawnSync } from 'node:child_process';

export type TerminalStep =
  | { readonly expect: string }
  | { readonly send: string }
  | { readonly signal: number }
  /** Notes the terminal's modes at this moment. */
  | { readonly checkModes: true };

export interface TerminalOutcome {
  readonly output: string;
  /** Null when the program had to be killed. */
  readonly exitStatus: number | null;
  readonly modes: 'raw' | 'cooked' | undefined;
  /** Whether the terminal's modes are what they were before. */
  readonly restored: boolean;
}

const PYTHON = `
import fcntl, json, os, pty, select, signal, struct, sys, termios, time
job = json.load(sys.stdin)
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
mask = termios.ECHO | termios.ICANON | termios.ISIG
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for n in range(3): os.dup2(slave, n)
    os.close(master)
    os.execvp(job['words'][0], job['words'])
deadline = time.time() + job['timeoutMs'] / 1000
out, seen, modes, status = b'', 0, None, None
def pump(wait):
    global out, status
    if select.select([master], [], [], wait)[0]: out += os.read(master, 65536)
    elif status is None:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done: status = code
for step in job['steps']:
    if 'expect' in step:
        mark = step['expect'].encode('latin1')
        while mark not in out[seen:] and status is None and time.time() < deadline: pump(0.05)
        if mark in out[seen:]: seen += out[seen:].index(mark) + len(mark)
    elif 'send' in step: os.write(master, step['send'].encode('latin1'))
    elif 'signal' in step: os.kill(pid, step['signal'])
    elif 'checkModes' in step: modes = 'cooked' if termios.tcgetattr(slave)[3] & mask else 'raw'
while status is None and time.time() < deadline: pump(0.05)
if status is None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
while select.select([master], [], [], 0.05)[0]: out += os.read(master, 65536)
restored = termios.tcgetattr(slave)[:4] == before[:4]
code = os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None
print(json.dumps({'output': out.decode('latin1'), 'exitStatus': code, 'modes': modes, 'restored': restored}))
`;

/** Why tests on a terminal must be skipped; false when they need not. */
export const noTerminal =
  spawnSync('python3', ['-c', 'import fcntl, pty, termios']).status !== 0 && 'there is no python3 for a pseudo-terminal';

/** A text that does not come before the time is up ends the wait; what happened is in the output. */
export function runOnTerminal(words: readonly string[], steps: readonly TerminalStep[], timeoutMs = 20_000): TerminalOutcome {
  const { stdout, stderr } = spawnSync('python3', ['-c', PYTHON], { input: JSON.stringify({ words, steps, timeoutMs }), encoding: 'utf8' });
  if (stderr !== '') throw new Error(stderr);
  return JSON.parse(stdout) as TerminalOutcome;
}
