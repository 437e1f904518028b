// The text of a module, judged by binaryen: it must parse, and mean what the bytes mean.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodeWriter, ModuleWriter } from './code-writer.ts';
import { moduleText } from './module-text.ts';
import { OP, TYPE } from './opcodes.ts';

function example(): Uint8Array<ArrayBuffer> {
  const module = new ModuleWriter({ initial: 2, maximum: 2 }, 'example');
  const twice = module.importFunction('env', 'twice', { params: ['i32'], results: ['i32'] });
  const code = new CodeWriter(16);
  const done = code.block();
  const again = code.loop();
  code.get(0);
  code.op(OP.i32_eqz);
  code.brIf(done);
  code.get(0);
  code.i32(-1);
  code.op(OP.i32_add);
  code.set(0);
  code.get(0);
  code.if(TYPE.i64);
  code.i64big(0x123456789abcdefn);
  code.else();
  code.i32(0x10000);
  code.memory(OP.i64_load, 8);
  code.end();
  code.set(1);
  code.br(again);
  code.end();
  code.end();
  code.get(0);
  code.call(twice);
  module.addFunction('run', { params: ['i32'], results: ['i32'] }, ['i64'], code);
  return module.encode();
}

const TEXT = `(module $example
  (type $t0 (func (param i32) (result i32)))
  (import "env" "memory" (memory 2 2 shared))
  (import "env" "twice" (func $twice (type $t0)))
  ;; 50 bytes of code, 1 of 1 locals used
  (func $run (export "run") (param $count i32) (result i32)
    (local $value i64)
    block
      loop
        local.get $count i32.eqz br_if 1
        ;; one less
        local.get $count i32.const -1 i32.add local.set $count
        local.get $count if (result i64)
          i64.const 0x123456789abcdef
        else
          i32.const 0x10000 i64.load offset=8 (;value;)
        end
        local.set $value
        br 0
      end
    end
    local.get $count call $twice
  )
)
`;

test('a module as text', () => {
  const comments = new Map([[9, 'one less']]);
  const addressName = (offset: number): string | undefined => (offset === 8 ? 'value' : undefined);
  const text = moduleText(example(), { localNames: ['count', 'value'], addressName, comments: () => comments });
  assert.equal(text, TEXT);
});

test('binaryen reads the text, and it is the same module', async () => {
  const { default: binaryen } = await import('binaryen');
  const parsed = binaryen.parseText(moduleText(example()));
  parsed.setFeatures(binaryen.Features.All);
  const bytes = new Uint8Array(parsed.emitBinary()); // a copy in memory of its own
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 2, shared: true });
  const results = [example(), bytes].map((module) => {
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module), { env: { memory, twice: (value: number) => value * 2 + 1 } });
    return (instance.exports as { run(count: number): number }).run(5);
  });
  assert.deepEqual(results, [1, 1]);
});
