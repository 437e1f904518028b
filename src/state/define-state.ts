// A device's state declared once: its type, its reset values, its bytes and its dump come from one list of fields.
// Describe the device, not the implementation; never reorder fields; a change of fields is a new version.
import { Failure } from '../base/failure.ts';
import { corrupt, StateReader, StateWriter } from './codec.ts';
import { struct, type Fields, type Json, type StateOf } from './fields.ts';

export interface StateSchema<S> {
  readonly kind: string;
  readonly version: number;
  initial(): S;
  encode(state: S): Uint8Array;
  /** Throws Failure: 'unsupported' for another version, 'corrupt' for bytes that `encode` cannot have made. */
  decode(bytes: Uint8Array, version?: number): S;
  dump(state: S): Json;
}

export interface StateDeclaration<F extends Fields> {
  readonly kind: string;
  readonly version: number;
  readonly fields: F;
  /** Says what is impossible about a decoded state: combinations that no sequence of guest accesses can reach. */
  readonly check?: (state: StateOf<F>) => string | undefined;
}

export function defineState<const F extends Fields>({ kind, version, fields, check }: StateDeclaration<F>): StateSchema<StateOf<F>> {
  const whole = struct(fields);
  return {
    kind,
    version,
    initial: () => whole.initial(),
    encode(state) {
      const writer = new StateWriter();
      whole.write(writer, state);
      return writer.finish();
    },
    decode(bytes, given = version) {
      if (given !== version) throw new Failure('unsupported', `saved state: ${kind} version ${given}, this program knows ${version}`);
      const reader = new StateReader(bytes);
      const state = whole.read(reader);
      if (reader.left > 0) throw corrupt(`${kind} has ${reader.left} bytes too many`);
      const wrong = check?.(state);
      if (wrong !== undefined) throw corrupt(`${kind}: ${wrong}`);
      return state;
    },
    dump: (state) => whole.dump(state),
  };
}
