// Where everything lives in the machine's one WebAssembly.Memory. Not the guest's physical address map
// (that is the board's): these are offsets into the host-side linear memory that TypeScript, the interpreter,
// translated regions and the support module share. tools/build-wasm.ts gives the same constants to AssemblyScript.

const KIB = 1024;
const MIB = 1024 * KIB;

export const PAGE_SHIFT = 12;
export const PAGE_BYTES = 1 << PAGE_SHIFT;

/**
 * Per-vCPU area: architectural and derived state (cpu/x86/state.ts), then its TLBs and its jump cache. The first one lies at 0: regions
 * consist of accesses to its registers, and an address below 128 is one byte in WebAssembly and in the host's instructions.
 */
export const VCPU_AREA = 0;
export const VCPU_AREA_BYTES = 2 * MIB;
export const VCPU_COUNT_MAX = 16;

/** Static data of the AssemblyScript module (tables, constants). */
export const STATIC_DATA = 32 * MIB;
export const STATIC_DATA_BYTES = 1 * MIB;

/** Hash table of translated blocks: BLOCK_HASH_COUNT little-endian u32 block addresses, 0 for none. */
export const BLOCK_HASH = 33 * MIB;
export const BLOCK_HASH_COUNT = 64 * KIB;

/** The code of the region that is being emitted (assembly/translator/). */
export const EMITTER_CODE = 34 * MIB;
export const EMITTER_CODE_BYTES = 1 * MIB;

/** One u32 per 4 KiB guest-physical page below 4 GiB: host page address | PHYS flags; 0 is "not memory": MMIO. */
export const PHYS_MAP = 36 * MIB;
/** One u32 per guest-physical page: the first block that has code in it, 0 for none. */
export const PAGE_BLOCKS = 40 * MIB;
/** One u64 per guest-physical page: bit n set when bytes [64n, 64n+64) of the page hold translated code. */
export const PAGE_CODE_BITMAP = 44 * MIB;

/** Flags in the low bits of a PHYS_MAP entry. */
export const PHYS = {
  READABLE: 1, // reads go straight to the host page
  WRITABLE: 2, // writes go straight to the host page (absent: ROM, writes go to the bus)
  CODE: 4, // translated code lies in the page: writes take the slow path
} as const;

/** Offsets inside a vCPU area. */
export const TLB_OFFSET = 64 * KIB;
export const JUMP_CACHE_OFFSET = 1024 * KIB;

/**
 * Software TLB. An entry is {linear page u64, host page u32, physical page u32}; that of an empty one does not belong in its place, so
 * that no address is near it.
 */
export const TLB_ENTRIES = 4096;
export const TLB_ENTRY_BYTES = 16;
export const TLB_BYTES = TLB_ENTRIES * TLB_ENTRY_BYTES;
/** Which translation rules apply: supervisor, user, supervisor with EFLAGS.AC set (SMAP suspended). */
export const MMU_INDEX = { SUPERVISOR: 0, USER: 1, SUPERVISOR_AC: 2 } as const;
export const MMU_INDEX_COUNT = 3;
/** The TLBs lie [mmu index][read, write, execute]. */
export const TLB_KIND = { READ: 0, WRITE: 1, EXECUTE: 2 } as const;
export const TLB_KIND_COUNT = 3;

/** A TLB without entries: every access under alignment checks takes the slow path, which makes them. */
export const EMPTY_TLB_OFFSET = 1600 * KIB;

/** Notes of the counting interpreter, one at the beginning of each block: what has been counted until then. */
export const COUNT_NOTES_OFFSET = 1728 * KIB;
export const COUNT_NOTES = 8192;
/** Byte offsets in a note; counts are the low halves of the state's. */
export const COUNT_NOTE = {
  RIP: 0, // u64: of the block
  SPACE: 8, // u32: page of CR3, and the privilege level in the low bits
  INSTRUCTIONS: 12,
  READS: 16,
  WRITES: 20,
  WALKS: 24,
  HELPERS: 28,
  BYTES: 32,
} as const;

