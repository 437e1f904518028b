// What of the ACPI tables differs between the boards.
import { FIXED_PM } from '../../devices/chipset/fixed-pm.ts';
import { ICH9_ACPI } from '../../devices/chipset/ich9-lpc.ts';
import { PIIX4_ACPI } from '../../devices/chipset/piix4-pm.ts';
import type { OptionalParts } from '../board.ts';
import type { MicrovmOptions } from '../microvm.ts';
import { microvmDsdt } from './microvm-dsdt.ts';
import { pcDsdt } from './pc-dsdt.ts';
import { BOOT_ARCHITECTURE, type AcpiHardware } from './pc-hardware.ts';
import { q35Dsdt } from './q35-dsdt.ts';

const { KEYBOARD_8042, LEGACY_DEVICES, NO_CMOS_RTC, NO_VGA } = BOOT_ARCHITECTURE;
const PC_DEVICES = LEGACY_DEVICES | KEYBOARD_8042;
const piix4Gpe0 = { base: PIIX4_ACPI.GPE0_BASE, sizeBytes: PIIX4_ACPI.GPE0_BYTES };

type Choices = Pick<OptionalParts, 'pic'>;

export const pcAcpi = ({ pic }: Choices): AcpiHardware => ({
  pic,
  bootArchitecture: PC_DEVICES,
  gpe0: () => piix4Gpe0,
  commands: { enable: PIIX4_ACPI.ENABLE, disable: PIIX4_ACPI.DISABLE },
  boardPorts: (pmPort) => [{ base: pmPort, sizeBytes: 0x40 }, piix4Gpe0],
  dsdt: pcDsdt,
});

export const q35Acpi = ({ pic }: Choices): AcpiHardware => ({
  pic,
  bootArchitecture: PC_DEVICES,
  gpe0: (pmPort) => ({ base: pmPort + ICH9_ACPI.GPE0_OFFSET, sizeBytes: ICH9_ACPI.GPE0_BYTES }),
  commands: { enable: ICH9_ACPI.ENABLE, disable: ICH9_ACPI.DISABLE },
  boardPorts: (pmPort) => [{ base: pmPort, sizeBytes: 0x80 }],
  dsdt: q35Dsdt,
});

export const microvmAcpi = ({ pic, microvm: { rtc, isaSerial } }: Choices & { readonly microvm: MicrovmOptions }): AcpiHardware => ({
  pic,
  bootArchitecture: NO_VGA | (rtc ? 0 : NO_CMOS_RTC),
  gpe0: (pmPort) => ({ base: pmPort + FIXED_PM.GPE0_OFFSET, sizeBytes: FIXED_PM.GPE0_BYTES }),
  commands: { enable: FIXED_PM.ENABLE, disable: FIXED_PM.DISABLE },
  boardPorts: (pmPort) => [{ base: pmPort, sizeBytes: FIXED_PM.GPE0_OFFSET + FIXED_PM.GPE0_BYTES }],
  dsdt: (config) => microvmDsdt(config, { rtc, isaSerial }),
});
