// Tests of the files of trace events: what is written is read back; the timeline is what its format asks for; the ring keeps the last.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../base/failure.ts';
import { defineEvents, enableEvents, eventCatalogue, setTraceClock, setTraceSink, type TraceSink } from './event.ts';
import { FlightRecorder } from './flight-recorder.ts';
import { readSimpleTrace, SimpleTraceWriter, traceEventsFile } from './simple-format.ts';
import { TimelineWriter } from './timeline.ts';

const trace = defineEvents('sampleFile', {
  submit: 'request {request} at {offset:hex} by {who:str}', reqComplete: 'request {request}',
  loopBegin: 'turn {turn}', loopEnd: 'turn {turn}',
});

function traced(sink: TraceSink, action: () => void): void {
  const former = setTraceSink(sink);
  setTraceClock(() => 1e15);
  enableEvents('sample_file_*');
  try {
    action();
  } finally {
    enableEvents('sample_file_*', false);
    setTraceSink(former);
  }
}

function simpleFile(action: () => void): Uint8Array {
  const pieces: Uint8Array[] = [];
  const writer = new SimpleTraceWriter((piece) => pieces.push(piece.slice()), 42);
  traced(writer.sink, action);
  writer.flush();
  return Uint8Array.from(Buffer.concat(pieces));
}

test('a simple file is read back, over many pieces', () => {
  const file = simpleFile(() => {
    for (let turn = 0; turn < 20_000; turn++) trace.submit?.({ request: turn, offset: 2 ** 40 + turn, who: `vCPU ${turn}` });
    trace.submit?.({ request: -1, offset: 0xffff_ffff_ffff_ffffn, who: 'é' });
  });
  const records = [...readSimpleTrace(file, eventCatalogue())];
  assert.equal(records.length, 20_001);
  assert.deepEqual(records[7]!.values, { request: 7n, offset: 2n ** 40n + 7n, who: 'vCPU 7' });
  assert.deepEqual(records[20_000]!.values, { request: 2n ** 64n - 1n, offset: 2n ** 64n - 1n, who: 'é' });
  assert.ok(records.every(({ event, pid, atNs }) => event?.name === 'sample_file_submit' && pid === 42 && atNs === 1e15));
});

test('a header and a mapping are where the format has them', () => {
  const file = new DataView(simpleFile(() => trace.loopBegin?.({ turn: 5 })).buffer);
  const word = (at: number): bigint => file.getBigUint64(at, true);
  const name = 'sample_file_loop_begin'.length;
  assert.deepEqual([word(0), word(8), word(16)], [2n ** 64n - 1n, 0xf2b177cb0aa429b4n, 4n]);
  assert.deepEqual([word(24), file.getUint32(40, true)], [0n, name]);
  const event = 44 + name;
  assert.deepEqual([word(event), word(event + 8), file.getUint32(event + 24, true)], [1n, word(32), 32]);
  assert.deepEqual([word(event + 32), file.byteLength], [5n, event + 40]);
});

test('a damaged file is a failure, wherever it ends', () => {
  const file = simpleFile(() => trace.submit?.({ request: 1, offset: 2, who: 'x' }));
  let refused = 0;
  for (let end = 0; end < file.length; end++) {
    try {
      for (const _ of readSimpleTrace(file.subarray(0, end), eventCatalogue()));
    } catch (error) {
      assert.ok(error instanceof Failure);
      refused++;
    }
  }
  assert.equal(refused, file.length - 2); // cut between records it is whole
  assert.throws(() => [...readSimpleTrace(file, [])], /is not declared/);
});

test("the declarations in QEMU's notation", () => {
  const text = traceEventsFile(eventCatalogue().filter(({ name }) => name === 'sample_file_submit'));
  const parameters = 'uint64_t request, uint64_t offset, const char *who';
  assert.equal(text, `sample_file_submit(${parameters}) "request %"PRIu64" offset 0x%"PRIx64" who %s"\n`);
});

