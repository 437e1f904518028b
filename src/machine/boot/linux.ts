// Linux bzImage: the 32-bit and the 64-bit boot protocol (kernel documentation arch/x86/boot, "The Linux/x86 Boot
// Protocol", and zero-page). The 16-bit entry is not used: there is no firmware for it to call.
import { Failure } from '../../base/failure.ts';
import { layout, bytes as byteRun, concatBytes, le16, le32, le64, u8, type Decoded } from '../../struct/layout.ts';
import { E820_ENTRY_BYTES, encodeE820, HIGH_MEMORY } from '../e820.ts';
import { alignDown, alignUp, type RamWriter } from '../guest-ram.ts';
import { moduleTooLarge, type BootInput } from './boot-input.ts';
import { longModeState, protectedModeState, type BootState } from './boot-state.ts';
import { LoaderArea } from './loader-area.ts';

/** The setup header, at its offsets in the file, which are also those in boot_params. */
// prettier-ignore
export const setupHeader = layout('kernel setup header', {
  setupSects: u8(0x1f1), rootFlags: le16(0x1f2), syssize: le32(0x1f4), ramSize: le16(0x1f8), vidMode: le16(0x1fa),
  rootDev: le16(0x1fc), bootFlag: le16(0x1fe), jumpShort: u8(0x200), jumpDistance: u8(0x201), header: le32(0x202),
  version: le16(0x206), realmodeSwtch: le32(0x208), startSysSeg: le16(0x20c), kernelVersion: le16(0x20e),
  typeOfLoader: u8(0x210), loadflags: u8(0x211), setupMoveSize: le16(0x212), code32Start: le32(0x214),
  ramdiskImage: le32(0x218), ramdiskSize: le32(0x21c), bootsectKludge: le32(0x220), heapEndPtr: le16(0x224),
  extLoaderVer: u8(0x226), extLoaderType: u8(0x227), cmdLinePtr: le32(0x228), initrdAddrMax: le32(0x22c),
  kernelAlignment: le32(0x230), relocatableKernel: u8(0x234), minAlignment: u8(0x235), xloadflags: le16(0x236),
  cmdlineSize: le32(0x238), hardwareSubarch: le32(0x23c), hardwareSubarchData: le64(0x240), payloadOffset: le32(0x248),
  payloadLength: le32(0x24c), setupData: le64(0x250), prefAddress: le64(0x258), initSize: le32(0x260),
  handoverOffset: le32(0x264), kernelInfoOffset: le32(0x268),
});

/** The rest of boot_params ("zero page") that is filled in. screen_info stays zero: there is no display. */
const E820_ENTRIES_MAX = 128;
export const bootParams = layout('boot_params', {
  acpiRsdpAddr: le64(0x70),
  altMemK: le32(0x1e0),
  e820Entries: u8(0x1e8),
  e820Table: byteRun(0x2d0, E820_ENTRIES_MAX * E820_ENTRY_BYTES),
}, 4096);

export const HDRS = 0x53726448;
export const BOOT_FLAG = 0xaa55;
export const LOADED_HIGH = 1;
export const XLF_KERNEL_64 = 1;
const VIDEO_MODE_NORMAL = 0xffff;
const LOADER_UNDEFINED = 0xff; // no identifier is assigned to this loader
export const ENTRY64_OFFSET = 0x200;
const SECTOR_BYTES = 512;
const SETUP_SECTS_DEFAULT = 4;
const VERSION_MIN = 0x202; // the first with a 32-bit command line pointer
const CMDLINE_BYTES_DEFAULT = 255;
const INITRD_ADDR_MAX_DEFAULT = 0x37ffffff;

/** The loader's low memory; less tables and boot_params, this much is left for the command line. */
const CMDLINE_BYTES_MAX = 512 * 1024;
const KERNEL_ADDRESS = HIGH_MEMORY;

interface LinuxImage {
  readonly header: Decoded<typeof setupHeader.fields>;
  readonly setupBytes: Uint8Array;
  readonly code: Uint8Array;
}

export function isLinuxImage(file: Uint8Array): boolean {
  return file.length >= 0x206 && new DataView(file.buffer, file.byteOffset).getUint32(0x202, true) === HDRS;
}

const invalidHeader = (): Failure => new Failure('invalid-format', 'invalid kernel header');

/** Headers of old protocols end early; what lies behind them in the file is code. Absent fields read as zero. */
function decodeHeader(file: Uint8Array): LinuxImage['header'] {
  const headerEnd = Math.min(0x202 + (file[0x201] ?? 0), setupHeader.sizeBytes, file.length);
  const padded = new Uint8Array(setupHeader.sizeBytes);
  padded.set(file.subarray(0x1f1, headerEnd), 0x1f1);
  return setupHeader.decode(padded);
}

