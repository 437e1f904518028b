// The LPC bridge of the ICH9 (82801IB, device 31 function 0): PIRQA..H, the PM block with its timer watchdog's registers, and the
// chipset configuration registers behind RCBA. What the ACPI registers do is in acpi-pm.ts, routing in pirq-router.ts.
import type { Claim, SystemBus } from '../../bus/address-space.ts';
import type { Device, ResetPhase } from '../../bus/device.ts';
import type { PciBus } from '../../bus/pci-bus.ts';
import type { PciFunction } from '../../bus/pci-function.ts';
import { RegisterFile } from '../../bus/register-file.ts';
import { u16, u32, u8 } from '../../state/fields.ts';
import { defineState } from '../../state/define-state.ts';
import { ACPI, AcpiPm, claimSmiCommand, gpe0Registers, PM1_BYTES, pm1Registers, readPm1, writePm1, type AcpiPmWires } from './acpi-pm.ts';
import type { PirqRouter } from './pirq-router.ts';

export const ICH9_SLOT = 31;
/** Where the route registers of PIRQA..H are. */
export const ICH9_ROUTES = [0x60, 0x61, 0x62, 0x63, 0x68, 0x69, 0x6a, 0x6b] as const;
const PIRQ_E = 4;
const PIN_COUNT = 4;
/** Functions from this slot on have their pins wired to PIRQA..D in order, but for slot 30, whose go to PIRQE..H. */
const FIRST_CHIPSET_SLOT = 25;
const BRIDGE_SLOT = 30;

/** Which PIRQ a slot's pin is wired to: cards rotate through PIRQE..H. */
export function ich9Route(slot: number, pin: number): number {
  if (slot < FIRST_CHIPSET_SLOT) return PIRQ_E + ((slot + pin) % PIN_COUNT);
  return slot === BRIDGE_SLOT ? PIRQ_E + pin : pin;
}

/** Configuration registers. */
export const ICH9 = { PMBASE: 0x40, ACPI_CONTROL: 0x44, RCBA: 0xf0 } as const;
export const ICH9_ACPI = { GPE0_OFFSET: 0x20, GPE0_BYTES: 16, ENABLE: 0x02, DISABLE: 0x03 } as const;
const ACPI_ENABLE = 0x80;
const RCBA_ENABLE = 1;
const PM_BYTES = 128;
const RCBA_BYTES = 0x4000;

export const ich9LpcHeader = {
  name: 'ich9-lpc',
  vendorId: 0x8086,
  deviceId: 0x2918,
  revision: 2,
  classCode: 0x06_0100,
  subsystemVendorId: 0x1af4,
  subsystemId: 0x1100,
  multiFunction: true,
  initial: {
    0x04: 0x07, 0x07: 0x02, [ICH9.PMBASE]: 1, ...Object.fromEntries(ICH9_ROUTES.map((at) => [at, 0x80])),
  },
  writable: {
    [ICH9.PMBASE]: 0x80, [ICH9.PMBASE + 1]: 0xff, [ICH9.ACPI_CONTROL]: 0x87,
    ...Object.fromEntries(ICH9_ROUTES.map((at) => [at, 0x8f])),
    0x64: 0xd0, 0x80: 0x77, 0x81: 0x13, 0x82: 0x0f, 0x83: 0x3f,
    [ICH9.RCBA]: RCBA_ENABLE, [ICH9.RCBA + 1]: 0xc0, [ICH9.RCBA + 2]: 0xff, [ICH9.RCBA + 3]: 0xff,
  },
} as const;

/** SMI_EN, APMC_EN: set from reset on tells firmware that there is no SMM for it to set up. */
const APMC_ENABLED = 0x20;

export const ich9State = defineState({
  kind: 'ich9-lpc',
  version: 1,
  fields: {
    smiEnable: u32(APMC_ENABLED), tcoReload: u16(4), tcoDataIn: u8(), tcoDataOut: u8(), tco1Status: u16(), tco2Status: u16(),
    tco1Control: u16(0x0800), tco2Control: u16(0x0008), tcoMessage1: u8(), tcoMessage2: u8(), tcoWatchdog: u8(),
    tcoTimer: u16(4), hpetConfiguration: u32(), generalControl: u32(0x20),
  },
});
export type Ich9State = ReturnType<typeof ich9State.initial>;

