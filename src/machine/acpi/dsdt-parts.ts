// Parts of the DSDT that boards share: the host bridge's windows, interrupt link devices, ISA devices, what else there is on every
// board (ACPI 6.5 chapters 6 and 9). The boards' own parts, interrupt routing above all, are in pc-dsdt.ts and q35-dsdt.ts.
// PCI functions are not listed: the guest finds them by scanning.
import {
  and, arg, byteFields, call, createDwordField, device, eisaId, equal, ifThen, integer, method, name, namePath, operationRegion, or,
  packageOf, REGION_SPACE, returnValue, store, string, type AmlNode,
} from './aml.ts';
import { HPET_ADDRESS, HPET_BYTES, PM_EVENT_PORT, SCI_LINE, type AcpiConfig } from './pc-hardware.ts';
import * as resource from './resources.ts';

export const PCI_SLOTS = 32;
export const PCI_PINS = 4;
const ROUTE_DISABLED = 0x80;
/** The lines the guest may choose for a link; the ones MADT declares level triggered. */
const LINK_LINES = [5, 10, 11];

const ALL = 0xf; // _STA: present, enabled, shown, working
export const isaDevice = (path: string, id: string, uid: number, ...resources: readonly Uint8Array[]): AmlNode =>
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

const { ioPorts, irq } = resource;
export const clock = (): AmlNode => isaDevice('RTC', 'PNP0B00', 0, ioPorts(0x70, 8), irq(8));
export const serialPorts = (count: number): AmlNode[] =>
  COM_PORTS.slice(0, count).map(({ base, line }, n) => isaDevice(`COM${n + 1}`, 'PNP0501', n + 1, ioPorts(base, 8), irq(line)));

const isaDevices = (serialCount: number): AmlNode[] => [
  clock(),
  isaDevice('KBD', 'PNP0303', 0, ioPorts(0x60, 1), ioPorts(0x64, 1), irq(1)),
  isaDevice('MOU', 'PNP0F13', 0, irq(12)),
  ...serialPorts(serialCount),
];

/** Route registers of the south bridge: runs of fields, one a PIRQ, from an offset in its configuration space on. */
export interface RouteFields {
  readonly offset: number;
  readonly names: readonly string[];
}

/** The ISA bridge: in its configuration space are the registers that route PIRQs. */
export function isaBridge(config: AcpiConfig, slot: number, routes: readonly RouteFields[]): AmlNode {
  const regions = routes.flatMap(({ offset, names }, n) => [
    operationRegion(`PIR${n}`, REGION_SPACE.PCI_CONFIG, offset, names.length),
    byteFields(`PIR${n}`, ...names),
  ]);
  return device('ISA', name('_ADR', integer(slot << 16)), ...regions, ...isaDevices(config.serialPorts));
}

/** An entry of _PRT for each pin of each slot; `target` gives its source and index. */
export function routingTable(target: (slot: number, pin: number) => readonly [AmlNode, AmlNode]): AmlNode {
  const entries = Array.from({ length: PCI_SLOTS * PCI_PINS }, (_, n) => {
    const slot = Math.floor(n / PCI_PINS);
    const pin = n % PCI_PINS;
    return packageOf(integer(slot * 0x10000 + 0xffff), integer(pin), ...target(slot, pin));
  });
  return packageOf(...entries);
}

/** The host bridge with its windows; identity, routing and what lies below are the board's. */
export function hostBridge(config: AcpiConfig, identity: readonly AmlNode[], ...terms: readonly AmlNode[]): AmlNode {
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
  return device('PCI0', ...identity, name('_UID', integer(0)), name('_CRS', crs), ...terms);
}

/** PRRI: the line in a buffer with one extended interrupt descriptor. */
const lineField = (source: AmlNode): AmlNode => createDwordField(source, resource.INTERRUPT_NUMBER_OFFSET, 'PRRI');

/** A link device (6.2.13): the guest reads and sets which line a PIRQ drives, in a field of the ISA bridge. */
export function linkDevice(path: string, uid: number, field: string): AmlNode {
  const route = namePath(`\\_SB.PCI0.ISA.${field}`);
  const disabled = integer(ROUTE_DISABLED);
  return device(
    path,
    name('_HID', eisaId('PNP0C0F')),
    name('_UID', integer(uid)),
    name('_PRS', resource.resourceTemplate(resource.extendedInterrupt(...LINK_LINES))),
    method('_STA', {}, ifThen(and(route, disabled), returnValue(integer(0x9))), returnValue(integer(0xb))),
    method('_DIS', {}, or(route, disabled, route)),
    method('_CRS', { serialized: true }, returnValue(call('IQCR', route))),
    method('_SRS', { args: 1, serialized: true }, lineField(arg(0)), store(namePath('PRRI'), route)),
  );
}

/** What a link's _CRS returns for the route register's value: line 0 stands for none. */
export function currentLine(): AmlNode {
  return method(
    'IQCR',
    { args: 1, serialized: true },
    name('PRR0', resource.resourceTemplate(resource.extendedInterrupt(0))),
    lineField(namePath('PRR0')),
    ifThen(equal(and(arg(0), integer(ROUTE_DISABLED)), integer(0)), store(and(arg(0), integer(0xf)), namePath('PRRI'))),
    returnValue(namePath('PRR0')),
  );
}

/** A link device that cannot be moved from the SCI's line. */
export function sciLink(uid: number): AmlNode {
  const line = resource.resourceTemplate(resource.extendedInterrupt(SCI_LINE));
  return device(
    'LNKS',
    name('_HID', eisaId('PNP0C0F')),
    name('_UID', integer(uid)),
    name('_PRS', line),
    name('_STA', integer(0xb)),
    method('_DIS', {}),
    name('_CRS', line),
    method('_SRS', { args: 1 }),
  );
}

/** Ports and memory of the board that no other device claims, so that the guest does not hand them out. */
export function motherboard({ hardware, pmPort = PM_EVENT_PORT, ecam }: AcpiConfig): AmlNode {
  const ports = hardware.boardPorts(pmPort).map(({ base, sizeBytes }) => resource.ioPorts(base, sizeBytes));
  const memory = ecam === undefined ? [] : [resource.memory32Fixed(ecam.start, ecam.sizeBytes)];
  return isaDevice('MBRD', 'PNP0C02', 1, ...ports, ...memory);
}

const hpet = (): AmlNode => isaDevice('HPET', 'PNP0103', 0, resource.memory32Fixed(HPET_ADDRESS, HPET_BYTES));

function processors(count: number): AmlNode[] {
  return Array.from({ length: count }, (_, n) => {
    const path = `C${n.toString(16).toUpperCase().padStart(3, '0')}`;
    return device(path, name('_HID', string('ACPI0007')), name('_UID', integer(n)));
  });
}

export const timersAndProcessors = (config: AcpiConfig): AmlNode[] => [...(config.hpet ? [hpet()] : []), ...processors(config.cpuCount)];

/** SLP_TYP for soft off is 0 on these chipsets. */
export const softOff = (): AmlNode => name('\\_S5', packageOf(integer(0), integer(0), integer(0), integer(0)));
