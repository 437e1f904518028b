// The saved state of a machine: a magic, then sections of name, version, length and payload, then an end mark.
// Every section must be consumed and every expected section present: nothing is skipped silently.
import { Failure } from '../base/failure.ts';
import { corrupt, StateReader, StateWriter } from './codec.ts';
import type { StateSchema } from './define-state.ts';

const MAGIC = 0x5655_444e; // "NDUV"
const FORMAT_VERSION = 1;
const NAME_BYTES_MAX = 255;

export interface Section {
  readonly name: string;
  readonly version: number;
  readonly payload: Uint8Array;
}

export function encodeSections(sections: readonly Section[]): Uint8Array {
  const writer = new StateWriter();
  writer.u32(MAGIC);
  writer.u32(FORMAT_VERSION);
  for (const { name, version, payload } of sections) {
    const nameBytes = new TextEncoder().encode(name);
    if (nameBytes.length === 0 || nameBytes.length > NAME_BYTES_MAX) throw new Failure('invalid-argument', `section name '${name}'`);
    writer.u8(nameBytes.length);
    writer.bytes(nameBytes);
    writer.u32(version);
    writer.u32(payload.length);
    writer.bytes(payload);
  }
  writer.u8(0);
  return writer.finish();
}

export function decodeSections(bytes: Uint8Array): Section[] {
  const reader = new StateReader(bytes);
  if (reader.u32() !== MAGIC) throw new Failure('invalid-format', 'not a saved machine state');
  const format = reader.u32();
  if (format !== FORMAT_VERSION) throw new Failure('unsupported', `saved state: format version ${format}`);
  const sections: Section[] = [];
  for (let nameLength = reader.u8(); nameLength !== 0; nameLength = reader.u8()) {
    const name = new TextDecoder().decode(reader.bytes(nameLength));
    const version = reader.u32();
    sections.push({ name, version, payload: reader.bytes(reader.u32()) });
  }
  if (reader.left > 0) throw corrupt(`${reader.left} bytes after the end`);
  return sections;
}

/** Something with a place in the stream: a device (bus/device.ts), the processor. */
export interface Saveable {
  readonly schema: StateSchema<unknown>;
  state: unknown;
  settle(): void;
}

export type NamedSaveables = ReadonlyMap<string, Saveable>;

export function saveAll(saveables: NamedSaveables): Uint8Array {
  const sections = [...saveables].map(([name, { schema, state }]) => ({
    name,
    version: schema.version,
    payload: schema.encode(state),
  }));
  return encodeSections(sections);
}

/** Decodes everything before it changes anything, then assigns every state, then settles in the order of the map. */
export function restoreAll(saveables: NamedSaveables, bytes: Uint8Array): void {
  const decoded = new Map<string, unknown>();
  for (const { name, version, payload } of decodeSections(bytes)) {
    const target = saveables.get(name);
    if (target === undefined) throw corrupt(`section '${name}' belongs to no device of this machine`);
    if (decoded.has(name)) throw corrupt(`section '${name}' comes twice`);
    decoded.set(name, target.schema.decode(payload, version));
  }
  for (const name of saveables.keys()) if (!decoded.has(name)) throw corrupt(`section '${name}' is missing`);
  for (const [name, state] of decoded) saveables.get(name)!.state = state;
  for (const saveable of saveables.values()) saveable.settle();
}
