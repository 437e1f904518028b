// The DSDT of machine `pc`: host bridge with its windows, PIIX3 interrupt routing with link devices, ISA devices, HPET,
// processors and the soft-off state (ACPI 6.5 chapters 6 and 9, 82371SB data sheet for the PIRQ registers).
// PCI functions are not listed: the guest finds them by scanning.
import {
  and, arg, byteFields, call, createDwordField, device, eisaId, equal, ifThen, integer, method, name, namePath, operationRegion, or,
  packageOf, REGION_SPACE, returnValue, scope, store, string, type AmlNode,
} from './aml.ts';
import * as resource from './resources.ts';
import { ACPI_PORTS, HPET_ADDRESS, HPET_BYTES, SCI_LINE, type AcpiConfig } from './pc-hardware.ts';

const PCI_SLOTS = 32;
const PCI_PINS = 4;
const PIIX3_SLOT = 1;
const PIRQ_DISABLED = 0x80;
const LINKS = ['LNKA', 'LNKB', 'LNKC', 'LNKD'];
const PIRQ_FIELDS = ['PRQA', 'PRQB', 'PRQC', 'PRQD'];
/** The lines the guest may choose for a link; the ones MADT declares level triggered. */
const LINK_LINES = [5, 10, 11];

const ALL = 0xf; // _STA: present, enabled, shown, working
const isaDevice = (path: string, id: string, uid: number, ...resources: readonly Uint8Array[]): AmlNode =>
  device(
    path,
    name('_HID', eisaId(id)),
    name('_UID', integer(uid)),
    name('_STA', integer(ALL)),
    name('_CRS', resource.resourceTemplate(...resources)),
  );

const COM_PORTS = [
  { base: 0x3f8, line: 4 },
  { base: 0x2f8, line: 3 },
];

function isaDevices(serialPorts: number): AmlNode[] {
  const { ioPorts, irq } = resource;
  return [
    isaDevice('RTC', 'PNP0B00', 0, ioPorts(0x70, 8), irq(8)),
    isaDevice('KBD', 'PNP0303', 0, ioPorts(0x60, 1), ioPorts(0x64, 1), irq(1)),
    isaDevice('MOU', 'PNP0F13', 0, irq(12)),
    ...COM_PORTS.slice(0, serialPorts).map(({ base, line }, n) => isaDevice(`COM${n + 1}`, 'PNP0501', n + 1, ioPorts(base, 8), irq(line))),
  ];
}

/** PIIX3 itself: the PIRQ route registers are in its configuration space. */
function isaBridge(config: AcpiConfig): AmlNode {
  return device(
    'ISA',
    name('_ADR', integer(PIIX3_SLOT << 16)),
    operationRegion('P40C', REGION_SPACE.PCI_CONFIG, 0x60, PIRQ_FIELDS.length),
    byteFields('P40C', ...PIRQ_FIELDS),
    ...isaDevices(config.serialPorts),
  );
}

/** Pin `pin` of slot `slot` is wired to PIRQ (slot - 1 + pin) mod 4; the power management function's INTA to the SCI. */
function routing(): AmlNode {
  const entries = Array.from({ length: PCI_SLOTS * PCI_PINS }, (_, n) => {
    const slot = Math.floor(n / PCI_PINS);
    const pin = n % PCI_PINS;
    const isPowerManagement = slot === PIIX3_SLOT && pin === 0;
    const link = isPowerManagement ? 'LNKS' : LINKS[(slot + pin + PCI_PINS - 1) % PCI_PINS]!;
    return packageOf(integer(slot * 0x10000 + 0xffff), integer(pin), namePath(`\\_SB.${link}`), integer(0));
  });
  return name('_PRT', packageOf(...entries));
}

