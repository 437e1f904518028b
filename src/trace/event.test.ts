// Tests of trace events: patterns that switch them on and off, and their text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defineEvents, enableEvents, setTraceSink } from './event.ts';
import { textSink } from './text-sink.ts';

const trace = defineEvents('sample', { access: 'at {at:hex} value {value} by {who:str}', plain: 'nothing to say' });

test('an event that is off is undefined', () => {
  assert.equal(trace.access, undefined);
});

test('an enabled event writes its text, and a pattern turns it off again', () => {
  const lines: string[] = [];
  const former = setTraceSink(textSink((line) => lines.push(line.replace(/^\d+@\d+\.\d{6}:/, '')), { pid: 7, wallOffsetNs: 1e18 }));
  assert.equal(enableEvents('sample_*'), 2);
  trace.access?.({ at: 0x3f8, value: 7, who: 'cpu' });
  trace.plain?.({});
  assert.equal(enableEvents('sample_*', false), 2);
  trace.access?.({ at: 1, value: 1, who: 'cpu' });
  setTraceSink(former);
  assert.deepEqual(lines, ['sample_access at 0x3f8 value 7 by cpu\n', 'sample_plain nothing to say\n']);
});

test('a pattern that matches nothing says so', () => {
  assert.equal(enableEvents('sample_acc'), 0);
});