export function parseLinuxImage(file: Uint8Array): LinuxImage {
  if (!isLinuxImage(file)) throw invalidHeader();
  const header = decodeHeader(file);
  const setupBytes = ((header.setupSects === 0 ? SETUP_SECTS_DEFAULT : header.setupSects) + 1) * SECTOR_BYTES;
  if (header.bootFlag !== BOOT_FLAG || setupBytes > file.length) throw invalidHeader();
  if (header.version < VERSION_MIN || (header.loadflags & LOADED_HIGH) === 0) {
    const version = `${header.version >> 8}.${header.version & 0xff}`;
    throw new Failure('unsupported', `kernel boot protocol ${version} is too old (need a bzImage of 2.2)`);
  }
  const codeBytes = header.version >= 0x204 ? header.syssize * 16 : file.length - setupBytes;
  if (codeBytes === 0) throw invalidHeader();
  // The count in the header is rounded up to paragraphs, so the file may lack up to 15 bytes of it.
  if (setupBytes + codeBytes > file.length + 15) {
    throw new Failure('corrupt', `kernel file is truncated (${file.length} bytes, the header says ${setupBytes + codeBytes})`);
  }
  return { header, setupBytes: file.subarray(0, setupBytes), code: file.subarray(setupBytes) };
}

/** The end of what the kernel needs before it reads the memory map: itself and room to unpack. */
function kernelEnd({ header, code }: LinuxImage): number {
  const loadedEnd = KERNEL_ADDRESS + code.length;
  if (header.version < 0x20a) return loadedEnd;
  const preferred = Number(header.prefAddress);
  const aligned = alignUp(KERNEL_ADDRESS, Math.max(1, header.kernelAlignment));
  const start = header.relocatableKernel === 0 ? preferred : Math.max(aligned, preferred);
  return Math.max(loadedEnd, start + header.initSize);
}

/** As high as the kernel can reach it, below the tables. Returns the address. */
function placeInitrd(ram: RamWriter, image: LinuxImage, { modules, memory }: BootInput): { address: number; sizeBytes: number } {
  const initrd = modules[0]?.bytes;
  if (initrd === undefined || initrd.length === 0) return { address: 0, sizeBytes: 0 };
  const reach = image.header.version >= 0x203 ? image.header.initrdAddrMax : INITRD_ADDR_MAX_DEFAULT;
  const end = Math.min(reach + 1, memory.tableAddress);
  const address = alignDown(end - initrd.length, 4096);
  if (address < kernelEnd(image)) throw moduleTooLarge(end - kernelEnd(image), initrd.length);
  ram(address, initrd);
  return { address, sizeBytes: initrd.length };
}

function commandLineBytes(image: LinuxImage, commandLine: string): Uint8Array {
  const encoded = new TextEncoder().encode(commandLine);
  const limit = image.header.version >= 0x206 ? image.header.cmdlineSize : CMDLINE_BYTES_DEFAULT;
  const max = Math.min(limit, CMDLINE_BYTES_MAX);
  if (encoded.length > max) {
    throw new Failure('limit', `kernel command line is too long (max: ${max}, need ${encoded.length})`);
  }
  return concatBytes(encoded, [0]);
}

interface Placed {
  readonly commandLine: number;
  readonly initrd: { readonly address: number; readonly sizeBytes: number };
}

function encodeBootParams(image: LinuxImage, input: BootInput, { commandLine, initrd }: Placed): Uint8Array {
  const page = new Uint8Array(bootParams.sizeBytes);
  const { header } = image;
  setupHeader.write(page, {
    ...header,
    vidMode: VIDEO_MODE_NORMAL,
    typeOfLoader: LOADER_UNDEFINED,
    code32Start: KERNEL_ADDRESS,
    cmdLinePtr: commandLine,
    ramdiskImage: initrd.address,
    ramdiskSize: initrd.sizeBytes,
    setupData: 0n,
  });
  const { memory } = input;
  const e820Table = new Uint8Array(E820_ENTRIES_MAX * E820_ENTRY_BYTES);
  e820Table.set(encodeE820(memory.ranges));
  bootParams.write(page, {
    acpiRsdpAddr: BigInt(input.rsdpAddress),
    altMemK: (memory.tableAddress - HIGH_MEMORY) / 1024,
    e820Entries: memory.ranges.length,
    e820Table,
  });
  return page;
}

/** Puts kernel, initrd, command line and boot_params into RAM; the state enters the kernel. */
export function loadLinux(ram: RamWriter, input: BootInput): BootState {
  const image = parseLinuxImage(input.kernel);
  const { header, code } = image;
  if (kernelEnd(image) > input.memory.tableAddress) {
    const needMib = Math.ceil((kernelEnd(image) + input.memory.tableBytes) / 2 ** 20);
    throw new Failure('no-space', `not enough memory for the kernel (it needs at least ${needMib} MiB)`);
  }
  const commandLine = commandLineBytes(image, input.commandLine);
  const initrd = placeInitrd(ram, image, input);
  ram(KERNEL_ADDRESS, code);
  const area = new LoaderArea(ram, [], input.memory);
  const placed = { commandLine: area.add(commandLine), initrd };
  const registers = { rsi: area.addPages(bootParams.sizeBytes, () => encodeBootParams(image, input, placed)) };

  const entry64 = header.version >= 0x20c && (header.xloadflags & XLF_KERNEL_64) !== 0 && code.length > ENTRY64_OFFSET;
  if (entry64 && input.longMode) return longModeState(area, { rip: KERNEL_ADDRESS + ENTRY64_OFFSET, registers });
  return protectedModeState(area, { rip: KERNEL_ADDRESS, registers });
}
