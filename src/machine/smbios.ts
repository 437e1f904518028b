// SMBIOS 2.8 (DMTF DSP0134): the entry point and the structures a guest reads for its identity, processors and memory.
// Strings of a structure follow it; fields hold their 1-based numbers.
import { Failure } from '../base/failure.ts';
import { assert } from '../base/assert.ts';
import { bytes as byteRun, concatBytes, cString, layout, le16, le32, le64, text, u8 } from '../struct/layout.ts';
import type { Decoded, Fields, Layout } from '../struct/layout.ts';

export interface SmbiosConfig {
  /** `-uuid`; all zero when absent. */
  readonly uuid?: string | undefined;
  readonly manufacturer?: string | undefined;
  readonly product?: string | undefined;
  readonly version?: string | undefined;
  readonly serial?: string | undefined;
  readonly cpuCount: number;
  readonly ramBytes: number;
  readonly lowRamBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const FOUR_GIB = 4096 * MIB;
const NONE16 = 0xffff;
const NO_ERROR_HANDLE = 0xfffe;
const UNKNOWN = 2;

// prettier-ignore
export const entryPoint = layout('SMBIOS entry point', {
  anchor: text(0, 4), checksum: u8(4), length: u8(5), majorVersion: u8(6), minorVersion: u8(7), maxStructureBytes: le16(8),
  intermediateAnchor: text(0x10, 5), intermediateChecksum: u8(0x15), tableBytes: le16(0x16), tableAddress: le32(0x18),
  structureCount: le16(0x1c), bcdRevision: u8(0x1e),
});

const header = { type: u8(0), length: u8(1), handle: le16(2) };
// prettier-ignore
const bios = layout('type 0', {
  ...header, vendor: u8(4), version: u8(5), startSegment: le16(6), releaseDate: u8(8), romSize: u8(9), characteristics: le64(0xa),
  extension1: u8(0x12), extension2: u8(0x13), majorRelease: u8(0x14), minorRelease: u8(0x15), ecMajor: u8(0x16), ecMinor: u8(0x17),
});
// prettier-ignore
const system = layout('type 1', {
  ...header, manufacturer: u8(4), product: u8(5), version: u8(6), serial: u8(7), uuid: byteRun(8, 16), wakeUpType: u8(0x18),
  sku: u8(0x19), family: u8(0x1a),
});
// prettier-ignore
const chassis = layout('type 3', {
  ...header, manufacturer: u8(4), chassisType: u8(5), version: u8(6), serial: u8(7), asset: u8(8), bootUpState: u8(9),
  powerState: u8(0xa), thermalState: u8(0xb), security: u8(0xc), oem: le32(0xd), height: u8(0x11), powerCords: u8(0x12),
  containedCount: u8(0x13), containedBytes: u8(0x14), sku: u8(0x15),
});
// prettier-ignore
const processor = layout('type 4', {
  ...header, socket: u8(4), processorType: u8(5), family: u8(6), manufacturer: u8(7), id: le64(8), version: u8(0x10), voltage: u8(0x11),
  externalClock: le16(0x12), maxSpeed: le16(0x14), currentSpeed: le16(0x16), status: u8(0x18), upgrade: u8(0x19), l1: le16(0x1a),
  l2: le16(0x1c), l3: le16(0x1e), serial: u8(0x20), asset: u8(0x21), part: u8(0x22), cores: u8(0x23), coresEnabled: u8(0x24),
  threads: u8(0x25), characteristics: le16(0x26), family2: le16(0x28),
});
// prettier-ignore
const memoryArray = layout('type 16', {
  ...header, location: u8(4), use: u8(5), errorCorrection: u8(6), capacityKib: le32(7), errorHandle: le16(0xb), deviceCount: le16(0xd),
  extendedCapacity: le64(0xf),
});
// prettier-ignore
const memoryDevice = layout('type 17', {
  ...header, arrayHandle: le16(4), errorHandle: le16(6), totalWidth: le16(8), dataWidth: le16(0xa), sizeMib: le16(0xc), formFactor: u8(0xe),
  deviceSet: u8(0xf), locator: u8(0x10), bank: u8(0x11), memoryType: u8(0x12), typeDetail: le16(0x13), speed: le16(0x15),
  manufacturer: u8(0x17), serial: u8(0x18), asset: u8(0x19), part: u8(0x1a), attributes: u8(0x1b), extendedSizeMib: le32(0x1c),
  configuredSpeed: le16(0x20), minVoltage: le16(0x22), maxVoltage: le16(0x24), configuredVoltage: le16(0x26),
});
// prettier-ignore
const mappedAddress = layout('type 19', {
  ...header, startKib: le32(4), endKib: le32(8), arrayHandle: le16(0xc), width: u8(0xe), extendedStart: le64(0xf), extendedEnd: le64(0x17),
});
const bootInformation = layout('type 32', { ...header, status: u8(0xa) });
const endOfTable = layout('type 127', header);

type Values<F extends Fields> = Partial<Decoded<F>> & { readonly type: number; readonly handle: number };

function structure<F extends Fields>(shape: Layout<F>, values: Values<F>, strings: readonly string[] = []): Uint8Array {
  const formatted = shape.encode({ ...values, length: shape.sizeBytes } as Partial<Decoded<F>>);
  return concatBytes(formatted, ...strings.map((value) => cString(value)), strings.length === 0 ? [0, 0] : [0]);
}

/** The binary form of 7.2.1: the first three groups are little endian. */
export function parseUuid(uuid: string): Uint8Array {
  if (!/^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(uuid)) throw new Failure('invalid-argument', `invalid UUID '${uuid}'`);
  const digits = uuid.replaceAll('-', '');
  const plain = Uint8Array.from({ length: 16 }, (_, n) => Number.parseInt(digits.slice(2 * n, 2 * n + 2), 16));
  const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Uint8Array.from(ORDER, (n) => plain[n]!);
}

function identity(config: SmbiosConfig): Uint8Array[] {
  const manufacturer = config.manufacturer ?? 'nandu';
  const product = config.product ?? 'Standard PC (i440FX + PIIX, 1996)';
  const version = config.version ?? 'pc';
  const serial = config.serial ?? '';
  const strings = [manufacturer, product, version, ...(serial === '' ? [] : [serial])];
  const serialIndex = serial === '' ? 0 : 4;
  const uuid = config.uuid === undefined ? new Uint8Array(16) : parseUuid(config.uuid);
  const NOT_SUPPORTED = 8n;
  const VIRTUAL_MACHINE = 0x10;
  return [
    structure(bios, {
      type: 0, handle: 0, vendor: 1, version: 2, startSegment: 0xf000, releaseDate: 3, characteristics: NOT_SUPPORTED,
      extension2: VIRTUAL_MACHINE, ecMajor: 0xff, ecMinor: 0xff,
    }, ['nandu', '1.0', '01/01/2025']),
    structure(system, {
      type: 1, handle: 0x100, manufacturer: 1, product: 2, version: 3, serial: serialIndex, uuid, wakeUpType: 6,
    }, strings),
    structure(chassis, {
      type: 3, handle: 0x300, manufacturer: 1, chassisType: 1, version: 2, bootUpState: 3, powerState: 3, thermalState: 3,
      security: UNKNOWN,
    }, [manufacturer, version]),
  ];
}

function processors(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, n) =>
    structure(processor, {
      type: 4, handle: 0x400 + n, socket: 1, processorType: 3, family: 1, manufacturer: 2, maxSpeed: 2000, currentSpeed: 2000,
      status: 0x41, upgrade: 1, l1: NONE16, l2: NONE16, l3: NONE16, cores: 1, coresEnabled: 1, threads: 1,
      characteristics: UNKNOWN, family2: 1,
    }, [`CPU ${n}`, 'nandu']),
  );
}

