// Node's Buffers as the plain Uint8Arrays that the rest of the program expects: a Buffer's `slice` shares memory where a
// Uint8Array's copies, and code that knows no Node must not meet the difference.

export const plainBytes = (bytes: Uint8Array): Uint8Array =>
  bytes instanceof Buffer ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) : bytes;
