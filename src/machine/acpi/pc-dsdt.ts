// The DSDT of machine `pc`: interrupt routing of the PIIX3 (82371SB data sheet for the PIRQ registers) around the shared parts.
import { eisaId, integer, name, namePath, scope, type AmlNode } from './aml.ts';
import {
  currentLine, hostBridge, isaBridge, linkDevice, motherboard, PCI_PINS, routingTable, sciLink, softOff, timersAndProcessors,
} from './dsdt-parts.ts';
import type { AcpiConfig } from './pc-hardware.ts';

const PIIX3_SLOT = 1;
const LINKS = ['LNKA', 'LNKB', 'LNKC', 'LNKD'];
const PIRQ_FIELDS = ['PRQA', 'PRQB', 'PRQC', 'PRQD'];

/** Pin `pin` of slot `slot` is wired to PIRQ (slot - 1 + pin) mod 4; the power management function's INTA to the SCI. */
function routing(): AmlNode {
  const [sci = integer(0), ...links] = ['LNKS', ...LINKS].map((link) => namePath(`\\_SB.${link}`));
  return name('_PRT', routingTable((slot, pin) => {
    const isPowerManagement = slot === PIIX3_SLOT && pin === 0;
    return [isPowerManagement ? sci : links[(slot + pin + PCI_PINS - 1) % PCI_PINS]!, integer(0)];
  }));
}

/** The definition block without its table header. */
export function pcDsdt(config: AcpiConfig): readonly AmlNode[] {
  const links = LINKS.map((link, index) => linkDevice(link, index, PIRQ_FIELDS[index]!));
  const isa = isaBridge(config, PIIX3_SLOT, [{ offset: 0x60, names: PIRQ_FIELDS }]);
  const bridge = hostBridge(config, [name('_HID', eisaId('PNP0A03'))], routing(), isa);
  return [
    scope('\\_SB', bridge, currentLine(), ...links, sciLink(LINKS.length), motherboard(config)),
    scope('\\_SB', ...timersAndProcessors(config)),
    softOff(),
  ];
}
