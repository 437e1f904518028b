// Short programs of the idioms that compilers and libraries make, as bytes: what the golden tests translate. Each loops 200 times, ends
// with INT 51h and begins at LAYOUT.CODE of test/oracle/region-program.ts; `table` goes to LAYOUT.CONTROL, as addresses of its places.

export interface Idiom {
  readonly name: string;
  readonly what: string;
  readonly bits: 32 | 64;
  /** Hexadecimal. */
  readonly code: string;
  readonly table?: readonly number[];
}

// prettier-ignore
export const IDIOMS: readonly Idiom[] = [
  { name: 'loop-load', what: 'sum of an array: a loop with a load', bits: 64,
    code: 'be00002300b9c800000031c04803064883c608ffc975f5cd51' },
  { name: 'memcpy-loop', what: 'a copying loop: load, store, index', bits: 64,
    code: 'be00002300bf0008230031c90fb6040e88040f48ffc14881f9c800000072edcd51' },
  { name: 'call-ret', what: 'a call in a loop, with a frame', bits: 64,
    code: 'bbc800000089dfe806000000ffcb75f5eb0a554889e58d447f015dc3cd51' },
  { name: 'compare-branch', what: 'signed and unsigned comparisons, and TEST', bits: 64,
    code: 'b9c800000083f9647f0583c001eb0739d1760383c002f6c101740383e803ffc975e3cd51' },
  { name: 'flags-across-blocks', what: 'flags set in one block and used in another; SETcc and ADC', bits: 64,
    code: 'b9c800000031d24839d1eb01900f92c07c044883d200488d49ffe302ebe9cd51' },
  { name: 'string-ops', what: 'REP MOVSQ, REP STOSB and REPNE SCASB', bits: 64,
    code: 'bbc8000000be00002300bf00042300b910000000f348a5b807000000b918000000f3aabf00042300b940000000f2aeff' +
    'cb75d2cd51' },
  { name: 'sse-scalar', what: 'scalar doubles: load, multiply, add, compare, convert', bits: 64,
    code: 'b9c8000000be00002300f20f2ac1f20f5906f20f58c8660f2ec17704f20f5cc8f20f114e08ffc975e1cd51' },
  { name: 'sse-packed', what: 'packed integers and singles', bits: 64,
    code: 'b9c8000000be00002300f30f6f06660ffe4610660fefc2660f70c81b660f74c8660fd7c10f59db0f294620ffc975dbcd' +
    '51' },
  { name: 'push-pop', what: 'pushes and pops', bits: 64,
    code: 'b9c8000000505351525a595b58ffc975f4cd51' },
  { name: 'read-modify-write', what: 'memory operands that are read and written; LOCK', bits: 64,
    code: 'b9c8000000be00002300830605ff4604084e08f0480fc14610f75618ffc975eacd51' },
  { name: 'bit-ops', what: 'BT, BTS, BSF, POPCNT, BSWAP, ANDN', bits: 64,
    code: 'b9c80000000fa3c87205480fbae805480fbcd0f3480fb8da0fcbffc975e7cd51' },
  { name: 'shifts', what: 'shifts and rotations by constants and by CL', bits: 64,
    code: 'b9c800000048c1e003d3ead1fbc1c60748d3cf480fa4c20466d3e0ffc975e6cd51' },
  { name: 'multiply-divide', what: 'MUL, IMUL, DIV', bits: 64,
    code: 'b9c800000089c86bc04d480faff948f7e131d2bb0700000048f7f34801d6ffc975e3cd51' },
  { name: 'switch', what: 'a jump table', bits: 64, table: [32, 48, 64, 80],
    code: 'b9c800000089c883e003ff24c500c0230066662e0f1f8400000000000f1f400083c201eb2d66662e0f1f840000000000' +
    '83c202eb1d66662e0f1f84000000000031d2eb0e66662e0f1f84000000000090f7d2ffc975afcd51' },
  { name: 'cmov-setcc', what: 'conditional moves', bits: 64,
    code: 'b9c800000039c80f4cc10f94c20fbeda01deffc975efcd51' },
  { name: 'narrow', what: '8-bit and 16-bit registers, AH', bits: 64,
    code: 'b9c800000000cc66ffc388e26629d60fb7fe86c466ffc975eccd51' },
  { name: 'flat32', what: '32-bit code: a loop with a stack frame and a global', bits: 32,
    code: 'b9c800000051a1000023008d548804011504002300594975eccd51' },
];