const ARRAY_HANDLE = 0x1000;

function memory({ ramBytes, lowRamBytes }: SmbiosConfig): Uint8Array[] {
  const SYSTEM_BOARD_MEMORY = 3;
  const EXTENDED_CAPACITY = 0x80000000;
  const EXTENDED_SIZE = 0x7fff;
  const sizeMib = Math.floor(ramBytes / MIB);
  const large = sizeMib >= EXTENDED_SIZE;
  const hugeArray = ramBytes / KIB >= EXTENDED_CAPACITY;
  const low = { start: 0, end: lowRamBytes };
  const high = { start: FOUR_GIB, end: FOUR_GIB + ramBytes - lowRamBytes };
  const regions = [low, high].filter(({ start, end }) => end > start);
  return [
    structure(memoryArray, {
      type: 16, handle: ARRAY_HANDLE, location: 1, use: SYSTEM_BOARD_MEMORY, errorCorrection: 6, errorHandle: NO_ERROR_HANDLE,
      deviceCount: 1,
      capacityKib: hugeArray ? EXTENDED_CAPACITY : ramBytes / KIB, extendedCapacity: hugeArray ? BigInt(ramBytes) : 0n,
    }),
    structure(memoryDevice, {
      type: 17, handle: 0x1100, arrayHandle: ARRAY_HANDLE, errorHandle: NO_ERROR_HANDLE, totalWidth: NONE16, dataWidth: NONE16,
      sizeMib: large ? EXTENDED_SIZE : sizeMib, extendedSizeMib: large ? sizeMib : 0, formFactor: 9, locator: 1, memoryType: 7,
      typeDetail: UNKNOWN,
    }, ['DIMM 0']),
    ...regions.map(({ start, end }, n) =>
      structure(mappedAddress, {
        type: 19, handle: 0x1300 + n, startKib: start / KIB, endKib: end / KIB - 1, arrayHandle: ARRAY_HANDLE, width: 1,
      }),
    ),
  ];
}

export interface SmbiosTables {
  readonly entryPoint: Uint8Array;
  readonly table: Uint8Array;
}

const sumToZero = (bytes: Uint8Array): number => -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;

/** `tableAddress` is where the caller puts the table; the entry point goes to a multiple of 16 in the ROM area. */
export function buildSmbios(config: SmbiosConfig, tableAddress: number): SmbiosTables {
  const structures = [
    ...identity(config), ...processors(config.cpuCount), ...memory(config),
    structure(bootInformation, { type: 32, handle: 0x2000 }), structure(endOfTable, { type: 127, handle: 0x7f00 }),
  ];
  const table = concatBytes(...structures);
  assert(table.length < 0x10000, 'SMBIOS table too long');
  const entry = entryPoint.encode({
    anchor: '_SM_', length: entryPoint.sizeBytes, majorVersion: 2, minorVersion: 8, intermediateAnchor: '_DMI_', tableAddress,
    bcdRevision: 0x28,
    maxStructureBytes: Math.max(...structures.map((part) => part.length)), tableBytes: table.length, structureCount: structures.length,
  });
  const INTERMEDIATE = 0x10;
  entryPoint.write(entry, { intermediateChecksum: sumToZero(entry.subarray(INTERMEDIATE)) });
  entryPoint.write(entry, { checksum: sumToZero(entry) });
  return { entryPoint: entry, table };
}
