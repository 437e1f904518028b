// Every file of instruction rows, imported for its declarations.
import './arithmetic.ts';
import './control.ts';
import './fpu-state.ts';
import './move.ts';
import './system.ts';
