// The contract between whoever shows a drive to the guest (a disk controller, firmware services) and the drive behind it.
// Not the block graph: that is in block/, and vm/ joins the two. The guest's mistakes are the controller's to find: a request
// that reaches a drive lies inside it.
import type { Eventual } from '../base/eventual.ts';

export interface DriveGeometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
}

/**
 * A drive. Data methods end at once where the host has the data at hand, else with a promise; a failure is an ErrnoFailure.
 * What `werror` and `rerror` say has been carried out by then: a stopped request stays pending until the machine goes on, an
 * ignored error is success, and only what the guest is to be told of arrives here.
 */
export interface Drive {
  /** As `-drive id=` or the node's name: the correlator in traces and messages. */
  readonly name: string;
  /** Bytes, a multiple of 512; 0 without a medium. */
  readonly size: number;
  readonly readOnly: boolean;
  /** Bytes of the smallest request that does not read first, and what the host likes best; 0: no preference. */
  readonly requestAlignment: number;
  /** Whether completed writes may still be lost until `flush`. */
  readonly writeCache: boolean;
  /** The guest switches it; off makes every write stable before it completes. */
  setWriteCache?(enabled: boolean): void;
  /** Whether discard reaches the image (`discard=unmap`); without, it is success that does nothing. */
  readonly discards: boolean;

  read(offset: number, target: Uint8Array): Eventual<void>;
  write(offset: number, source: Uint8Array, options?: { readonly fua?: boolean }): Eventual<void>;
  /** A run of buffers that are consecutive on the drive. */
  readv(offset: number, targets: readonly Uint8Array[]): Eventual<void>;
  writev(offset: number, sources: readonly Uint8Array[], options?: { readonly fua?: boolean }): Eventual<void>;
  writeZeroes(offset: number, count: number, options?: { readonly unmap?: boolean; readonly fua?: boolean }): Eventual<void>;
  discard(offset: number, count: number): Eventual<void>;
  /** Resolves when every completed write is on stable storage of the host. */
  flush(): Eventual<void>;
}

/** A drive whose medium can be taken out: CD and floppy. */
export interface RemovableDrive extends Drive {
  readonly inserted: boolean;
  /** The guest locks the tray. */
  setLocked(locked: boolean): void;
  /** The guest opens (true) or closes the tray. */
  setTray(open: boolean): void;
  /** Called after the medium was changed or taken out from outside; `requested` asks the guest to let go of a locked one. */
  onMediumChange: ((what: 'changed' | 'eject-requested') => void) | undefined;
}
