// The commands of the diskette controller (82077AA, chapter 5): which there are, their parameters, and what they do.
import type { I82077 } from './i82077.ts';

export interface FloppyCommandRow {
  /** The first byte under a mask: the rest are flags (multiple tracks, density, skip). */
  readonly code: number;
  readonly mask: number;
  readonly name: string;
  /** Bytes after the first one. */
  readonly parameters: number;
  readonly data?: 'read' | 'write';
  readonly run: (fdc: I82077, row: FloppyCommandRow) => void;
}

const VERSION_82077 = 0x90;

// prettier-ignore
const ROWS: readonly FloppyCommandRow[] = [
  { code: 0x06, mask: 0x1f, name: 'READ DATA', parameters: 8, data: 'read', run: (fdc, row) => fdc.transfer(row) },
  { code: 0x0c, mask: 0x1f, name: 'READ DELETED DATA', parameters: 8, data: 'read', run: (fdc, row) => fdc.transfer(row) },
  { code: 0x02, mask: 0x9f, name: 'READ TRACK', parameters: 8, data: 'read', run: (fdc, row) => fdc.transfer(row) },
  { code: 0x05, mask: 0x3f, name: 'WRITE DATA', parameters: 8, data: 'write', run: (fdc, row) => fdc.transfer(row) },
  { code: 0x09, mask: 0x3f, name: 'WRITE DELETED DATA', parameters: 8, data: 'write', run: (fdc, row) => fdc.transfer(row) },
  { code: 0x0a, mask: 0xbf, name: 'READ ID', parameters: 1, run: (fdc) => fdc.readId() },
  { code: 0x0d, mask: 0xbf, name: 'FORMAT TRACK', parameters: 5, data: 'write', run: (fdc, row) => fdc.formatTrack(row) },
  { code: 0x07, mask: 0xff, name: 'RECALIBRATE', parameters: 1, run: (fdc) => fdc.recalibrate() },
  { code: 0x08, mask: 0xff, name: 'SENSE INTERRUPT STATUS', parameters: 0, run: (fdc) => fdc.senseInterrupt() },
  { code: 0x03, mask: 0xff, name: 'SPECIFY', parameters: 2,
    run: (fdc) => { fdc.state.stepRate = fdc.parameter(1); fdc.state.headLoad = fdc.parameter(2); fdc.result([]); } },
  { code: 0x04, mask: 0xff, name: 'SENSE DRIVE STATUS', parameters: 1, run: (fdc) => fdc.senseDrive() },
  { code: 0x0f, mask: 0xff, name: 'SEEK', parameters: 2, run: (fdc) => fdc.seek(fdc.parameter(2)) },
  { code: 0x8f, mask: 0xbf, name: 'RELATIVE SEEK', parameters: 2, run: (fdc) => fdc.relativeSeek((fdc.parameter(0) & 0x40) !== 0) },
  { code: 0x0e, mask: 0xff, name: 'DUMPREG', parameters: 0, run: (fdc) => fdc.dumpRegisters() },
  { code: 0x10, mask: 0xff, name: 'VERSION', parameters: 0, run: (fdc) => fdc.result([VERSION_82077]) },
  { code: 0x12, mask: 0xff, name: 'PERPENDICULAR MODE', parameters: 1,
    run: (fdc) => { fdc.state.perpendicular = fdc.parameter(1) & 0x7f; fdc.result([]); } },
  { code: 0x13, mask: 0xff, name: 'CONFIGURE', parameters: 3,
    run: (fdc) => { fdc.state.configuration = fdc.parameter(2); fdc.state.precompensation = fdc.parameter(3); fdc.result([]); } },
  { code: 0x14, mask: 0x7f, name: 'LOCK', parameters: 0, run: (fdc) => fdc.lock((fdc.parameter(0) & 0x80) !== 0) },
];

const byCode: readonly (FloppyCommandRow | undefined)[] = Array.from({ length: 256 }, (_, value) =>
  ROWS.find(({ code, mask }) => (value & mask) === code),
);

export const floppyCommand = (value: number): FloppyCommandRow | undefined => byCode[value];
