// Where the time of a disk's requests went, from a trace: each request's life, cut at its events; every interval belongs to one layer, so
// that the layers of a request add up to it. A life begins with the doorbell, or where a program in the guest stamps its requests
// (GuestStamps) with the stamp; it ends with the next stamp or doorbell. Requests that were merged into a neighbour, and lives that the
// trace has not whole, are left out and counted. Without stamps the guest's share is known where one request is on its way at a time.
import type { SimpleTraceRecord } from './simple-format.ts';

export const LAYER = {
  before: 'guest kernel: from the call to the doorbell',
  after: 'guest kernel: from the interrupt to the return',
  next: 'guest: from the interrupt to the next doorbell',
  program: 'guest program: from the return to the next call',
  interrupt: 'entering the guest: from interrupt raised to delivered',
  device: 'device and queue',
  drive: 'drive',
  atOnce: 'host I/O, at once',
  pooled: 'host I/O, thread pool',
} as const;

const NODE = 'block node: ';
export const isNode = (layer: string): boolean => layer.startsWith(NODE);
export const isHost = (layer: string): boolean => layer === LAYER.atOnce || layer === LAYER.pooled;

export interface LifeEvent {
  readonly name: string;
  readonly atNs: number;
  /** What the time from this event to the next one belongs to. */
  layer: string;
}

export interface RequestLife {
  readonly request: number;
  readonly isWrite: boolean;
  readonly bytes: number;
  readonly events: readonly LifeEvent[];
  /** From the first event on. */
  readonly totalNs: number;
  readonly endNs: number;
  /** Where stamps say so and it was the only one: the guest's program before it, since the return of the one before. */
  readonly programNs?: number;
}

/** What a trace has to have on for this. */
export const LATENCY_EVENTS = [
  'virtio_*', 'virtqueue_*', 'nvme_*', 'ata_*', 'drive_*', 'bdrv_*', 'host_file_*', 'vcpu_interrupt_delivered',
] as const;

/** Of these what the layers cannot do without: events cost time themselves. */
export const LAYER_EVENTS = [
  'virtio_queue_notify', 'virtqueue_pop', 'virtqueue_fill', 'virtio_notify', 'nvme_doorbell', 'nvme_command', 'nvme_completion',
  'nvme_interrupt', 'ata_*', 'drive_submit', 'drive_done', 'bdrv_*', 'host_file_*', 'vcpu_interrupt_delivered',
] as const;

/** Events of the controllers, by what they mean for a request. */
const DOORBELL: ReadonlySet<string> = new Set(['virtio_queue_notify', 'nvme_doorbell', 'ata_ahci_issue']);
const TAKEN: ReadonlySet<string> = new Set(['virtqueue_pop', 'nvme_command', 'ata_ahci_command', 'ata_ide_command']);
const GIVEN_BACK: ReadonlySet<string> = new Set(['virtqueue_fill', 'nvme_completion', 'ata_ahci_complete', 'ata_ide_interrupt']);
const RAISED: ReadonlySet<string> = new Set(['virtio_notify', 'nvme_interrupt', 'ata_ahci_interrupt', 'ata_ide_interrupt']);
const DELIVERED = 'vcpu_interrupt_delivered';

/** How a program in the guest stamps its requests, by bytes that it writes to the debug console. */
export interface GuestStamps {
  /** Offsets of the requests of a pass, in their order. */
  readonly offsets: readonly number[];
  readonly event: string;
  readonly meaning: (byte: number) => GuestStamp | undefined;
}

export type GuestStamp =
  | { readonly kind: 'pass'; readonly pass: number }
  | { readonly kind: 'begin' | 'done'; readonly slot: number }
  | { readonly kind: 'nibble'; readonly value: number };

/** What the stamps of a pass say, whether or not the requests between them are known. */
export interface StampedPass {
  readonly lives: RequestLife[];
  /** From stamp to stamp, by request. */
  readonly totals: number[];
  /** Between the end of one request and the beginning of the next. */
  betweenNs: number;
  /** The pass by the guest's own clock. */
  ticks: number;
}

interface Life {
  readonly request: number;
  bytes: number;
  isWrite: boolean;
  isSubmitted: boolean;
  readonly events: LifeEvent[];
  /** Layers that are open, the innermost last, with the operation of a node or the call of the host. */
  readonly open: { readonly layer: string; readonly operation: number }[];
  state: 'active' | 'back' | 'raised' | 'delivered';
  /** Others were on their way at the same time: the guest's share cannot be told from doorbells. */
  isAlone: boolean;
}

interface Stamped {
  readonly slot: number;
  readonly offset: number;
  readonly atNs: number;
  readonly programNs: number | undefined;
  life: Life | undefined;
}

export interface Latencies {
  readonly lives: readonly RequestLife[];
  /** Requests that were seen but are not among them. */
  readonly leftOut: number;
  readonly passes: readonly StampedPass[];
}

