// Everything of floating point that the interpreter and translated code call: helpers NAME(d, a, b, imm).
export * from './sse-float';
export * from './sse-float-convert';
export * from './sse-float-dot';
export { fpCheck } from './x87-stack';
export * from './x87-transfer';
export * from './x87-arithmetic';
export { emms, fdecstp, fincstp, fldcw, fnclex, fninit, fnstcw, fnstsw, fpRecord, mmxEnter, mmxWritten } from './x87-control';
export * from './x87-environment';
export * from './xsave';
export * from './x87-remainder';
export * from './x87-transcendental';
