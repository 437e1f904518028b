// Small boot images made on the spot, well-formed until somebody changes them: what the tests and the fuzzer start from.
// None of them does anything when run, except the built-in guest (builtin-guest.ts).
import { concatBytes, cString, layout, le16, le32, le64, u8 } from '../../struct/layout.ts';

const PAYLOAD_BYTES = 0x1000;
const LOAD_ADDRESS = 0x200000;
const payload = (): Uint8Array => Uint8Array.from({ length: PAYLOAD_BYTES }, (_, n) => (n * 7) & 0xff);

function multibootHeader(flags: number, addresses: readonly number[] = []): Uint8Array {
  const MAGIC = 0x1badb002;
  const words = [MAGIC, flags, -(MAGIC + flags) >>> 0, ...addresses];
  return new Uint8Array(Uint32Array.from(words).buffer);
}

// prettier-ignore
const elf32 = layout('ELF32', {
  magic: le32(0), class: u8(4), data: u8(5), version: u8(6), type: le16(16), machine: le16(18), version2: le32(20), entry: le32(24),
  phoff: le32(28), ehsize: le16(40), phentsize: le16(42), phnum: le16(44),
}, 52);
// prettier-ignore
const program32 = layout('program32', {
  type: le32(0), offset: le32(4), vaddr: le32(8), paddr: le32(12), filesz: le32(16), memsz: le32(20), flags: le32(24), align: le32(28),
});
// prettier-ignore
const elf64 = layout('ELF64', {
  magic: le32(0), class: u8(4), data: u8(5), version: u8(6), type: le16(16), machine: le16(18), version2: le32(20), entry: le64(24),
  phoff: le64(32), ehsize: le16(52), phentsize: le16(54), phnum: le16(56),
}, 64);
// prettier-ignore
const program64 = layout('program64', {
  type: le32(0), flags: le32(4), offset: le64(8), vaddr: le64(16), paddr: le64(24), filesz: le64(32), memsz: le64(40), align: le64(48),
});

const EXECUTABLE = { magic: 0x464c457f, data: 1, version: 1, version2: 1, type: 2 } as const;

/** A Multiboot kernel in the form of an ELF32 executable at 2 MiB with 4 KiB of bss. */
export function elf32Multiboot(physical = LOAD_ADDRESS): Uint8Array {
  const header = multibootHeader(0);
  const offset = elf32.sizeBytes + program32.sizeBytes;
  const body = concatBytes(header, payload());
  const memsz = body.length + 0x1000;
  return concatBytes(
    elf32.encode({ ...EXECUTABLE, class: 1, machine: 3, entry: physical + header.length, phoff: elf32.sizeBytes, phentsize: 32, phnum: 1 }),
    program32.encode({ type: 1, offset, vaddr: physical, paddr: physical, filesz: body.length, memsz, flags: 7, align: 4 }),
    body,
  );
}

/** A Multiboot kernel that gives its addresses in the header. */
export function flatMultiboot(): Uint8Array {
  const ADDRESSES = 0x10000;
  const MARGIN = 64; // the header need not come first
  const end = LOAD_ADDRESS + MARGIN + 32 + PAYLOAD_BYTES;
  const header = multibootHeader(ADDRESSES, [LOAD_ADDRESS + MARGIN, LOAD_ADDRESS, end, end + 0x800, LOAD_ADDRESS + MARGIN + 32]);
  return concatBytes(new Uint8Array(MARGIN), header, payload());
}

/** An ELF64 kernel with a PVH entry note; or without, or with the note of somebody else. */
export function elf64Pvh({ owner = 'Xen', entry = LOAD_ADDRESS + 16 } = {}): Uint8Array {
  const NOTE_PHYS32_ENTRY = 18;
  const name = cString(owner);
  const note = layout('note', { nameBytes: le32(0), descBytes: le32(4), type: le32(8) });
  const notes = concatBytes(
    note.encode({ nameBytes: 4, descBytes: 5, type: 1 }), cString('GNU'), new Uint8Array(8),
    note.encode({ nameBytes: name.length, descBytes: 4, type: NOTE_PHYS32_ENTRY }), name, new Uint8Array(-name.length & 3),
    layout('entry', { value: le32(0) }).encode({ value: entry }),
  );
  const noteOffset = BigInt(elf64.sizeBytes + 2 * program64.sizeBytes);
  const noteBytes = BigInt(notes.length);
  const body = payload();
  const address = BigInt(LOAD_ADDRESS);
  const offset = noteOffset + noteBytes;
  const filesz = BigInt(body.length);
  return concatBytes(
    elf64.encode({ ...EXECUTABLE, class: 2, machine: 62, entry: address, phoff: BigInt(elf64.sizeBytes), phentsize: 56, phnum: 2 }),
    program64.encode({ type: 1, flags: 7, offset, vaddr: address, paddr: address, filesz, memsz: filesz + 0x800n, align: 4096n }),
    program64.encode({ type: 4, flags: 4, offset: noteOffset, vaddr: 0n, paddr: 0n, filesz: noteBytes, memsz: noteBytes, align: 4n }),
    notes,
    body,
  );
}
