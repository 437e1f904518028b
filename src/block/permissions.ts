// Permissions of an edge: what the parent does with the node (`perm`) and what it lets the others do (`shared`), and the
// roles from which a driver's wishes for its children follow. Names as in QEMU's documentation (docs/interop/qmp, BlockPermission).

export const PERM = {
  CONSISTENT_READ: 1,
  WRITE: 2,
  WRITE_UNCHANGED: 4,
  RESIZE: 8,
} as const;
export const PERM_ALL = 15;

const NAMES: readonly (readonly [bit: number, name: string])[] = [
  [PERM.CONSISTENT_READ, 'consistent read'],
  [PERM.WRITE, 'write'],
  [PERM.WRITE_UNCHANGED, 'write unchanged'],
  [PERM.RESIZE, 'resize'],
];

export interface Permissions {
  readonly perm: number;
  readonly shared: number;
}

export function permissionNames(bits: number): string {
  return NAMES.filter(([bit]) => (bits & bit) !== 0)
    .map(([, name]) => name)
    .join(', ');
}

/**
 * What a child is to its parent: `data` and `metadata` of an image (one file is usually both), the node a filter looks
 * through, or the copy-on-write backing image. `primary` is the child whose name stands for the parent.
 */
export interface ChildRole {
  readonly data?: boolean;
  readonly metadata?: boolean;
  readonly filtered?: boolean;
  readonly cow?: boolean;
  readonly primary?: boolean;
}

export const ROLE = {
  /** The only file of an image. */
  IMAGE: { data: true, metadata: true, primary: true },
  /** The child of a filter. */
  FILTERED: { filtered: true, primary: true },
  BACKING: { cow: true },
  /** An external data file, or an extent. */
  DATA: { data: true },
  METADATA: { metadata: true, primary: true },
} as const satisfies Readonly<Record<string, ChildRole>>;

/** What a node of which `own` is asked needs of a child, for a driver that has no rule of its own. */
export function defaultChildPermissions(role: ChildRole, own: Permissions, writable: boolean): Permissions {
  if (role.filtered) return filterPermissions(own);
  if (role.cow) return backingPermissions(own);
  return imagePermissions(role, own, writable);
}

function filterPermissions({ perm, shared }: Permissions): Permissions {
  return { perm, shared };
}

function backingPermissions({ perm, shared }: Permissions): Permissions {
  // Nobody may change what the overlay reads, except in ways that cannot be seen; who shares everything does not care.
  const unconcerned = PERM.WRITE | PERM.RESIZE;
  return {
    perm: perm & PERM.CONSISTENT_READ,
    shared: (shared & PERM.WRITE ? unconcerned : 0) | PERM.CONSISTENT_READ | PERM.WRITE_UNCHANGED,
  };
}

function imagePermissions(role: ChildRole, own: Permissions, writable: boolean): Permissions {
  let { perm, shared } = own;
  if (role.metadata && writable) perm |= PERM.WRITE | PERM.RESIZE; // a format may have to write its tables whatever it is asked
  if (role.metadata) {
    perm |= PERM.CONSISTENT_READ;
    shared &= ~(PERM.WRITE | PERM.RESIZE);
    shared |= PERM.WRITE_UNCHANGED;
  }
  if (role.data && !role.metadata) {
    if (perm & PERM.WRITE) perm |= PERM.RESIZE; // growing writes
    shared &= ~PERM.RESIZE;
  }
  if (role.data && perm & PERM.WRITE_UNCHANGED) perm |= PERM.WRITE; // new clusters take what is "unchanged" above
  return { perm, shared: shared & PERM_ALL };
}
