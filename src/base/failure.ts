// Failure: an operating error (bad image, full disk, wrong option), shown to the user in one line.
// Not for a programmer's error (see assert.ts), nor for what a guest does wrong (architectural behaviour).

export type FailureKind =
  | 'invalid-argument' // an option or a request that makes no sense
  | 'not-found'
  | 'unsupported' // understood, but not implemented here
  | 'invalid-format' // a file is not what it claims to be
  | 'corrupt'
  | 'io'
  | 'no-space'
  | 'limit'; // more than a documented bound

export class Failure extends Error {
  override name = 'Failure';
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}
