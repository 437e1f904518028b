// x87, MMX, SSE and YMM state of a vCPU from and to the images of a test case: FXSAVE64's layout, and the upper halves of YMM0..15.
import { cpuOffset } from '../../src/cpu/x86/state.ts';

export interface VectorImages {
  readonly fxsave?: Uint8Array;
  readonly ymmHigh?: Uint8Array;
}

/** Writes the images of a case into the state of a vCPU; without them the state after FNINIT. */
export function loadVectors(area: DataView, { fxsave, ymmHigh }: VectorImages): void {
  const image = new DataView(fxsave?.buffer ?? new ArrayBuffer(512), fxsave?.byteOffset ?? 0, 512);
  const status = image.getUint16(2, true);
  const top = (status >> 11) & 7;
  area.setUint16(cpuOffset('fcw'), fxsave === undefined ? 0x37f : image.getUint16(0, true), true);
  area.setUint16(cpuOffset('fsw'), status, true);
  area.setUint8(cpuOffset('ftwEmpty'), ~image.getUint8(4) & 0xff);
  area.setUint32(cpuOffset('mxcsr'), fxsave === undefined ? 0x1f80 : image.getUint32(24, true) & 0xffff, true);
  for (let n = 0; n < 8; n++) {
    const register = cpuOffset(`fpr${(top + n) & 7}`);
    area.setBigUint64(register, image.getBigUint64(32 + 16 * n, true), true);
    area.setUint16(register + 8, image.getUint16(40 + 16 * n, true), true);
  }
  for (let n = 0; n < 16; n++) {
    const target = new Uint8Array(area.buffer, area.byteOffset + cpuOffset(`ymm${n}`), 32).fill(0);
    if (fxsave !== undefined) target.set(fxsave.subarray(160 + 16 * n, 176 + 16 * n));
    if (ymmHigh !== undefined) target.set(ymmHigh.subarray(16 * n, 16 * n + 16), 16);
  }
}

export function saveVectors(area: DataView): { fxsave: Uint8Array; ymmHigh: Uint8Array } {
  const fxsave = new Uint8Array(512);
  const ymmHigh = new Uint8Array(256);
  const image = new DataView(fxsave.buffer);
  const status = area.getUint16(cpuOffset('fsw'), true);
  image.setUint16(0, area.getUint16(cpuOffset('fcw'), true), true);
  image.setUint16(2, status, true);
  image.setUint8(4, ~area.getUint8(cpuOffset('ftwEmpty')) & 0xff);
  image.setUint32(24, area.getUint32(cpuOffset('mxcsr'), true), true);
  for (let n = 0; n < 8; n++) {
    const register = cpuOffset(`fpr${((status >> 11) + n) & 7}`);
    image.setBigUint64(32 + 16 * n, area.getBigUint64(register, true), true);
    image.setUint16(40 + 16 * n, area.getUint16(register + 8, true), true);
  }
  for (let n = 0; n < 16; n++) {
    const source = new Uint8Array(area.buffer, area.byteOffset + cpuOffset(`ymm${n}`), 32);
    fxsave.set(source.subarray(0, 16), 160 + 16 * n);
    ymmHigh.set(source.subarray(16), 16 * n);
  }
  return { fxsave, ymmHigh };
}