/** What a sampling profiler keeps of the guest, one SAMPLE_RECORD behind the other. Machines that are counted have their notes there. */
export const SAMPLE_RECORDS_OFFSET = COUNT_NOTES_OFFSET;
export const SAMPLE_RECORDS_BYTES = COUNT_NOTES * COUNT_NOTE.BYTES;
/** Byte offsets in a record. Behind the header are callers by frame pointers (u64 each), or words of the stack, then of the one below. */
export const SAMPLE_RECORD = {
  SIZE: 0, // u32: of all of it
  NOTED: 4, // u32: moments for samples that the clock had noted until then (ports/sample-clock.ts)
  ANSWERED: 8, // f64: the host's time, ns
  LEAF: 16, // u64: where control was
  IP: 24, // u64: where it has gone from there
  SP: 32, // u64
  BP: 40, // u64
  CALLER: 48, // u64: what lies at SP, where that is behind a call; otherwise 0
  NAME: 56, // SAMPLE_NAME_BYTES: the running task's name, when its place is known
  CR3: 72, // u32
  MODE: 76, // u32: SAMPLE_MODE
  FRAMES: 80, // u32: how many callers
  STACK: 84, // u32: how many words from SP on
  BELOW: 88, // u64: where the stack goes on that an interrupt's began on; 0 where that is this one
  BELOW_WORDS: 96, // u32: how many words from there
  HEADER: 104,
} as const;
export const SAMPLE_MODE = { LONG: 1, USER: 2 } as const;
export const SAMPLE_FRAMES_MAX = 64;
/** Of a task's name in Linux (TASK_COMM_LEN). */
export const SAMPLE_NAME_BYTES = 16;
/** A stack of a 64-bit Linux lies in a piece of so many bytes (THREAD_SIZE, IRQ_STACK_SIZE); of a deeper one the rest is left out. */
export const SAMPLE_STACK_BYTES = 16 * KIB;
export const SAMPLE_COPY_BYTES_MAX = 8 * KIB;

/** Jump cache, indexed by a hash of RIP: {rip u64, block u32, modeKey u32, and what is below}. */
export const JUMP_CACHE_ENTRIES = 16384;
export const JUMP_CACHE_ENTRY_BYTES = 32;
/** u32: the region that the block is an entry of, as REGION_EXIT.TARGET; 0 unknown. i32: distance of the block from its base. */
export const JUMP_CACHE_TARGET = 16;
export const JUMP_CACHE_DELTA = 20;

/** The places where regions are left, by number: REGION_EXIT.BYTES each, a region's in a row. There is no number 0. */
export const REGION_EXITS = 52 * MIB;
export const REGION_EXIT_COUNT = 512 * KIB;
/** Byte offsets in an exit. */
export const REGION_EXIT = {
  RECORD: 0, // u32: the record to go on with, with EXIT bits, and of a jump in the bits from EXIT_COUNT_SHIFT on what it counts
  DELTA: 4, // i32: distance of its block from the region's base; of EXIT_INDIRECT, of the last target, which TARGET is of
  TARGET: 8, // u32: of what is no record, the region in REGION_TABLE that it led to, with the entry in the low bits; 0 unknown
  TARGET_DELTA: 12, // i32: from this region's base to that one's
  LEFT: 8, // u32: of an access to a group, how often it was in none of the TLB's pages as a whole, from 1 on; of other records 0
  BYTES: 16,
} as const;
/**
 * Records lie below 2^27, so an exit has five bits for the instructions that its jump counts: a look into the record would mostly miss
 * the caches. 0: the record says it.
 */
export const EXIT_COUNT_SHIFT = 27;
/** So often, and the group is not worth having: it lies across the end of a page. */
export const REGION_EXIT_OFTEN = 2048;
/** The record has raised a fault. */
export const EXIT_FAULT = 1;
/** The record is a jump that the region has not counted; it is also checked against the limit of CS. */
export const EXIT_JUMP = 2;
export const EXIT_LIMITED = 4;
/** No record, but RIP has been stored: a return or computed jump. */
export const EXIT_INDIRECT = 8;

