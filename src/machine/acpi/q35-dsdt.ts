// The DSDT of machine `q35`: a PCI Express host bridge, and the interrupt routing of the ICH9. With the 8259s PIRQs go through link
// devices; with the I/O APIC, which the guest announces by \_PIC, each has a pin of its own.
import { ich9Route, ICH9_ROUTES, ICH9_SLOT } from '../../devices/chipset/ich9-lpc.ts';
import { arg, eisaId, ifThen, integer, method, name, namePath, returnValue, scope, store, type AmlNode } from './aml.ts';
import { currentLine, hostBridge, isaBridge, linkDevice, motherboard, routingTable, softOff, timersAndProcessors } from './dsdt-parts.ts';
import type { AcpiConfig } from './pc-hardware.ts';

const PIRQS = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'];
const FIRST_PIRQ_PIN = 16;
const link = (pirq: number): string => `LNK${PIRQS[pirq]!}`;
const field = (pirq: number): string => `PRQ${PIRQS[pirq]!}`;

function routing(): AmlNode[] {
  const links = PIRQS.map((_, n) => namePath(`\\_SB.${link(n)}`));
  return [
    name('PRTP', routingTable((slot, pin) => [links[ich9Route(slot, pin)]!, integer(0)])),
    name('PRTA', routingTable((slot, pin) => [integer(0), integer(FIRST_PIRQ_PIN + ich9Route(slot, pin))])),
    method('_PRT', {}, ifThen(namePath('\\PICF'), returnValue(namePath('PRTA'))), returnValue(namePath('PRTP'))),
  ];
}

/** The definition block without its table header. */
export function q35Dsdt(config: AcpiConfig): readonly AmlNode[] {
  const [low, high] = [ICH9_ROUTES.slice(0, 4), ICH9_ROUTES.slice(4)];
  const isa = isaBridge(config, ICH9_SLOT, [
    { offset: low[0]!, names: low.map((_, n) => field(n)) },
    { offset: high[0]!, names: high.map((_, n) => field(low.length + n)) },
  ]);
  const identity = [name('_HID', eisaId('PNP0A08')), name('_CID', eisaId('PNP0A03'))];
  return [
    name('\\PICF', integer(0)),
    method('\\_PIC', { args: 1 }, store(arg(0), namePath('\\PICF'))),
    scope('\\_SB', hostBridge(config, identity, ...routing(), isa), currentLine(), motherboard(config)),
    scope('\\_SB', ...PIRQS.map((_, n) => linkDevice(link(n), n, field(n))), ...timersAndProcessors(config)),
    softOff(),
  ];
}
