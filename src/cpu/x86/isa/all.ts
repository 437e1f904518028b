// Every file of instruction rows, imported for its declarations.
import './arithmetic.ts';
import './control.ts';
import './fpu-state.ts';
import './move.ts';
import './system.ts';
import './crypto.ts';
import './mmx.ts';
import './sse-integer.ts';
import './sse-move.ts';
import './sse-shuffle.ts';
import './sse-float.ts';
import './x87.ts';
