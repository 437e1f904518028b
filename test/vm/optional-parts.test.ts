// Parts that a board can be without: nothing answers at their ports, and the tables say so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Machine } from '../../src/platform/node/machine.ts';

const NOTHING = 0xff;
const PIC_MASK = 0x21;
const PIT_COUNTER = 0x40;
const SIGNATURE = 'APIC';
const PCAT_COMPAT = 1;

for (const type of ['pc', 'q35', 'microvm']) {
  for (const there of [true, false]) {
    test(`${type} ${there ? 'with' : 'without'} 8259s and 8254`, async () => {
      const machine = { type, acpi: true, hpet: true, pic: there, pit: there };
      const made = await Machine.create({ machine, builtinGuest: true, ramBytes: 16 << 20, startStopped: true });
      try {
        const { board, memory } = made;
        assert.deepEqual(['pic-master', 'pic-slave', 'pit'].map((name) => board.devices.devices.has(name)), [there, there, there]);
        assert.equal(board.bus.ports.read(PIC_MASK, 1) === NOTHING, !there);
        assert.equal(board.bus.ports.read(PIT_COUNTER, 1) === NOTHING && board.bus.ports.read(PIT_COUNTER, 1) === NOTHING, !there);
        const ram = Buffer.from(memory.view(0, 16 << 20)!);
        const at = ram.lastIndexOf(SIGNATURE);
        assert.equal(ram.readUInt32LE(at + 40) & PCAT_COMPAT, there ? PCAT_COMPAT : 0);
      } finally {
        await made.stop();
      }
    });
  }
}
