// What `blockdev-add` takes for the host's files: BlockdevOptionsFile of QEMU's schema.
import { Failure } from '../../base/failure.ts';
import { bool, str, type PropertyType } from '../../schema/property.ts';

/** A closed set of words, refused in the words of these options. */
const word = <const T extends string>(...values: readonly T[]): PropertyType<T> => {
  const parse = (value: unknown): T => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw new Failure('invalid-argument', `invalid parameter value: ${String(value)}`);
    return found;
  };
  return { label: values.join('|'), fromText: (_name, text) => parse(text), fromJson: (_name, value) => parse(value) };
};

const count: PropertyType<number> = {
  label: 'num',
  fromText(name, text) {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value)) {
      throw new Failure('invalid-argument', `Parameter '${name}' expects a number`);
    }
    return value;
  },
  fromJson: (name, value) => count.fromText(name, String(value)),
};

export const fileOptions = {
  filename: { type: str, help: 'File name of the image' },
  aio: { type: word('threads', 'native', 'io_uring'), help: 'host AIO implementation (threads, native, io_uring)' },
  'aio-max-batch': { type: count, help: 'AIO max batch size (0 = auto handled by AIO backend, default: 0)' },
  locking: { type: word('on', 'off', 'auto'), help: 'file locking mode (on/off/auto, default: auto)' },
  'pr-manager': { type: str, help: 'id of persistent reservation manager object (default: none)' },
  'x-cached-reads': { type: bool, help: 'reads of what is in the page cache end at once (default: on)' },
  'drop-cache': { type: bool, help: 'invalidate page cache during live migration (default: on)' },
  'x-check-cache-dropped': { type: bool, help: 'check that page cache was dropped on live migration (default: off)' },
} as const;