/** Regions (cpu/translator/): a record each, by slot. */
export const REGION_TABLE = 60 * MIB;
export const REGION_SLOTS = 8192;
export const REGION_PAGES_MAX = 27;
/** Byte offsets in a region's record. Its size is also how many entries a region can have. */
export const REGION_RECORD = {
  VALID: 0, // u32: 1 until code that it was made of changes
  KEY: 4, // u32: modeKey under which its mapping was last found right
  BASE: 8, // u64: the RIP of its base then
  PAGES: 16, // u32: number of pages
  PAGE: 24, // {u32 linear distance from the base's page, u32 guest-physical page} each
  BYTES: 256,
} as const;

/** The blocks that assembly/translator/find.ts has chosen for a region, and what the emitter says beside its code. */
export const EMITTER_TABLES = 62 * MIB;
/** A region of more blocks is not emitted, because emission goes as deep as they are nested, nor one whose lists do not fit below. */
export const EMITTER_BLOCKS_MAX = 512;
/** Byte offsets of a block's row, EMITTER_BLOCK.BYTES each, from EMITTER_TABLES. */
export const EMITTER_BLOCK = {
  ADDRESS: 0, // u32: of its first record
  OPERATIONS: 4, // u32: how many records are emitted; when it has more, the next one is the interpreter's
  DELTA: 8, // i32: from the region's base
  INSTRUCTIONS: 12, // u32
  TARGETS: 16, // u32: address of its {u16 record, u16 block} pairs
  TARGETS_END: 20,
  RETURNS: 24, // u32: address of the blocks (u16) that it most likely returns to
  RETURNS_END: 28,
  BYTES: 32,
} as const;
export const EMITTER_LISTS = EMITTER_TABLES + EMITTER_BLOCKS_MAX * EMITTER_BLOCK.BYTES;
export const EMITTER_LISTS_BYTES = 128 * KIB;
/** u16: blocks that are entries, in the order of their numbers; the emitter adds those that it cannot do without. */
export const EMITTER_ENTRIES = EMITTER_LISTS + EMITTER_LISTS_BYTES;
/** u32: the first records of instructions that begin no group of accesses. */
export const EMITTER_UNGROUPED = EMITTER_ENTRIES + 2 * EMITTER_BLOCKS_MAX;
export const EMITTER_UNGROUPED_MAX = 4096;
/** u16: functions of the support module that the module calls, in the order of their imports. */
export const EMITTER_IMPORTS = EMITTER_UNGROUPED + 4 * EMITTER_UNGROUPED_MAX;
export const EMITTER_IMPORTS_MAX = 1024;
/** {u32 offset in the code, i32 distance from the base} of each guest instruction, on request. */
export const EMITTER_MARKS = EMITTER_IMPORTS + 2 * EMITTER_IMPORTS_MAX;
export const EMITTER_MARKS_MAX = 32 * KIB;
/** {i32 distance from the base's page, u32 guest-physical page} of each of a region's pages. */
export const EMITTER_PAGES = EMITTER_MARKS + 8 * EMITTER_MARKS_MAX;
/** The emitter's own tables. */
export const EMITTER_OWN = EMITTER_PAGES + 8 * REGION_PAGES_MAX + 8;
export const EMITTER_TABLES_END = 64 * MIB;
/** Bits of what is asked of the emitter. */
export const EMITTER_OPTION = {
  COUNTING: 1, // code counts how it is left
  MARKING: 2, // EMITTER_MARKS are wanted
  SAMPLING: 4, // a region also ends when a sample is asked for, where it may leave a function or go round a loop; it says where that was
  EAGER: 8, // a group that is not in the TLB as a whole is given up at once
} as const;

/** Decoded blocks: headers and IR records. When it is full everything is dropped and it starts again. */
export const IR_ARENA = 64 * MIB;
export const IR_ARENA_BYTES = 64 * MIB;

/** Video memory, then ROM images. */
export const VIDEO_MEMORY = 128 * MIB;
export const VIDEO_MEMORY_BYTES = 16 * MIB;
export const ROM = 144 * MIB;
export const ROM_BYTES = 16 * MIB;

/** Guest RAM, up to the end of the memory. */
export const GUEST_RAM = 160 * MIB;
/** A wasm32 memory ends at 4 GiB; guest RAM also stays below the PCI hole of the board. */
export const GUEST_RAM_BYTES_MAX = 3072 * MIB;

export const vcpuArea = (index: number): number => VCPU_AREA + index * VCPU_AREA_BYTES;
