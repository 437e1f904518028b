// Hostile peers over a stream in memory: sessions that are right up to a point and then changed, cut or repeated. Against the
// server (no request reaches the export outside its bounds, nothing is written to a read-only one, the session ends) and against
// the client (every request ends in a result or a Failure).
import { assert } from '../../base/assert.ts';
import { Failure } from '../../base/failure.ts';
import { Prng } from '../../base/prng.ts';
import { concatBytes } from '../../struct/layout.ts';
import { ClientHandshake } from './client-handshake.ts';
import { NbdClient } from './client.ts';
import { MemoryExport } from './memory-export.ts';
import { memoryStreamPair, type MemoryStream } from './memory-stream.ts';
import * as protocol from './protocol.ts';
import { CHUNK, CMD, CONTEXT_BASE_ALLOCATION, OPT, REP } from './protocol.ts';
import { serveNbdClient } from './server.ts';

const SIZE = 64 << 10;
const text = new TextEncoder();
const OPTIONS = [...Object.values(OPT), 0, 11, 99];
const NAMES = ['', 'a', 'nope', CONTEXT_BASE_ALLOCATION, 'base:', 'qemu:', 'x'.repeat(5000)];

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value >>> 0);
  return bytes;
}

const named = (name: string): Uint8Array => concatBytes(u32(text.encode(name).length), text.encode(name));

function optionData(random: Prng, option: number): Uint8Array {
  switch (option) {
    case OPT.INFO:
    case OPT.GO:
      return concatBytes(named(random.oneIn(3) ? random.pick(NAMES) : ''), [0, 1, 0, random.below(5)]);
    case OPT.LIST_META_CONTEXT:
    case OPT.SET_META_CONTEXT: {
      const queries = Array.from({ length: random.below(4) }, () => named(random.pick(NAMES)));
      return concatBytes(named(''), u32(queries.length), ...queries);
    }
    case OPT.EXPORT_NAME:
      return text.encode(random.oneIn(2) ? '' : random.pick(NAMES));
    default:
      return new Uint8Array(random.oneIn(4) ? random.below(20) : 0);
  }
}

function optionMessage(random: Prng, option: number): Uint8Array {
  const data = optionData(random, option);
  const length = random.oneIn(30) ? random.u32() : data.length;
  return concatBytes(protocol.optionHeader.encode({ magic: protocol.OPTION_MAGIC, option, length }), data);
}

function requestMessage(random: Prng): Uint8Array {
  const type = random.oneIn(10) ? random.below(20) : random.below(8);
  const length = random.oneIn(10) ? random.u32() : random.below(9000);
  const offset = random.oneIn(10) ? random.u32() * 2 ** random.below(22) : random.below(SIZE);
  const flags = random.oneIn(3) ? random.below(64) : 0;
  const header = protocol.encodeRequest({ flags, type, cookieHigh: 0, cookieLow: random.below(8), offset, length });
  return type === CMD.WRITE && length < SIZE ? concatBytes(header, new Uint8Array(length).fill(1)) : header;
}

function clientSession(random: Prng): Uint8Array {
  const parts: Uint8Array[] = [u32(random.oneIn(10) ? random.below(8) : 3)];
  if (!random.oneIn(3)) parts.push(optionMessage(random, OPT.STRUCTURED_REPLY));
  for (let n = random.below(5); n > 0; n--) parts.push(optionMessage(random, random.pick(OPTIONS)));
  if (!random.oneIn(4)) parts.push(optionMessage(random, OPT.GO));
  for (let n = random.below(30); n > 0; n--) parts.push(requestMessage(random));
  return damage(random, concatBytes(...parts));
}