export function requestLives(source: Iterable<SimpleTraceRecord>, stamps?: GuestStamps): Latencies {
  const records = [...source];
  const reader = new LifeReader(usualVector(records), stamps);
  for (const record of records) reader.take(record);
  const lives = stamps === undefined ? reader.lives : reader.passes.flatMap((pass) => pass?.lives ?? []);
  return { lives, leftOut: reader.seen - lives.length, passes: reader.passes };
}

/** The vector that is delivered most often next after a controller's interrupt: others are the timer's. */
function usualVector(records: readonly SimpleTraceRecord[]): bigint | undefined {
  const counts = new Map<bigint, number>();
  let isRaised = false;
  for (const { event, values } of records) {
    if (event === undefined) continue;
    if (RAISED.has(event.name)) isRaised = true;
    else if (isRaised && event.name === DELIVERED) {
      const vector = BigInt(values['vector'] ?? 0);
      counts.set(vector, (counts.get(vector) ?? 0) + 1);
      isRaised = false;
    }
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

class LifeReader {
  readonly lives: RequestLife[] = [];
  readonly passes: StampedPass[] = [];
  seen = 0;
  readonly #open = new Map<number, Life>();
  readonly #vector: bigint | undefined;
  readonly #stamps: GuestStamps | undefined;
  readonly #stamped = new Map<number, Stamped>();
  #nextOffset = 0;
  #doneNs: number | undefined;
  #doorbell: LifeEvent | undefined;

  constructor(vector: bigint | undefined, stamps: GuestStamps | undefined) {
    this.#vector = vector;
    this.#stamps = stamps;
  }

  take({ event, atNs, values }: SimpleTraceRecord): void {
    const name = event?.name ?? 'dropped';
    if (name === this.#stamps?.event) return this.#stamp(Number(values['byte']), atNs);
    if (!isDiskEvent(name, values)) return;
    const request = Number(values['request'] ?? 0);
    if (DOORBELL.has(name)) return this.#ring(name, atNs);
    if (TAKEN.has(name)) return this.#begin(request, name, atNs);
    const life = this.#open.get(request);
    if (life !== undefined) {
      if (!RAISED.has(name)) step(life, name, atNs, values);
      if (name === 'drive_submit') this.#attach(life, Number(values['offset']));
      if (GIVEN_BACK.has(name)) life.state = 'back';
    }
    if (RAISED.has(name)) this.#advance('back', 'raised', name, atNs, LAYER.interrupt);
    else if (name === DELIVERED && (this.#vector === undefined || BigInt(values['vector'] ?? 0) === this.#vector)) {
      this.#advance('raised', 'delivered', name, atNs, this.#stamps === undefined ? LAYER.next : LAYER.after);
    }
  }

  #ring(name: string, atNs: number): void {
    if (this.#stamps === undefined) for (const life of this.#open.values()) if (life.state === 'delivered') this.#end(life, atNs);
    this.#doorbell = { name, atNs, layer: LAYER.device };
  }

  #begin(request: number, name: string, atNs: number): void {
    this.seen++;
    const isOwnDoorbell = name === 'ata_ide_command';
    if (isOwnDoorbell) this.#ring(name, atNs);
    if (this.#doorbell === undefined) return;
    const isAlone = this.#open.size === 0;
    if (!isAlone) for (const other of this.#open.values()) other.isAlone = false;
    // IDE: between the command and the start of its DMA the driver is at work.
    const events = isOwnDoorbell ? [{ name, atNs, layer: LAYER.before }] : [{ ...this.#doorbell }, { name, atNs, layer: LAYER.device }];
    this.#open.set(request, { request, bytes: 0, isWrite: false, isSubmitted: false, events, open: [], state: 'active', isAlone });
  }

  /** Interrupts have no request: they are for all that have been given back. */
  #advance(from: Life['state'], to: Life['state'], name: string, atNs: number, layer: string): void {
    for (const life of this.#open.values()) {
      if (life.state !== from) continue;
      life.state = to;
      life.events.push({ name, atNs, layer });
      if (to === 'delivered' && !life.isAlone && this.#stamps === undefined) this.#end(life, atNs);
    }
  }

  #end(life: Life, atNs: number): void {
    this.#open.delete(life.request);
    if (!life.isSubmitted) return; // it was merged into a neighbour
    this.lives.push(ended(life, atNs));
  }

  // Stamps --------------------------------------------------------------------------------------------------------------

  #stamp(byte: number, atNs: number): void {
    const stamp = this.#stamps!.meaning(byte);
    if (stamp === undefined) return;
    if (stamp.kind === 'pass') {
      this.passes[stamp.pass] = { lives: [], totals: [], betweenNs: 0, ticks: 0 };
      this.#nextOffset = 0;
      this.#doneNs = undefined;
      this.#open.clear();
      return;
    }
    const pass = this.passes.at(-1);
    if (pass === undefined) return;
    if (stamp.kind === 'nibble') pass.ticks = pass.ticks * 16 + stamp.value;
    else if (stamp.kind === 'begin') this.#stampBegin(pass, stamp.slot, atNs);
    else this.#stampDone(pass, stamp.slot, atNs);
  }

  #stampBegin(pass: StampedPass, slot: number, atNs: number): void {
    const programNs = this.#doneNs !== undefined && this.#stamped.size === 0 ? atNs - this.#doneNs : undefined;
    pass.betweenNs += programNs ?? 0;
    this.#stamped.set(slot, { slot, offset: this.#stamps!.offsets[this.#nextOffset++] ?? -1, atNs, programNs, life: undefined });
  }

  #stampDone(pass: StampedPass, slot: number, atNs: number): void {
    const stamped = this.#stamped.get(slot);
    this.#stamped.delete(slot);
    this.#doneNs = atNs;
    if (stamped === undefined) return;
    pass.totals.push(atNs - stamped.atNs);
    const { life } = stamped;
    if (life === undefined || life.state === 'active') return;
    this.#open.delete(life.request);
    const { programNs } = stamped;
    pass.lives.push({ ...ended(life, atNs), ...(programNs !== undefined && { programNs }) });
  }

  /** Finds the request that the guest's program began for this offset. */
  #attach(life: Life, offset: number): void {
    for (const stamped of this.#stamped.values()) {
      if (stamped.life !== undefined || stamped.offset !== offset || stamped.atNs > life.events[0]!.atNs) continue;
      stamped.life = life;
      life.events.unshift({ name: 'guest_begin', atNs: stamped.atNs, layer: LAYER.before });
      return;
    }
  }
}

/** Devices of other kinds have queues too, NVMe an administrator's one. */
function isDiskEvent(name: string, values: SimpleTraceRecord['values']): boolean {
  if (name.startsWith('virt')) return ['virtio-blk', 'virtio-scsi', undefined].includes(values['name'] as string | undefined);
  if (!name.startsWith('nvme_')) return true;
  return Number(values['queue']) !== 0 && !(name === 'nvme_doorbell' && Number(values['completion']) !== 0);
}

function ended({ request, isWrite, bytes, events }: Life, atNs: number): RequestLife {
  return { request, isWrite, bytes, events, totalNs: atNs - events[0]!.atNs, endNs: atNs };
}

function step(life: Life, name: string, atNs: number, values: SimpleTraceRecord['values']): void {
  const { open } = life;
  if (name === 'drive_submit') {
    const operation = values['operation'];
    life.isSubmitted = true;
    if (operation === 'read' || operation === 'write') {
      life.bytes = Number(values['count']);
      life.isWrite = operation === 'write';
    }
    open.push({ layer: LAYER.drive, operation: 0 });
  } else if (name === 'drive_done') open.length = 0;
  else if (name === 'bdrv_co_done') removeOperation(open, Number(values['operation']));
  else if (name.startsWith('bdrv_co_')) open.push({ layer: `${NODE}${String(values['driver'])}`, operation: Number(values['operation']) });
  else if (name === 'host_file_done') {
    if (Number(values['pooled']) !== 0) renamePooled(life);
    removeOperation(open, -Number(values['call']));
  } else if (name.startsWith('host_file_')) open.push({ layer: LAYER.atOnce, operation: -Number(values['call']) });
  life.events.push({ name, atNs, layer: open.at(-1)?.layer ?? LAYER.device });
}

/** Only its end says that another thread did it. */
function renamePooled({ events }: Life): void {
  const last = events.at(-1);
  if (last?.layer === LAYER.atOnce) last.layer = LAYER.pooled;
}

function removeOperation(open: Life['open'], operation: number): void {
  const index = open.findLastIndex((entry) => entry.operation === operation);
  if (index >= 0) open.splice(index, 1);
}

/** Nanoseconds of a life by layer. */
export function layersOf({ events, endNs }: RequestLife): Map<string, number> {
  const layers = new Map<string, number>();
  events.forEach(({ layer, atNs }, index) => {
    const until = events[index + 1]?.atNs ?? endNs;
    layers.set(layer, (layers.get(layer) ?? 0) + until - atNs);
  });
  return layers;
}

/** From the inside out: the host, nodes as they lie on each other, the drive, the device, the guest. */
export function layersInOrder(lives: readonly RequestLife[]): string[] {
  const nodes: string[] = [];
  const seen = new Set<string>();
  for (const { events } of lives) {
    for (const { layer } of events) {
      seen.add(layer);
      if (isNode(layer) && !nodes.includes(layer)) nodes.unshift(layer); // they are entered from the top
    }
  }
  const { atOnce, pooled, drive, device, interrupt, after, before, next } = LAYER;
  return [atOnce, pooled, ...nodes, drive, device, interrupt, after, before, next].filter((layer) => seen.has(layer));
}
