// NBD against other implementations, both ways: our server with libnbd's tools and qemu's as clients, our client with qemu-nbd
// and nbdkit as servers, and the command line's complaints word for word.
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BlockBackend } from '../../src/block/backend.ts';
import { BlockGraph } from '../../src/block/graph.ts';
import { OptionDict } from '../../src/block/options.ts';
import { runNbd } from '../../src/cli/nbd.ts';
import { createBlockHost } from '../../src/platform/node/block-host.ts';
import { hasProgram, mustRun, noReference, runProgram, TwinFolders, type CommandResult } from './reference.ts';

const folder = mkdtempSync(join(tmpdir(), 'nandu-nbd-'));
const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

const KIB = 1024;
const image = join(folder, 'image.raw');
const content = Buffer.alloc(1024 * KIB);
for (let at = 0; at < content.length; at += 256 * KIB) randomBytes(128 * KIB).copy(content, at);
writeFileSync(image, content);

const ours = join(folder, 'qemu-nbd');
symlinkSync(join(process.cwd(), 'bin', 'nandu-nbd'), ours);
const ourImg = join(folder, 'qemu-img'), ourIo = join(folder, 'qemu-io');
symlinkSync(join(process.cwd(), 'bin', 'nandu-img'), ourImg);
symlinkSync(join(process.cwd(), 'bin', 'nandu-io'), ourIo);

interface Server {
  readonly uri: string;
  readonly socket: string;
  /** The exit status. */
  readonly ended: Promise<number | null>;
  stop(): Promise<number | null>;
}

let sockets = 0;