/** Changes some bytes, or cuts the end off. */
function damage(random: Prng, bytes: Uint8Array): Uint8Array {
  if (random.oneIn(2)) return bytes;
  for (let n = random.below(4); n > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
  return random.oneIn(3) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
}

/** Takes what comes and forgets it. */
async function drain(stream: MemoryStream): Promise<void> {
  const one = new Uint8Array(1);
  try {
    for (;;) await stream.readExactly(one);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
  }
}

async function fuzzServer(random: Prng): Promise<void> {
  const [stream, peer] = memoryStreamPair();
  const readOnly = random.oneIn(2);
  const exports = [new MemoryExport(SIZE, { readOnly }), new MemoryExport(512, { name: 'a', readOnly })];
  exports[0]!.bytes.fill(7, 0, SIZE / 2);
  const before = exports[0]!.bytes.slice();
  const serving = serveNbdClient(peer, { exports: new Map(exports.map((exported) => [exported.name, exported])) });
  const reading = drain(stream);
  await stream.write(clientSession(random)).catch((error: unknown) => assert(error instanceof Failure, 'only the server may end it'));
  stream.end();
  await serving;
  await reading;
  assert(!readOnly || exports[0]!.bytes.every((byte, index) => byte === before[index]), 'a read-only export stays as it was');
  assert(exports.every(({ inFlight, inFlightMax }) => inFlight === 0 && inFlightMax <= 16), 'requests are counted');
}

// The other direction --------------------------------------------------------------------------------------------------------

function optionReply(option: number, type: number, data: Uint8Array): Uint8Array {
  return concatBytes(protocol.optionReplyHeader.encode({ magic: protocol.OPTION_REPLY_MAGIC, option, type, length: data.length }), data);
}

function serverHandshake(random: Prng): Uint8Array {
  const nothing = new Uint8Array(0);
  const exportInfo = protocol.infoExport.encode({ type: 0, size: BigInt(SIZE), flags: 0xded });
  const sizes = protocol.infoBlockSize.encode({ type: 3, minimum: 1, preferred: 4096, maximum: 1 << 25 });
  return damage(
    random,
    concatBytes(
      text.encode('NBDMAGICIHAVEOPT'), [0, 3],
      optionReply(OPT.STRUCTURED_REPLY, REP.ACK, nothing),
      optionReply(OPT.SET_META_CONTEXT, REP.META_CONTEXT, concatBytes(u32(5), text.encode(CONTEXT_BASE_ALLOCATION))),
      optionReply(OPT.SET_META_CONTEXT, REP.ACK, nothing),
      optionReply(OPT.GO, REP.INFO, sizes),
      optionReply(OPT.GO, REP.INFO, exportInfo),
      optionReply(OPT.GO, random.oneIn(20) ? REP.ERR_POLICY : REP.ACK, nothing),
    ),
  );
}

function chunk(random: Prng, cookieLow: number): Uint8Array {
  const request = { flags: 0, type: 0, cookieHigh: 0, cookieLow, offset: 0, length: 0 };
  if (random.oneIn(3)) return protocol.encodeSimpleReply(request, random.oneIn(2) ? 0 : random.below(130));
  const type = random.pick([...Object.values(CHUNK), 77]);
  const size = random.pick([0, 4, 6, 8, 12, 20, 4104]);
  const [bytes, payload] = protocol.encodeChunk(request, random.below(2), type, size, size);
  for (let at = 0; at + 4 <= size && at < 16; at += 4) payload.setUint32(at, random.pick([0, 1, 5, 512, 4096, random.u32()]));
  return bytes;
}

async function fuzzClient(random: Prng): Promise<void> {
  const [stream, peer] = memoryStreamPair();
  const reading = drain(peer);
  const replies = Array.from({ length: 12 }, () => chunk(random, 1 + random.below(5)));
  const script = concatBytes(serverHandshake(random), damage(random, concatBytes(...replies)));
  const writing = peer.write(script).then(() => peer.end(), () => {});
  const expectFailure = (error: unknown): void => assert(error instanceof Failure, `a Failure, not ${String(error)}`);
  const handshake = new ClientHandshake(stream, { exportName: '', context: CONTEXT_BASE_ALLOCATION });
  try {
    const client = new NbdClient(handshake.stream, await handshake.enter());
    await Promise.all([
      client.read(0, new Uint8Array(4096)).catch(expectFailure),
      client.status(0, SIZE).catch(expectFailure),
      client.write(0, new Uint8Array(512), 0).catch(expectFailure),
      client.command(CMD.FLUSH, 0, 0, 0).catch(expectFailure),
    ]);
    await client.close();
  } catch (error) {
    expectFailure(error);
  }
  stream.close();
  await Promise.all([writing, reading]);
}

/** One case: a hostile client or a hostile server. */
export async function fuzzNbd(seed: number): Promise<void> {
  const random = new Prng(seed);
  await (seed % 2 === 0 ? fuzzServer(random) : fuzzClient(random));
}