function hostBridge(config: AcpiConfig): AmlNode {
  const { busNumbers, ioPorts, ioWindow, memoryWindow, resourceTemplate } = resource;
  const windows = config.pciWindows.map(({ start, end }) => memoryWindow(start, end));
  const crs = resourceTemplate(
    busNumbers(0, 0xff),
    ioPorts(0xcf8, 8),
    ioWindow(0, 0xcf7),
    ioWindow(0xd00, 0xffff),
    memoryWindow(0xa0000, 0xc0000),
    ...windows,
  );
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_UID', integer(0)),
    name('_CRS', crs),
    routing(),
    isaBridge(config),
  );
}

/** PRRI: the line in a buffer with one extended interrupt descriptor. */
const lineField = (source: AmlNode): AmlNode => createDwordField(source, resource.INTERRUPT_NUMBER_OFFSET, 'PRRI');

/** A link device (6.2.13): the guest reads and sets which line a PIRQ drives. */
function linkDevice(index: number): AmlNode {
  const route = namePath(`\\_SB.PCI0.ISA.${PIRQ_FIELDS[index]!}`);
  const disabled = integer(PIRQ_DISABLED);
  return device(
    LINKS[index]!,
    name('_HID', eisaId('PNP0C0F')),
    name('_UID', integer(index)),
    name('_PRS', resource.resourceTemplate(resource.extendedInterrupt(...LINK_LINES))),
    method('_STA', {}, ifThen(and(route, disabled), returnValue(integer(0x9))), returnValue(integer(0xb))),
    method('_DIS', {}, or(route, disabled, route)),
    method('_CRS', { serialized: true }, returnValue(call('IQCR', route))),
    method('_SRS', { args: 1, serialized: true }, lineField(arg(0)), store(namePath('PRRI'), route)),
  );
}

/** What a link's _CRS returns for the route register's value: line 0 stands for none. */
function currentLine(): AmlNode {
  return method(
    'IQCR',
    { args: 1, serialized: true },
    name('PRR0', resource.resourceTemplate(resource.extendedInterrupt(0))),
    lineField(namePath('PRR0')),
    ifThen(equal(and(arg(0), integer(PIRQ_DISABLED)), integer(0)), store(and(arg(0), integer(0xf)), namePath('PRRI'))),
    returnValue(namePath('PRR0')),
  );
}

/** The SCI's link cannot be moved. */
function sciLink(): AmlNode {
  const line = resource.resourceTemplate(resource.extendedInterrupt(SCI_LINE));
  return device(
    'LNKS',
    name('_HID', eisaId('PNP0C0F')),
    name('_UID', integer(LINKS.length)),
    name('_PRS', line),
    name('_STA', integer(0xb)),
    method('_DIS', {}),
    name('_CRS', line),
    method('_SRS', { args: 1 }),
  );
}

/** Ports of the board that no other device claims, so that the guest does not hand them out. */
function motherboard(): AmlNode {
  const ports = ACPI_PORTS.map(({ base, sizeBytes }) => resource.ioPorts(base, sizeBytes));
  return isaDevice('MBRD', 'PNP0C02', 1, ...ports);
}

const hpet = (): AmlNode => isaDevice('HPET', 'PNP0103', 0, resource.memory32Fixed(HPET_ADDRESS, HPET_BYTES));

function processors(count: number): AmlNode[] {
  return Array.from({ length: count }, (_, n) => {
    const path = `C${n.toString(16).toUpperCase().padStart(3, '0')}`;
    return device(path, name('_HID', string('ACPI0007')), name('_UID', integer(n)));
  });
}

/** PIIX4's SLP_TYP for soft off is 0. */
const softOff = (): AmlNode => name('\\_S5', packageOf(integer(0), integer(0), integer(0), integer(0)));

/** The definition block without its table header. */
export function dsdtTerms(config: AcpiConfig): readonly AmlNode[] {
  const links = LINKS.map((_, index) => linkDevice(index));
  return [
    scope('\\_SB', hostBridge(config), currentLine(), ...links, sciLink(), motherboard()),
    scope('\\_SB', ...(config.hpet ? [hpet()] : []), ...processors(config.cpuCount)),
    softOff(),
  ];
}