/** What of the bridge is neither ACPI nor routing: registers that firmware and drivers write and read back. */
export class Ich9Lpc implements Device<Ich9State> {
  readonly schema = ich9State;
  state = ich9State.initial();

  reset(phase: ResetPhase): void {
    if (phase === 'enter') this.state = ich9State.initial();
  }

  settle(): void {
    // No outputs.
  }
}

// QUIRK: the TCO watchdog of the ICH9 keeps its registers but never counts down, as with its timer halted.
export const tcoRegisters = new RegisterFile<Ich9Lpc>('tco', 2, [
  { at: 0x00, name: 'TCO_RLD', field: 'tcoReload', write: (lpc) => { lpc.state.tcoReload = lpc.state.tcoTimer; } },
  { at: 0x02, name: 'TCO_DAT', read: ({ state }) => state.tcoDataIn | (state.tcoDataOut << 8), write: (lpc, value) => {
    lpc.state.tcoDataIn = value & 0xff;
    lpc.state.tcoDataOut = value >> 8;
  } },
  { at: 0x04, name: 'TCO1_STS', field: 'tco1Status', w1c: 0x1fff },
  { at: 0x06, name: 'TCO2_STS', field: 'tco2Status', w1c: 0x001f },
  { at: 0x08, name: 'TCO1_CNT', field: 'tco1Control', writable: 0xfeff },
  { at: 0x0a, name: 'TCO2_CNT', field: 'tco2Control', writable: 0x003f },
  { at: 0x0c, name: 'TCO_MESSAGE', read: ({ state }) => state.tcoMessage1 | (state.tcoMessage2 << 8), write: (lpc, value) => {
    lpc.state.tcoMessage1 = value & 0xff;
    lpc.state.tcoMessage2 = value >> 8;
  } },
  { at: 0x0e, name: 'TCO_WDCNT', field: 'tcoWatchdog', writable: 0xff },
  { at: 0x10, name: 'SW_IRQ_GEN', constant: 0x0003 },
  { at: 0x12, name: 'TCO_TMR', field: 'tcoTimer', writable: 0x03ff },
]);

/** Chipset configuration registers, by offset from RCBA. The interrupt routes are fixed: each pin to the PIRQ of its number. */
const PIN_TO_PIRQ = 0x3210;
export const rcbaRegisters = new RegisterFile<Ich9Lpc>('rcba', 4, [
  { at: 0x3140, name: 'D31IR_D30IR', constant: PIN_TO_PIRQ },
  { at: 0x3144, name: 'D29IR_D28IR', constant: PIN_TO_PIRQ | (PIN_TO_PIRQ << 16) },
  { at: 0x3148, name: 'D27IR_D26IR', constant: PIN_TO_PIRQ | (PIN_TO_PIRQ << 16) },
  { at: 0x314c, name: 'D25IR', constant: PIN_TO_PIRQ },
  { at: 0x3404, name: 'HPTC', field: 'hpetConfiguration', writable: 0x83 },
  { at: 0x3410, name: 'GCS', field: 'generalControl', writable: 0x0000_0c24 },
]);

const SMI_ENABLE = 0x30;
const SMI_BYTES = 8;
const TCO_BASE = 0x60;

