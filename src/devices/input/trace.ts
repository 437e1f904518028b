// Trace events of the input devices.
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('input', {
  controllerCommand: 'i8042 command {value:hex}',
  controllerRead: 'i8042 data {value:hex} mouse {mouse}',
  keyboardCommand: 'keyboard {value:hex}',
  mouseCommand: 'mouse {value:hex}',
  keyLost: 'keyboard queue full, key {name:str} lost',
});
