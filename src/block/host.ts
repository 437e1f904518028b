// The powers of the host that a block graph is given. Interfaces only in ports/; this is the bundle that drivers see.
import type { Compression, Cryptography } from '../ports/codec.ts';
import type { HostFiles } from '../ports/host-file.ts';
import type { StreamConnector, TlsCredentials } from '../ports/stream.ts';

export interface BlockHost {
  readonly files: HostFiles;
  readonly compression: Compression;
  readonly cryptography: Cryptography;
  /** Absent where there is no network. */
  readonly network?: StreamConnector;
  /** Credentials of `-object tls-creds-…`, by id; undefined when there are none of that name. */
  tlsCredentials?(id: string): TlsCredentials | undefined;
  /** Values of `-object secret`, by id; Failure when there is none of that name. */
  secret(id: string): Uint8Array;
  /** Monotonic time, for throttling and time-outs. */
  nowNs(): number;
  /** The date, for what formats record. */
  dateMs(): number;
  sleep(ms: number): Promise<void>;
  /** A warning for the user: one line without prefix. `hint` is printed behind it as it stands, with no end of line. */
  warn(line: string, hint?: string): void;
  /** An error that ends nothing: a line under the program's own name; `print` when absent. */
  report?(line: string): void;
  /** A line for the user as it stands, on stderr; `warn` when absent. */
  print?(line: string): void;
  /** A line that is part of a command's output, on stdout (blkdebug's breakpoints); nowhere when absent. */
  show?(line: string): void;
}
