// Trace events of the interrupt controllers.
import { defineEvents } from '../../trace/event.ts';

export const trace = defineEvents('intc', {
  picWrite: 'pic {register:str} = {value:hex}',
  picAcknowledge: 'pic vector {vector:hex}',
  apicAccept: 'apic {id} vector {vector:hex} level {level}',
  apicAcknowledge: 'apic {id} vector {vector:hex}',
  apicEoi: 'apic {id} vector {vector}',
  apicIpi: 'apic {id} mode {mode} vector {vector:hex} destination {destination:hex} logical {logical} shorthand {shorthand}',
  ioapicDeliver: 'ioapic pin {pin} vector {vector:hex} mode {mode} destination {destination:hex}',
  ioapicEoi: 'ioapic pin {pin} vector {vector:hex}',
});
