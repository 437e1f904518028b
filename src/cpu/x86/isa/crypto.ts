// AES-NI, PCLMULQDQ and the SHA extensions (SDM volume 2): all are helpers of assembly/crypto.ts.
import type { BlockBuilder } from '../builder.ts';
import type { Slot } from '../record-writer.ts';
import { instruction, row } from '../row.ts';
import { SSE, sseSource } from './packed.ts';

for (const [name, opcode] of [['aesenc', 'DC'], ['aesenclast', 'DD'], ['aesdec', 'DE'], ['aesdeclast', 'DF']] as const)
  instruction(name, [row(`66 0F 38 ${opcode} /r`, ['Vx', 'Wx'], SSE)],
    (b) => b.helper(name, b.registerSlot(0), b.registerSlot(0), sseSource(b, 1)), { feature: 'aes' });
instruction('aesimc', [row('66 0F 38 DB /r', ['Vx', 'Wx'], SSE)],
  (b) => b.helper('aesimc', b.registerSlot(0), sseSource(b, 1)), { feature: 'aes' });
instruction('aeskeygenassist', [row('66 0F 3A DF /r', ['Vx', 'Wx', 'Ib'], SSE)], (b) => {
  b.helper('aeskeygenassist', b.registerSlot(0), sseSource(b, 1), undefined, b.immediate(2));
}, { feature: 'aes' });
instruction('pclmulqdq', [row('66 0F 3A 44 /r', ['Vx', 'Wx', 'Ib'], SSE)], (b) => {
  b.helper('pclmulqdq', b.registerSlot(0), b.registerSlot(0), sseSource(b, 1), b.immediate(2));
}, { feature: 'pclmulqdq' });

/** The manuals demand aligned memory of SHA instructions as of others; AMD's processors do not check it. */
const shaSource = (b: BlockBuilder): Slot => (b.isMemory(1) ? b.loadVector() : b.registerSlot(1));
for (const [name, opcode] of [
  ['sha1nexte', 'C8'], ['sha1msg1', 'C9'], ['sha1msg2', 'CA'],
  ['sha256rnds2', 'CB'], ['sha256msg1', 'CC'], ['sha256msg2', 'CD'],
] as const)
  instruction(name, [row(`NP 0F 38 ${opcode} /r`, ['Vx', 'Wx'], SSE)],
    (b) => b.helper(name, b.registerSlot(0), b.registerSlot(0), shaSource(b)), { feature: 'sha-ni' });
instruction('sha1rnds4', [row('NP 0F 3A CC /r', ['Vx', 'Wx', 'Ib'], SSE)], (b) => {
  b.helper('sha1rnds4', b.registerSlot(0), b.registerSlot(0), shaSource(b), b.immediate(2));
}, { feature: 'sha-ni' });
