// Every vector helper (integer, strings, AES, SHA) that the interpreter and translated code call: NAME(d, a, b, imm).
export * from './vector';
export * from './vector-string';
export * from './crypto';
