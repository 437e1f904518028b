// The control-flow graph of a region and what structured emission needs of it: reverse postorder, immediate dominators, which
// nodes several edges join, which are loop heads. Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001);
// Ramsey, "Beyond Relooper" (ICFP 2022). Knows nodes as numbers only; node 0 is the root, from which every entry is reached.

export interface FlowGraph {
  /** Successors of each node. */
  readonly successors: readonly (readonly number[])[];
}

export class ControlFlow {
  /** Position of each node in reverse postorder; -1 when it cannot be reached. */
  readonly order: Int32Array;
  readonly immediateDominator: Int32Array;
  /** Children in the dominator tree, last in reverse postorder first. */
  readonly children: number[][];
  readonly isLoopHead: boolean[];
  /** Entered by more than one forward edge. */
  readonly isMerge: boolean[];
  readonly #reverse: number[] = [];
  /** Only those that can be reached. */
  readonly #predecessors: readonly number[][];

  constructor({ successors }: FlowGraph) {
    this.#predecessors = successors.map(() => []);
    const count = successors.length;
    this.order = new Int32Array(count).fill(-1);
    this.immediateDominator = new Int32Array(count).fill(-1);
    this.children = Array.from({ length: count }, () => []);
    this.isLoopHead = new Array<boolean>(count).fill(false);
    this.isMerge = new Array<boolean>(count).fill(false);
    this.#number(successors);
    for (const node of this.#reverse) for (const target of successors[node]!) this.#predecessors[target]!.push(node);
    this.#findDominators();
    this.#classify(successors);
  }

  /** Depth-first without recursion: regions may be long chains. */
  #number(successors: FlowGraph['successors']): void {
    const seen = new Uint8Array(successors.length);
    const stack: { readonly node: number; next: number }[] = [{ node: 0, next: 0 }];
    const postorder: number[] = [];
    seen[0] = 1;
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const target = successors[top.node]![top.next++];
      if (target === undefined) {
        postorder.push(top.node);
        stack.pop();
      } else if (seen[target] === 0) {
        seen[target] = 1;
        stack.push({ node: target, next: 0 });
      }
    }
    this.#reverse.push(...postorder.reverse());
    this.#reverse.forEach((node, position) => (this.order[node] = position));
  }

  #findDominators(): void {
    const dominator = this.immediateDominator;
    dominator[0] = 0;
    for (let changed = true; changed; ) {
      changed = false;
      for (const node of this.#reverse) {
        if (node === 0) continue;
        let common = -1;
        for (const from of this.#predecessors[node]!) if (dominator[from]! >= 0) common = common < 0 ? from : this.#meet(from, common);
        if (dominator[node] === common) continue;
        dominator[node] = common;
        changed = true;
      }
    }
    for (let position = this.#reverse.length - 1; position > 0; position--) {
      const node = this.#reverse[position]!;
      this.children[dominator[node]!]!.push(node);
    }
  }

  #meet(a: number, b: number): number {
    const { order, immediateDominator } = this;
    while (a !== b) {
      while (order[a]! > order[b]!) a = immediateDominator[a]!;
      while (order[b]! > order[a]!) b = immediateDominator[b]!;
    }
    return a;
  }

  dominates(a: number, b: number): boolean {
    while (this.order[b]! > this.order[a]!) b = this.immediateDominator[b]!;
    return a === b;
  }

  isBackward(from: number, to: number): boolean {
    return this.order[to]! <= this.order[from]!;
  }

  /** Natural loops: the nodes of each by its head. Edges that go back to what does not dominate them are the dispatch's. */
  loops(): ReadonlyMap<number, ReadonlySet<number>> {
    const predecessors = this.#predecessors;
    const loops = new Map<number, Set<number>>();
    this.isLoopHead.forEach((isHead, head) => {
      if (!isHead) return;
      const body = new Set([head]);
      for (const from of predecessors[head]!) if (this.isBackward(from, head) && this.dominates(head, from)) body.add(from);
      for (const node of body) if (node !== head) for (const from of predecessors[node]!) body.add(from);
      loops.set(head, body);
    });
    return loops;
  }

  #classify(successors: FlowGraph['successors']): void {
    const forward = new Int32Array(successors.length);
    for (const node of this.#reverse) {
      for (const target of successors[node]!) {
        if (!this.isBackward(node, target)) forward[target]!++;
        else if (this.dominates(target, node)) this.isLoopHead[target] = true;
      }
    }
    for (const target of successors[0]!) forward[target] = 2; // the root's switch needs a label for each of its targets
    forward.forEach((count, node) => (this.isMerge[node] = count > 1));
  }
}
