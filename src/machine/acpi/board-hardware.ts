// What of the ACPI tables differs between the boards.
import { ICH9_ACPI } from '../../devices/chipset/ich9-lpc.ts';
import { PIIX4_ACPI } from '../../devices/chipset/piix4-pm.ts';
import { pcDsdt } from './pc-dsdt.ts';
import type { AcpiHardware } from './pc-hardware.ts';
import { q35Dsdt } from './q35-dsdt.ts';

const piix4Gpe0 = { base: PIIX4_ACPI.GPE0_BASE, sizeBytes: PIIX4_ACPI.GPE0_BYTES };

export const pcAcpi: AcpiHardware = {
  gpe0: () => piix4Gpe0,
  commands: { enable: PIIX4_ACPI.ENABLE, disable: PIIX4_ACPI.DISABLE },
  boardPorts: (pmPort) => [{ base: pmPort, sizeBytes: 0x40 }, piix4Gpe0],
  dsdt: pcDsdt,
};

export const q35Acpi: AcpiHardware = {
  gpe0: (pmPort) => ({ base: pmPort + ICH9_ACPI.GPE0_OFFSET, sizeBytes: ICH9_ACPI.GPE0_BYTES }),
  commands: { enable: ICH9_ACPI.ENABLE, disable: ICH9_ACPI.DISABLE },
  boardPorts: (pmPort) => [{ base: pmPort, sizeBytes: 0x80 }],
  dsdt: q35Dsdt,
};
