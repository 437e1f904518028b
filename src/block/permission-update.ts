// Recomputes permissions down from some nodes: what the parents of a node want together, and from it what the node wants of
// its children. Nothing changes when two users do not get along, or when a protocol (a file lock) refuses.
import { ErrnoFailure, errnoOf } from '../base/errno.ts';
import { Failure } from '../base/failure.ts';
import { BlockNode, type Edge } from './node.ts';
import { defaultChildPermissions, PERM, PERM_ALL, permissionNames, type Permissions } from './permissions.ts';

/** What all parents want, and what all of them let others do. */
export function cumulativePermissions(node: BlockNode): Permissions {
  let perm = 0;
  let shared = PERM_ALL;
  for (const edge of node.parents) {
    perm |= edge.perm;
    shared &= edge.shared;
  }
  return { perm, shared };
}

/** Parents before children. */
function topological(roots: readonly BlockNode[]): BlockNode[] {
  const order: BlockNode[] = [];
  const seen = new Set<BlockNode>();
  const visit = (node: BlockNode): void => {
    if (seen.has(node)) return;
    seen.add(node);
    for (const edge of node.children) visit(edge.node);
    order.push(node);
  };
  roots.forEach(visit);
  return order.reverse();
}

const labelOf = ({ parent }: Edge): string => (parent instanceof BlockNode ? `node '${parent.name}'` : parent.label);

function checkConflicts(node: BlockNode): void {
  for (const a of node.parents) {
    for (const b of node.parents) {
      const denied = b.perm & ~a.shared;
      if (a === b || denied === 0) continue;
      throw new Failure(
        'invalid-argument',
        `Permission conflict on node '${node.name}': permissions '${permissionNames(denied)}' are both required by ` +
          `${labelOf(b)} (uses node '${node.name}' as '${b.name}' child) and unshared by ` +
          `${labelOf(a)} (uses node '${node.name}' as '${a.name}' child).`,
      );
    }
  }
}

/** Whatever it is that wants to write. */
function checkWritable(node: BlockNode): void {
  const wantsToWrite = node.parents.some(({ perm }) => (perm & (PERM.WRITE | PERM.WRITE_UNCHANGED)) !== 0);
  if (wantsToWrite && node.isOpen && node.readOnly) throw new ErrnoFailure('EPERM', 'Block node is read-only');
}

function wishFor(node: BlockNode, edge: Edge, own: Permissions): Permissions {
  const instance = node.isOpen ? node.instance : undefined;
  const wish = instance?.childPermissions?.(edge.name, edge.role, own) ?? defaultChildPermissions(edge.role, own, !node.readOnly);
  return node.flags.forceShare ? { perm: wish.perm, shared: PERM_ALL } : wish;
}

export function updatePermissions(roots: readonly BlockNode[]): void {
  const nodes = topological(roots);
  const former = new Map<Edge, Permissions>();
  const settled: BlockNode[] = [];
  try {
    for (const node of nodes) {
      checkConflicts(node);
      checkWritable(node);
      const own = cumulativePermissions(node);
      for (const edge of node.children) {
        former.set(edge, { perm: edge.perm, shared: edge.shared });
        ({ perm: edge.perm, shared: edge.shared } = wishFor(node, edge, own));
      }
    }
    for (const node of nodes) {
      if (!node.isOpen || node.instance.setPermissions === undefined) continue;
      settled.push(node);
      node.instance.setPermissions(cumulativePermissions(node));
    }
  } catch (error) {
    for (const [edge, { perm, shared }] of former) [edge.perm, edge.shared] = [perm, shared];
    for (const node of settled) restore(node);
    throw error;
  }
}

function restore(node: BlockNode): void {
  try {
    node.instance.setPermissions?.(cumulativePermissions(node));
  } catch (error) {
    if (errnoOf(error) !== 'EAGAIN') throw error; // a lock we could not take before either
  }
}
