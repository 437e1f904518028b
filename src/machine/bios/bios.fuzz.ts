// A boot sector that calls services with random registers, segments, stacks and memory: nothing throws, and every call ends or
// waits. Drives answer at once, later, or fail.
import { assert } from '../../base/assert.ts';
import { Prng } from '../../base/prng.ts';
import { cpuOffset } from '../../cpu/x86/state.ts';
import { BiosBench, bootDrive, MemoryDrive, turn } from './bios-bench.ts';
import { ANSWER, BIOS_PORT, BIOS_PORTS, BIOS_SEGMENT, SERVICE_VECTORS } from './rom.ts';

const CALLS = 400;
const VECTORS = [...SERVICE_VECTORS, 0x08, 0x09, 0x70, 0x13, 0x13, 0x10, 0x15];
const REGISTERS = ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp'] as const;
const FUNCTIONS = [0x02, 0x03, 0x08, 0x09, 0x13, 0x41, 0x42, 0x43, 0x48, 0x4b, 0x87, 0xb1, 0xe8];
const DRIVES = [0, 1, 0x80, 0x81, 0xe0];

function scramble(random: Prng, { processor, registers, ram }: BiosBench): void {
  for (const name of REGISTERS) processor.setUint32(cpuOffset(name), random.u32(), true);
  if (random.oneIn(2)) registers.ah = random.pick(FUNCTIONS);
  if (random.oneIn(2)) registers.dl = random.pick(DRIVES);
  if (random.oneIn(2)) registers.cx = random.below(300);
  if (random.oneIn(4)) registers.eax = 0xe820;
  if (random.oneIn(8)) registers.edx = 0x534d4150;
  for (const name of ['ds', 'es'] as const) registers.setSegment(name, random.oneIn(4) ? random.below(0x10000) : random.below(0x2000));
  processor.setUint32(cpuOffset('a20Mask'), random.oneIn(8) ? 0xffefffff : 0xffffffff, true);
  // A disk address packet here and there, and noise in the data area.
  const packet = registers.address('ds', registers.si);
  if (packet + 24 < ram.length) {
    const [low, high, offset, segment] = [random.below(200), random.below(3), random.below(0x10000), random.below(256)];
    ram.set([random.pick([16, 24, 0, 255]), 0, low, high, offset & 0xff, offset >> 8, 0, segment], packet);
    ram.fill(0, packet + 8, packet + 24);
    ram.set([random.below(256), random.below(64)], packet + 8);
  }
  if (random.oneIn(3)) ram[0x400 + random.below(0x100)] = random.below(256);
}

export async function fuzzBios(seed: number): Promise<void> {
  const random = new Prng(seed);
  const drives = ['a', 'b', 'fd', 'cd'].map((name, n) => new MemoryDrive(name, new Uint8Array(2 << 20), n === 3));
  drives[0]!.bytes.set([0x55, 0xaa], 510);
  const media = ['disk', 'disk', 'floppy', 'cdrom'] as const;
  const bench = new BiosBench(drives.map((drive, n) => bootDrive(media[n]!, drive)));
  await bench.start();
  for (let n = 0; n < CALLS; n++) {
    for (const drive of drives) {
      drive.late = random.oneIn(4);
      drive.fails = random.oneIn(10);
    }
    scramble(random, bench);
    bench.registers.setSegment('cs', BIOS_SEGMENT);
    if (random.oneIn(20)) {
      bench.registers.setStack(random.below(0x10000), random.u32());
      bench.bus.ports.write(BIOS_PORT + random.below(BIOS_PORTS.COUNT), 1, 0);
    } else {
      const answer = bench.step(random.pick(VECTORS));
      assert(answer <= ANSWER.HALT, `an answer of ${answer}`);
    }
    if (random.oneIn(10)) await turn();
    bench.clock.timeNs += random.below(1e8);
  }
}