async function start(program: readonly string[], words: readonly string[], socketOption = '-k'): Promise<Server> {
  const socket = join(folder, `socket${sockets++}`);
  const child = spawn(program[0]!, [...program.slice(1), socketOption, socket, ...words], { stdio: 'ignore', cwd: folder });
  children.add(child);
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  for (let tries = 0; !existsSync(socket) && tries < 400 && child.exitCode === null; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  return {
    uri: `nbd+unix:///?socket=${socket}`,
    socket,
    ended,
    stop() {
      child.kill();
      return ended;
    },
  };
}

const startOurs = (...words: readonly string[]): Promise<Server> => start([process.execPath, ours], words);
const startNbdkit = (...words: readonly string[]): Promise<Server> => start(['nbdkit', '-f'], words, '-U');
const startTheirs = (...words: readonly string[]): Promise<Server> => start(['qemu-nbd'], words);

/** What a client says of a server, without the server's own name. */
async function seenBy(program: string, words: readonly string[], server: Server): Promise<string> {
  const filled = words.map((word) => word.replace('URI', server.uri).replace('SOCKET', server.socket));
  const { stdout, stderr } = await runProgram(program, filled, { cwd: folder });
  return (stdout + stderr).replaceAll(server.socket, 'SOCKET');
}

const noLibnbd = noReference || (hasProgram('nbdinfo') ? false : 'libnbd-bin is not installed');

test('other clients see in our server what they see in the reference', { skip: noLibnbd }, async () => {
  mustRun('img', ['create', '-q', '-f', 'qcow2', 'base.qcow2', '1M'], folder);
  mustRun('io', ['-c', 'write -P 5 0 64k', 'base.qcow2'], folder);
  mustRun('img', ['create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'top.qcow2'], folder);
  mustRun('img', ['bitmap', '--add', 'top.qcow2', 'changes'], folder);
  mustRun('io', ['-c', 'write -P 1 64k 128k', 'top.qcow2'], folder);
  const settings = [
    ['-t', '-f', 'raw', '-r', image],
    ['-t', '-f', 'raw', '-e', '0', '-D', 'text', '-o', '512', image],
    ['-t', '-f', 'qcow2', '-e', '3', '-A', '-B', 'changes', 'top.qcow2'],
  ];
  // prettier-ignore
  const looks = [
    ['nbdinfo', '--no-content', 'URI'], ['nbdinfo', '--list', '--no-content', 'URI'], ['nbdinfo', '--map', 'URI'],
    ['nbdinfo', '--map=qemu:allocation-depth', 'URI'], ['nbdinfo', '--map=qemu:dirty-bitmap:changes', 'URI'], ['qemu-nbd', '-L', '-k', 'SOCKET'],
    ['qemu-img', 'map', '--output=json', '-f', 'raw', 'URI'], ['nbdinfo', 'URI?nothing'],
  ];
  for (const words of settings) {
    const answers: string[][] = [];
    for (const begin of [startTheirs, startOurs]) {
      const server = await begin(...words);
      const answer: string[] = [];
      for (const [program, ...rest] of looks) answer.push(await seenBy(program!, rest, server));
      assert.equal(await server.stop(), 0);
      answers.push(answer);
    }
    assert.deepEqual(answers[1], answers[0], words.join(' '));
  }
});

test('data go through our server unchanged', { skip: noLibnbd }, async () => {
  const target = join(folder, 'written.raw');
  writeFileSync(target, Buffer.alloc(content.length, 1));
  const source = await startOurs('-t', '-e', '0', '-f', 'raw', image);
  const sink = await startOurs('-t', '-e', '0', '-f', 'raw', target);
  const { status, stderr } = await runProgram('nbdcopy', ['--flush', source.uri, sink.uri], { cwd: folder });
  assert.equal(status, 0, stderr);
  assert.equal(await seenBy('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', 'URI', image], sink), 'Images are identical.\n');
  await Promise.all([source.stop(), sink.stop()]);
  assert.deepEqual(readFileSync(target), content);
});

/** nbdsh with the system's Python, whose module it is, whatever Python comes first elsewhere. */
const NBDSH = ['env', `PATH=/usr/bin:/bin:${process.env['PATH']}`, 'nbdsh'] as const;
const hasNbdsh = spawnSync(NBDSH[0], [...NBDSH.slice(1), '-c', 'pass'], { stdio: 'ignore' }).status === 0;
const noNbdsh = noLibnbd || (hasNbdsh ? false : 'nbdsh is not installed (apt-get install python3-libnbd)');
const noNbdkit = noReference || (hasProgram('nbdkit') ? false : 'nbdkit is not installed');

/** What a program in Python, with the connection as `h`, prints. */
async function script(server: Server, lines: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runProgram(NBDSH[0], [...NBDSH.slice(1), '-c', lines.join('\n')], { cwd: folder });
  assert.equal(status, 0, stderr);
  return stdout.replaceAll(server.socket, 'SOCKET');
}

const connected = (server: Server): string[] => [
  'h.set_strict_mode(0)',
  'h.add_meta_context("base:allocation")',
  `h.connect_unix("${server.socket}")`,
  'def attempt(name, call):',
  '  try: print(name, call())',
  '  except nbd.Error as e: print(name, e.errno)',
  'def status(start, count):',
  '  found = []',
  '  h.block_status(count, start, lambda context, offset, entries, error: found.append((context, offset, entries)) and 0)',
  '  return found',
];

test('nbdsh finds the same contents, extents and errors as in the reference', { skip: noNbdsh }, async () => {
  const requests = [
    'print(h.get_size(), h.is_read_only(), h.can_trim(), h.can_zero(), h.can_fua(), h.can_cache(), h.can_df(), h.can_multi_conn())',
    'attempt("write", lambda: h.pwrite(b"x" * 5000, 70000))',
    'attempt("written", lambda: h.pread(5002, 69999) == b"\\0" + b"x" * 5000 + b"\\0")',
    'attempt("fua", lambda: h.pwrite(b"y" * 512, 200000, nbd.CMD_FLAG_FUA))',
    'attempt("zero", lambda: h.zero(65536, 262144, nbd.CMD_FLAG_NO_HOLE))',
    'attempt("trim", lambda: h.trim(65536, 65536))',
    'attempt("trimmed", lambda: h.pread(65536, 65536) == bytes(65536))',
    'attempt("flush", lambda: h.flush())',
    'if not h.is_read_only(): attempt("cache", lambda: h.cache(65536, 0))', // the reference has EPERM for it, see QUIRKS.md
    'attempt("extents", lambda: status(0, 1 << 20))',
    'attempt("one extent", lambda: status(100, 65536))',
    'attempt("beyond", lambda: len(h.pread(1024, (1 << 20) - 512)))',
    'attempt("write beyond", lambda: h.pwrite(bytes(1024), (1 << 20) - 512))',
    'attempt("zero beyond", lambda: h.zero(1024, (1 << 20) - 512))',
    'attempt("status beyond", lambda: status((1 << 20) - 512, 1024))',
    'attempt("still there", lambda: len(h.pread(512, 0)))',
  ];
  for (const words of [['-f', 'qcow2', 'shell.qcow2'], ['-r', '-f', 'qcow2', 'shell.qcow2']]) {
    const answers: string[] = [];
    for (const begin of [startTheirs, startOurs]) {
      mustRun('img', ['create', '-q', '-f', 'qcow2', 'shell.qcow2', '1M'], folder);
      const server = await begin('-t', ...words);
      answers.push(await script(server, [...connected(server), ...requests]));
      assert.equal(await server.stop(), 0);
    }
    assert.equal(answers[1], answers[0]);
  }
});

test('a killed client leaves the server to others', { skip: noNbdsh }, async () => {
  const server = await startOurs('-t', '-e', '2', '-f', 'raw', image);
  const endless = [...connected(server), 'b = nbd.Buffer(1 << 20)', 'while True: h.aio_pread(b, 0); h.poll(0)'];
  const victim = spawn(NBDSH[0], [...NBDSH.slice(1), '-c', endless.join('\n')], { stdio: 'ignore' });
  children.add(victim);
  await new Promise((resolve) => setTimeout(resolve, 300));
  victim.kill('SIGKILL');
  await new Promise((resolve) => victim.once('close', resolve));
  const first = await script(server, [...connected(server), 'import hashlib', 'print(hashlib.sha256(h.pread(1 << 20, 0)).hexdigest())']);
  assert.equal(first.trim(), createHash('sha256').update(content).digest('hex'));
  assert.equal(await server.stop(), 0);
});

test('TLS with pre-shared keys, both ways', { skip: noLibnbd || noNbdkit }, async () => {
  const keys = join(folder, 'keys.psk'), wrong = join(folder, 'wrong.psk');
  writeFileSync(keys, `alice:${'1f'.repeat(32)}\n`);
  writeFileSync(wrong, `alice:${'2e'.repeat(32)}\n`);
  const credentials = (endpoint: string): string => `tls-creds-psk,id=t,dir=${folder},endpoint=${endpoint}`;
  const served = await startOurs('-t', '-f', 'raw', '-r', '--object', credentials('server'), '--tls-creds', 't', image);
  const secure = (file: string): string => `nbds+unix://alice@/?socket=${served.socket}&tls-psk-file=${file}`;
  const nbdinfo = (uri: string): Promise<CommandResult> => runProgram('nbdinfo', ['--size', uri], { cwd: folder });
  assert.deepEqual((await nbdinfo(secure(keys))).stdout, `${content.length}\n`);
  assert.notEqual((await nbdinfo(secure(wrong))).status, 0);
  assert.notEqual((await nbdinfo(served.uri)).status, 0);
  assert.equal((await nbdinfo(secure(keys))).status, 0);
  await served.stop();

  const server = await startNbdkit('--tls=require', `--tls-psk=${keys}`, 'file', image);
  const address = `driver=nbd,server.type=unix,server.path=${server.socket}`;
  const compare = (more: readonly string[]): Promise<CommandResult> =>
    runProgram(process.execPath, [ourImg, 'compare', '--image-opts', ...more, `driver=raw,file.filename=${image}`], { cwd: folder });
  assert.equal((await compare(['--object', `${credentials('client')},username=alice`, `${address},tls-creds=t`])).status, 0);
  assert.equal((await compare([address])).status, 2);
  await server.stop();
});

test('nbdkit serves our client: contents, extents, writes and errors', { skip: noNbdkit }, async () => {
  const same = async (server: Server, program: 'img' | 'io', words: readonly string[]): Promise<string> => {
    const filled = words.map((word) => word.replace('URI', server.uri));
    const theirs = await runProgram(`qemu-${program}`, filled, { cwd: folder });
    const own = await runProgram(process.execPath, [program === 'img' ? ourImg : ourIo, ...filled], { cwd: folder });
    assert.deepEqual(own, theirs, filled.join(' '));
    return own.stdout + own.stderr;
  };
  const sparse = await startNbdkit('data', '@0x100000 1 2 3 @0x300000 4', 'size=6M');
  await same(sparse, 'img', ['map', '--output=json', '-f', 'raw', 'URI']);
  await same(sparse, 'img', ['info', '-f', 'raw', 'URI']);
  await same(sparse, 'io', ['-f', 'raw', '-r', '-c', 'map', 'URI']);
  await sparse.stop();
  const unaligned = await startNbdkit('data', '@0x1000 1 2 3', 'size=71000');
  await same(unaligned, 'img', ['map', '--output=json', '-f', 'raw', 'URI']);
  await unaligned.stop();
  const memory = await startNbdkit('memory', '1M');
  for (const command of ['write -P 9 1000 70000', 'write -z 64k 4k', 'discard 128k 64k', 'flush']) {
    const { status, stderr } = await runProgram(process.execPath, [ourIo, '-f', 'raw', '-c', command, memory.uri], { cwd: folder });
    assert.equal(status, 0, stderr);
  }
  const expected = Buffer.alloc(1 << 20);
  expected.fill(9, 1000, 71000).fill(0, 64 * KIB, 68 * KIB);
  writeFileSync(join(folder, 'expected.raw'), expected);
  assert.match(await same(memory, 'img', ['compare', '-f', 'raw', '-F', 'raw', 'expected.raw', 'URI']), /identical/);
  await memory.stop();
  const failing = await startNbdkit('--filter=error', 'memory', '1M', 'error-pread=EIO', 'error-pread-rate=100%');
  assert.match(await same(failing, 'io', ['-f', 'raw', '-c', 'read 0 4k', 'URI']), /Input\/output error/);
  await failing.stop();
});

test('a server without -t ends after its client', { skip: noLibnbd }, async () => {
  const server = await startOurs('-f', 'raw', image);
  assert.equal((await seenBy('nbdinfo', ['--size', 'URI'], server)).trim(), String(content.length));
  assert.equal(await server.ended, 0);
});

async function openRemote(server: Server): Promise<BlockBackend> {
  const graph = new BlockGraph(createBlockHost({ files: 'sync' }));
  const options = new OptionDict([['driver', 'nbd'], ['server.type', 'unix'], ['server.path', server.socket]]);
  return BlockBackend.open(graph, { options });
}

test('our client reads and writes through the reference', { skip: noReference }, async () => {
  const target = join(folder, 'remote.raw');
  writeFileSync(target, content);
  const server = await startTheirs('-t', '-f', 'raw', target);
  const backend = await openRemote(server);
  const all = new Uint8Array(content.length);
  await backend.read(0, all);
  assert.ok(content.equals(all));
  await backend.write(1000, new Uint8Array(5000).fill(9));
  await backend.writeZeroes(64 * KIB, 64 * KIB);
  await backend.flush();
  await assert.rejects(async () => backend.read(content.length - 1, new Uint8Array(2)), { errno: 'EIO' });
  await backend.close();
  await server.stop();
  const expected = Buffer.from(content);
  expected.fill(9, 1000, 6000).fill(0, 64 * KIB, 128 * KIB);
  assert.deepEqual(readFileSync(target), expected);
});

test('our client survives a killed server', { skip: noReference }, async () => {
  const server = await startTheirs('-t', '-f', 'raw', '-r', image);
  const graph = new BlockGraph(createBlockHost({ files: 'sync' }));
  const options = new OptionDict([['driver', 'raw']]);
  const backend = await BlockBackend.open(graph, { filename: server.uri, options, flags: { readOnly: true } });
  await backend.read(0, new Uint8Array(512));
  await server.stop();
  await assert.rejects(async () => backend.read(4096, new Uint8Array(512)), { errno: 'EIO' });
  await backend.close();
});

// prettier-ignore
const COMPLAINTS = [
  '', '-x', '--foo', 'a b', '-e x a', '-e -1 a', '-o x a', '-o 1M a', '-L a', '-L -k /nonexistent', '-L -k a', '-k rel a', '--cache=foo a',
  '--cache=none -n a', '--aio=foo a', '--discard=foo a', '--discard=on --discard=off a', '--detect-zeroes=foo a', '--tls-creds=x a', '--tls-authz=z a',
  '--object foo a', '--object secret a', '--object secret,id=s a', '-d', '-c', '--selinux-label=x a', '-L -f raw', '-L -A', '-L --fork', '-L -B x',
  '--tls-hostname=x a', '--tls-hostname=x --tls-creds=x a', '-P 1 a', '--s x', '--read-only=1 a', '-l snapshot.foo=1 a', '-k /nonexistent/x a',
  '-k SOCKET nofile', '-k SOCKET -f foo image.raw', '-k SOCKET -f qcow2 image.raw',
  '-k SOCKET -f raw -l one image.raw', '-k SOCKET -f raw -B one image.raw', '-k SOCKET --image-opts -f raw image.raw',
  '-k SOCKET -f raw -o 2000000 image.raw', '-k SOCKET --aio=native -f raw image.raw',
  '-k SOCKET -f raw --detect-zeroes=unmap image.raw', '-k SOCKET -f raw --pid-file=/nonexistent/x image.raw',
];

test('wrong command lines are refused in the same words', { skip: noReference }, async () => {
  const twins = new TwinFolders({ nbd: runNbd });
  try {
    twins.write('image.raw', (path) => writeFileSync(path, content));
    const socket = join(folder, 'complaints');
    for (const words of COMPLAINTS) await twins.same(`nbd ${words.replace('SOCKET', socket)}`);
  } finally {
    twins.remove();
  }
});
