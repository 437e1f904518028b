// The language of the programs that regions are emitted by. A program says how one IR operation becomes WebAssembly: bytes that are always
// the same, and between them steps for what depends on the record or on where a value is. They are made of the operations' meanings when
// nandu is built (programs.ts) and carried out by assembly/translator/steps.ts. This file is the only place that has their numbers.

/** A step is its number and the bytes named behind it; 16- and 32-bit ones are little-endian. A list ends with END. */
export const STEP = {
  END: 0,
  BYTES: 1, // count, bytes
  NEST: 2, // i8: by how much deeper what follows is nested
  // Operands: number in OPERAND | width << 2 | signed << 4
  GET: 3,
  GET_EXTENDED: 4,
  CLOSE: 5,
  GET_VECTOR: 6,
  CLOSE_VECTOR: 7,
  ADDRESS: 8,
  // Fields of the record
  IMMEDIATE: 9, // width
  IMMEDIATE2: 10,
  IMMEDIATE64: 11,
  FIELD_C: 12,
  SEGMENT_BASE: 13,
  PC: 14,
  SHIFT_COUNT: 15, // width | less << 2
  ROTATION_COUNT: 16, // width
  LAST_BYTE: 17,
  // State
  RIP: 18,
  LOAD_STATE: 19, // opcode, u16 offset
  STORE_STATE: 20, // VALUE_TYPE, opcode, u16 offset
  GET_REGISTER: 21, // number, width
  SET_REGISTER: 22, // number, width
  GET_FLAG_WORD: 23, // 0: ccA, 1: ccB; width
  SET_FLAG_KIND: 24,
  SEGMENT_FIELD: 25, // offset from the segment's base, opcode
  SET_FLAGS: 26, // ccOp, width, two locals (NO_LOCAL: none)
  SET_CARRY: 27,
  SET_PENDING: 28, // kind
  CONDITION: 29, // code, or CONDITION_IMMEDIATE
  // Memory
  LOAD: 30, // ACCESS_BYTES, u16 length of the list that pushes the address, that list
  STORE: 31, // the same, and the list that pushes the value
  RAISE_STACK: 32, // i8 bytes, u16 lengths of the lists without and with more (0: there is none), the lists
  PREPARE_WRITE: 33, // bytes
  // Calls
  CALL: 34, // u16 function
  CALL_SUPPORT: 35, // u16 function, whether it may fault
  CHOOSE_EFFECT: 36, // u16 function, the native list
  CHOOSE_RESULT: 37,
  CHOOSE_FLAGS: 38,
  LEAVE_FOR_INTERPRETER: 39,
  FAULT: 40,
  // Control
  BRANCH: 41, // the list that leads away
  BRANCH_ELSE: 42, // two lists
  JUMP: 43, // index
  DISPATCH: 44, // whether it counts
  DECIDE: 45, // DECISION, u32 argument, u16 length of the list for yes, both lists
} as const;

export const OPERAND = { d: 0, a: 1, b: 2 } as const;
export const VALUE_TYPE = { i32: 0, i64: 1 } as const;
export const NO_LOCAL = 0xff;
export const CONDITION_IMMEDIATE = 0xff;
/** Where there is no program for a condition: no place is as far on. */
export const NO_PROGRAM = 0xffff;

/** Of LOAD and STORE. */
export const ACCESS_BYTES = {
  NEAR: 0, // NEAR
  DISPLACEMENT: 1, // i8, of NEAR.STACK
  SIZE: 2, // bytes
  FLAGS: 3, // ACCESS_FLAG
  OPCODE: 4, // u32, as CodeWriter.op takes it
  LENGTH: 8, // u16
  BYTES: 10,
} as const;
export const NEAR = { NOTHING: 0, OPERAND: 1, STACK: 2 } as const;
export const ACCESS_FLAG = { WRAPS: 1, WRITES: 2 } as const;

/** What DECIDE asks of the record. */
export const DECISION = {
  FLAGS_DEAD: 0,
  SAME: 1, // argument: two operands, OPERAND | OPERAND << 2
  IMMEDIATE_IS: 2,
  IMMEDIATE_HAS: 3,
  SHIFT_ZERO: 4, // argument: mask of the immediate
  ROTATION_KNOWN: 5,
  ROTATION_ZERO: 6,
} as const;

/** Of an operation: a row of OPERATION.BYTES for each, by number. */
export const OPERATION = {
  PROGRAM: 0, // u32: from the first program
  TRAITS: 4, // u32: TRAIT
  ACCESS: 8, // u8: ACCESS_KIND
  SIZE: 9, // u8: bytes of the access
  BYTES: 12,
} as const;
export const ACCESS_KIND = { NONE: 0, OPERAND: 1, INDEXED: 2, PUSH: 3, POP: 4, RETURN: 5 } as const;
export const TRAIT = {
  IGNORES_FLAGS: 1,
  REPLACES_FLAGS: 2,
  PASSES_PENDING: 4, // flags may be pending when it begins
  LAST: 8,
  REPEATABLE: 16,
  ENDS_GROUPS: 32,
  ACCESS_WRITES: 64,
  WRITES_NOTHING: 128,
  WRITES_SOURCES: 256,
  INTERPRETED: 512,
  CALL: 1024,
  RETURN: 2048,
  STEP: 4096, // INC, DEC
  ROTATION: 8192,
  ADDS: 1 << 14, // a constant to a register of 64 bits
  SUBTRACTS: 1 << 15,
} as const;

/** Of a function of the support module that regions call: a word for each, by number. */
export const FUNCTION = {
  REGISTERS: 0xffff, // general registers that it uses without naming them, one bit each
  BUDGET: 1 << 16,
  MEMORY: 1 << 17,
  MODE: 1 << 18,
  KEEPS_FLAGS: 1 << 19,
  WRITES_FLAGS: 1 << 20,
} as const;