/** The PM block: PM1 and timer, GPE0, SMI enable and status, the watchdog's registers. */
function claimPmBlock(bus: SystemBus, pm: AcpiPm, lpc: Ich9Lpc): Claim {
  const gpe0 = gpe0Registers(ICH9_ACPI.GPE0_BYTES / 2);
  const inGpe0 = (at: number): boolean => at >= ICH9_ACPI.GPE0_OFFSET && at < ICH9_ACPI.GPE0_OFFSET + ICH9_ACPI.GPE0_BYTES;
  const inSmi = (at: number): boolean => at >= SMI_ENABLE && at < SMI_ENABLE + SMI_BYTES;
  const pieces = (at: number, size: number, byte: (at: number) => number): number => {
    let value = 0;
    for (let index = 0; index < size; index++) value |= byte(at + index) << (8 * index);
    return value >>> 0;
  };
  const readTco = (at: number): number => (at < tcoRegisters.size ? tcoRegisters.read(lpc, at, 1) : 0);
  return bus.ports.claimUnmapped({
    base: ACPI.PM_BASE, size: PM_BYTES, name: 'acpi-pm', widthMax: 4, priority: -1, registers: pm1Registers,
    read(at, size) {
      if (at < PM1_BYTES) return readPm1(pm, at, size);
      if (inGpe0(at)) return pieces(at - ICH9_ACPI.GPE0_OFFSET, size, (byte) => gpe0.read(pm, byte));
      if (inSmi(at)) return pieces(at - SMI_ENABLE, size, (byte) => (byte < 4 ? (lpc.state.smiEnable >>> (8 * byte)) & 0xff : 0));
      return at < TCO_BASE ? 0 : pieces(at - TCO_BASE, size, readTco);
    },
    write(at, size, value) {
      if (at < PM1_BYTES) writePm1(pm, at, size, value);
      else if (inGpe0(at)) {
        for (let index = 0; index < size; index++) gpe0.write(pm, at - ICH9_ACPI.GPE0_OFFSET + index, (value >>> (8 * index)) & 0xff);
      } else if (at === SMI_ENABLE && size === 4) lpc.state.smiEnable = value;
      else if (at >= TCO_BASE) writeTco(lpc, at - TCO_BASE, size, value);
    },
  });
}

/** Whole registers, and halves of those that are two registers of a byte each. */
function writeTco(lpc: Ich9Lpc, at: number, size: number, value: number): void {
  if (size === 2) tcoRegisters.write(lpc, at, value);
  else if (size === 1 && at < tcoRegisters.size) {
    const shift = 8 * (at & 1);
    tcoRegisters.write(lpc, at & ~1, (tcoRegisters.read(lpc, at & ~1) & (0xff00 >>> shift)) | (value << shift));
  }
}

export interface Ich9Wires extends Omit<AcpiPmWires, 'commands'> {
  readonly router: PirqRouter;
}

export interface Ich9LpcParts {
  readonly bridge: PciFunction;
  readonly pm: AcpiPm;
  readonly lpc: Ich9Lpc;
  /** Where the PM block lies now; undefined when it is nowhere. */
  readonly pmPort: () => number | undefined;
}

/** Plugs the bridge in at 31.0. The PIRQs of the PCI bus must lead to the router. */
export function ich9Lpc(bus: SystemBus, pci: PciBus, { router, ...wires }: Ich9Wires): Ich9LpcParts {
  const pm = new AcpiPm({ ...wires, commands: { enable: ICH9_ACPI.ENABLE, disable: ICH9_ACPI.DISABLE } });
  const lpc = new Ich9Lpc();
  const bridge = pci.add(ICH9_SLOT, 0, ich9LpcHeader);
  const pmBlock = claimPmBlock(bus, pm, lpc);
  const chipsetRegisters = bus.mmio.claimUnmapped({
    base: 0, size: RCBA_BYTES, name: 'rcba', widthMax: 4, priority: -1, registers: rcbaRegisters,
    read: (at, size) => (rcbaRegisters.offsets.some((row) => row.at === (at & ~3)) ? rcbaRegisters.read(lpc, at, size) : 0),
    write: (at, size, value) => { if (size === 4) rcbaRegisters.write(lpc, at, value, size); },
  });
  router.attach(bridge);
  const place = (claim: Claim, base: number): void => {
    if (base !== 0) claim.map(base);
    else claim.unmap();
  };
  const pmPort = (): number | undefined => {
    const base = bridge.u16(ICH9.PMBASE) & 0xff80;
    return (bridge.byte(ICH9.ACPI_CONTROL) & ACPI_ENABLE) !== 0 && base !== 0 ? base : undefined;
  };
  bridge.onConfig = (at, size) => {
    router.configChanged(at, size);
    place(pmBlock, pmPort() ?? 0);
    place(chipsetRegisters, (bridge.byte(ICH9.RCBA) & RCBA_ENABLE) === 0 ? 0 : (bridge.u32(ICH9.RCBA) & 0xffff_c000) >>> 0);
  };
  claimSmiCommand(bus, pm);
  return { bridge, pm, lpc, pmPort };
}
