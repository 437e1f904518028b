// What `-d guest_errors` shows: things a guest does that no correct driver would. They never stop the machine.
import { defineEvents } from './event.ts';

export const guestErrors = defineEvents('guestErrors', {
  unclaimedRead: '{space:str} read of {size} bytes at {address:hex}: nothing there',
  unclaimedWrite: '{space:str} write of {size} bytes {value:hex} at {address:hex}: nothing there',
  badAccess: '{device:str}: {size} byte access at offset {at:hex} not supported',
  invalid: '{device:str}: {what:str}, value {value:hex}',
});