test('a timeline has spans, moments and a flow along a request', () => {
  let text = '';
  const writer = new TimelineWriter((part) => { text += part; }, { pid: 1, program: 'test' });
  traced(writer.sink, () => {
    trace.loopBegin?.({ turn: 1 });
    for (const request of [1, 2]) trace.submit?.({ request, offset: 4096, who: 'vCPU' });
    trace.loopEnd?.({ turn: 1 });
    trace.reqComplete?.({ request: 1 });
  });
  writer.finish();
  const { traceEvents } = JSON.parse(text) as { traceEvents: { ph: string; name: string; id?: number; ts: number; args?: object }[] };
  assert.deepEqual(traceEvents.map(({ ph, id }) => `${ph}${id ?? ''}`), ['M', 'M', 'B', 'X', 's1', 'X', 's2', 'E', 'X', 'f1']);
  assert.deepEqual(traceEvents[3]!.args, { request: 1, offset: '0x1000', who: 'vCPU' });
  assert.equal(traceEvents[2]!.name, traceEvents[7]!.name);
});

/** The Trace Event Format's JSON object form, as far as spans, moments, flows and metadata go. */
function checkTimeline(text: string): void {
  const file = JSON.parse(text) as { traceEvents: Record<string, unknown>[]; displayTimeUnit: unknown };
  assert.ok(file.displayTimeUnit === 'ns' || file.displayTimeUnit === 'ms');
  const required: Readonly<Record<string, readonly string[]>> = {
    M: ['name', 'args'], B: ['name', 'cat'], E: [], X: ['name', 'cat', 'dur'], s: ['id', 'name', 'cat'], t: ['id', 'name', 'cat'],
    f: ['id', 'name', 'cat', 'bp'],
  };
  const open = new Map<unknown, unknown[]>();
  const flows = new Map<unknown, string>();
  for (const event of file.traceEvents) {
    const members = required[String(event['ph'])];
    assert.ok(members !== undefined, `phase ${String(event['ph'])}`);
    for (const member of members) assert.ok(event[member] !== undefined, `${String(event['ph'])} has ${member}`);
    for (const member of ['pid', 'tid', 'ts']) assert.equal(typeof event[member], 'number');
    if (event['args'] !== undefined) assert.equal(typeof event['args'], 'object');
    const spans = open.get(event['tid']) ?? [];
    open.set(event['tid'], spans);
    if (event['ph'] === 'B') spans.push(event['name']);
    if (event['ph'] === 'E') assert.equal(spans.pop(), event['name']);
    if (!['s', 't', 'f'].includes(String(event['ph']))) continue;
    const before = flows.get(event['id']);
    assert.ok(event['ph'] === 's' ? before === undefined : before === 's' || before === 't', `flow ${String(event['id'])} in its order`);
    flows.set(event['id'], String(event['ph']));
  }
  for (const spans of open.values()) assert.deepEqual(spans, []);
}

test('a timeline of many events is what its format asks for', () => {
  let text = '';
  const writer = new TimelineWriter((part) => { text += part; }, { pid: 1, program: 'te"st' });
  traced(writer.sink, () => {
    for (let turn = 0; turn < 50; turn++) {
      trace.loopBegin?.({ turn });
      trace.submit?.({ request: turn, offset: 2n ** 60n, who: 'a "name"\n' });
      trace.loopEnd?.({ turn });
      if (turn % 2 === 1) trace.reqComplete?.({ request: turn });
    }
  });
  writer.finish();
  checkTimeline(text);
});

test('the ring keeps the last events, in their order', () => {
  const recorder = new FlightRecorder(3);
  traced(recorder.sink, () => {
    for (let turn = 0; turn < 8; turn++) trace.loopBegin?.({ turn });
  });
  const turns: unknown[] = [];
  recorder.replay((_event, _atNs, values) => turns.push(values['turn']));
  assert.deepEqual([turns, recorder.lost], [[5, 6, 7], 5]);
});
