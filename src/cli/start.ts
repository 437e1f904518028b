// The program of `npm start`: Linux at a prompt. `npm start -- --builtin` boots the built-in guest instead.
import { startGuest } from './start-guest.ts';
import { report } from './system.ts';

process.exit(await report('nandu', () => startGuest({ builtin: process.argv.includes('--builtin') })));
