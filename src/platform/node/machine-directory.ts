// How running machines are found: each listens on a Unix socket PID.sock in a folder of its user's alone, and answers whoever connects
// with one line of JSON about itself. It costs a machine nothing while nobody asks. Sockets that nobody listens on any more are removed
// by whoever finds them. Not a monitor: nothing can be asked for, and nothing changed.
import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { isErrorCode } from './system-error.ts';

const ANSWER_MS_MAX = 1000;
const ANSWER_BYTES_MAX = 1 << 20;
/** What sockaddr_un has room for. */
const PATH_BYTES_MAX = 107;

/** $XDG_RUNTIME_DIR/nandu, or a folder with the user's number among the temporary files. */
export function machineFolder(): string {
  const runtime = process.env['XDG_RUNTIME_DIR'];
  return runtime !== undefined && runtime !== '' ? join(runtime, 'nandu') : join(tmpdir(), `nandu-${userInfo().uid}`);
}

/** Only a folder that nobody else can look into or write to will do. */
function isOurs(folder: string): boolean {
  try {
    const found = lstatSync(folder);
    return found.isDirectory() && found.uid === userInfo().uid && (found.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

/** Answers with what `figures` returns; without such a folder nobody will find the machine, which is no failure. Returns how to stop. */
export function publishMachine(figures: () => unknown): () => void {
  const folder = machineFolder();
  const path = join(folder, `${process.pid}.sock`);
  if (process.platform === 'win32' || Buffer.byteLength(path) > PATH_BYTES_MAX) return () => {};
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (!isOurs(folder)) return () => {};
    rmSync(path, { force: true }); // of a process that had this number before
  } catch {
    return () => {};
  }
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`${JSON.stringify(figures())}\n`);
  });
  server.on('error', () => {});
  server.listen(path);
  server.unref();
  const remove = (): void => rmSync(path, { force: true });
  process.once('exit', remove);
  return () => {
    process.off('exit', remove);
    server.close();
    remove();
  };
}

export interface FoundMachine {
  readonly pid: number;
  /** Undefined when it did not answer in time. */
  readonly answer: unknown;
}

/** All machines of this user, by process number. */
export async function findMachines(): Promise<FoundMachine[]> {
  const folder = machineFolder();
  if (!isOurs(folder)) return [];
  const names = readdirSync(folder).filter((name) => /^\d+\.sock$/.test(name));
  const found = await Promise.all(names.map((name) => ask(join(folder, name), Number.parseInt(name, 10))));
  return found.filter((machine) => machine !== undefined).sort((a, b) => a.pid - b.pid);
}

/** Undefined when nobody is there. */
function ask(path: string, pid: number): Promise<FoundMachine | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(path);
    const done = (machine: FoundMachine | undefined): void => {
      socket.destroy();
      resolve(machine);
    };
    socket.setTimeout(ANSWER_MS_MAX, () => done({ pid, answer: undefined }));
    socket.on('data', (bytes) => {
      text += bytes.toString('utf8');
      if (text.length > ANSWER_BYTES_MAX) done({ pid, answer: undefined });
    });
    socket.on('end', () => done({ pid, answer: parsed(text) }));
    socket.on('error', (error) => {
      if (isErrorCode(error, 'ECONNREFUSED')) rmSync(path, { force: true });
      done(undefined);
    });
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
