// What the board tells a ROM about itself in fw_cfg (QEMU's docs/specs/fw_cfg; the file names are those SeaBIOS and OVMF look
// for): memory, tables, boot order. The tables are the same that a direct boot finds in memory (firmware-tables.ts).
import { KEY, type FwCfg } from '../devices/firmware/fw-cfg.ts';
import { le16, le32, le64, layout } from '../struct/layout.ts';
import { buildAcpiTables, type AcpiTables } from './acpi/tables.ts';
import { loaderScript } from './acpi/relocation.ts';
import { E820, encodeE820, memoryMap } from './e820.ts';
import { acpiConfig, smbiosConfig, type FirmwareConfig } from './firmware-tables.ts';
import { alignUp } from './guest-ram.ts';
import { buildSmbios, parseUuid } from './smbios.ts';

/** What `-boot` and `bootindex` say. */
export interface BootPreferences {
  /** Show the boot menu, for this long. */
  readonly menu: boolean;
  readonly menuTimeoutMs?: number | undefined;
  /** How long to wait before trying again when nothing could be booted; never when absent. */
  readonly retryMs?: number | undefined;
  /** Nothing but what the boot order lists. */
  readonly strict: boolean;
  /** Open Firmware paths, in the order to try them. */
  readonly paths: readonly string[];
}

export interface FirmwareFilesConfig extends FirmwareConfig {
  /** False: messages go to the first serial port. */
  readonly graphics: boolean;
  readonly boot: BootPreferences;
}

const number16 = layout('fw_cfg u16', { value: le16(0) });
const number32 = layout('fw_cfg u32', { value: le32(0) });
const number64 = layout('fw_cfg u64', { value: le64(0) });
const u16 = (value: number): Uint8Array => number16.encode({ value });
const u32 = (value: number): Uint8Array => number32.encode({ value });

const TABLE_FILES = { area: 'etc/acpi/tables', root: 'etc/acpi/rsdp' } as const;
const NEVER = 0xffff_ffff;

/** By sleep state S0..S5: bit 7 says that there is one, the rest is its SLP_TYP. */
const SYSTEM_STATES = Uint8Array.of(0x80, 0, 0, 1, 2, 0x80);

function addNumbers(fwCfg: FwCfg, { ramBytes, cpuCount, graphics, identity, boot }: FirmwareFilesConfig): void {
  fwCfg.set(KEY.RAM_SIZE, number64.encode({ value: BigInt(ramBytes) }));
  fwCfg.set(KEY.NB_CPUS, u16(cpuCount));
  fwCfg.set(KEY.MAX_CPUS, u16(cpuCount));
  fwCfg.set(KEY.NOGRAPHIC, u16(graphics ? 0 : 1));
  fwCfg.set(KEY.BOOT_MENU, u16(boot.menu ? 1 : 0));
  fwCfg.set(KEY.X86_IRQ0_OVERRIDE, u32(1));
  if (identity.uuid !== undefined) fwCfg.set(KEY.UUID, parseUuid(identity.uuid));
}

/** Room for what firmware's choice of addresses changes in the size of the tables, which must stay as announced. */
const AREA_GRANULE = 4096;

function paddedTables(config: FirmwareConfig): AcpiTables {
  const tables = buildAcpiTables(acpiConfig(config));
  const bytes = new Uint8Array(alignUp(tables.area.bytes.length, AREA_GRANULE));
  bytes.set(tables.area.bytes);
  return { ...tables, area: { ...tables.area, bytes } };
}

/** Builds the tables again only when what they depend on has changed. */
function currentTables(current: () => FirmwareConfig): () => AcpiTables {
  let window: number | undefined;
  let pmPort: number | undefined;
  let tables: AcpiTables | undefined;
  return () => {
    const config = current();
    if (tables === undefined || config.ecam?.start !== window || config.pmPort !== pmPort) tables = paddedTables(config);
    window = config.ecam?.start;
    pmPort = config.pmPort;
    return tables;
  };
}

function addTables(fwCfg: FwCfg, config: FirmwareFilesConfig, current: () => FirmwareConfig): void {
  const { lowRamBytes } = memoryMap(config.ramBytes, 0);
  fwCfg.addFile('etc/e820', encodeE820([{ start: 0, sizeBytes: lowRamBytes, type: E820.RAM }]));
  const smbios = buildSmbios(smbiosConfig(config, lowRamBytes), 0);
  fwCfg.addFile('etc/smbios/smbios-anchor', smbios.entryPoint);
  fwCfg.addFile('etc/smbios/smbios-tables', smbios.table);
  if (config.acpi === false) return;
  const tables = currentTables(current);
  fwCfg.addLiveFile(TABLE_FILES.area, () => tables().area.bytes);
  fwCfg.addLiveFile(TABLE_FILES.root, () => tables().root.bytes);
  fwCfg.addLiveFile('etc/table-loader', () => loaderScript(tables(), TABLE_FILES));
}

function bootOrder({ paths, strict }: BootPreferences): Uint8Array {
  const lines = [...paths, ...(strict ? ['HALT'] : [])];
  return new TextEncoder().encode(lines.length === 0 ? '' : `${lines.join('\n')}\0`);
}

/**
 * Gives every file and number; what was there before of the same name is replaced. `current` is the configuration after what the
 * ROM has done to the board's registers by the time it reads the tables.
 */
export function describeToFirmware(fwCfg: FwCfg, config: FirmwareFilesConfig, current: () => FirmwareConfig = () => config): void {
  addNumbers(fwCfg, config);
  addTables(fwCfg, config, current);
  const { boot } = config;
  fwCfg.addFile('etc/system-states', SYSTEM_STATES);
  fwCfg.addFile('bootorder', bootOrder(boot));
  fwCfg.addFile('etc/boot-fail-wait', u32(boot.retryMs ?? NEVER));
  if (boot.menuTimeoutMs !== undefined) fwCfg.addFile('etc/boot-menu-wait', u16(boot.menuTimeoutMs));
}
