// Where samples are kept: call stacks as a tree of which a sample names a node, and a list of samples in the order of time. Both have an
// end; what comes later is counted as lost. Numbers in typed arrays: taking a sample allocates nothing.

/** The node above all; what has no stack. */
export const ROOT = 0;
const NODES_MAX = 1 << 22;
const SAMPLES_MAX = 1 << 22;

const grown = <A extends Float64Array | Int32Array | Uint32Array | Uint16Array>(array: A): A => {
  const larger = new (array.constructor as new (length: number) => A)(array.length * 2);
  larger.set(array);
  return larger;
};

/** Every node is an address called from its parent. */
export class StackTree {
  parents = new Int32Array(1024);
  addresses = new Float64Array(1024);
  count = 1;
  #slots = new Int32Array(4096);

  /** The node of `address` under `parent`; the parent itself when there is no room for more. */
  child(parent: number, address: number): number {
    const mask = this.#slots.length - 1;
    let slot = hash(parent, address) & mask;
    for (let node = this.#slots[slot]!; node !== 0; node = this.#slots[slot]!) {
      if (this.parents[node] === parent && this.addresses[node] === address) return node;
      slot = (slot + 1) & mask;
    }
    return this.count >= NODES_MAX ? parent : this.#add(parent, address, slot);
  }

  #add(parent: number, address: number, slot: number): number {
    const node = this.count++;
    if (node >= this.parents.length) {
      this.parents = grown(this.parents);
      this.addresses = grown(this.addresses);
    }
    this.parents[node] = parent;
    this.addresses[node] = address;
    this.#slots[slot] = node;
    if (this.count * 2 > this.#slots.length) this.#rehash();
    return node;
  }

  #rehash(): void {
    const mask = this.#slots.length * 2 - 1;
    const slots = new Int32Array(mask + 1);
    for (let node = 1; node < this.count; node++) {
      let slot = hash(this.parents[node]!, this.addresses[node]!) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = node;
    }
    this.#slots = slots;
  }
}

function hash(parent: number, address: number): number {
  const mixed = Math.imul(parent, 0x9e37_79b1) ^ Math.imul(address | 0, 0x85eb_ca6b) ^ Math.floor(address / 0x1_0000_0000);
  return mixed ^ (mixed >>> 15);
}

export class Samples {
  readonly stacks = new StackTree();
  /** Microseconds since the first one asked for. */
  timesUs = new Float64Array(4096);
  nodes = new Uint32Array(4096);
  activities = new Uint16Array(4096);
  /** Numbers of programs. */
  programs = new Uint16Array(4096);
  count = 0;
  lost = 0;

  add(timeUs: number, node: number, activity: number, program: number): void {
    if (this.count >= SAMPLES_MAX) {
      this.lost++;
      return;
    }
    if (this.count >= this.nodes.length) {
      this.timesUs = grown(this.timesUs);
      this.nodes = grown(this.nodes);
      this.activities = grown(this.activities);
      this.programs = grown(this.programs);
    }
    this.timesUs[this.count] = timeUs;
    this.nodes[this.count] = node;
    this.activities[this.count] = activity;
    this.programs[this.count++] = program;
  }
}
