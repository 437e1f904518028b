// Where the time of virtio-blk requests went, from a trace: each request's life, from the doorbell to the next one, cut at its events;
// every interval belongs to one layer, so that the layers of a request add up to it. Requests that were merged into a neighbour, and
// lives that the trace has not whole, are left out and counted. The guest's share is known where one request is on its way at a time.
import type { SimpleTraceRecord } from './simple-format.ts';

export const LAYER = {
  guest: 'guest: from the interrupt to the next doorbell',
  device: 'device and queue',
  drive: 'drive',
  interrupt: 'entering the guest: from interrupt raised to delivered',
} as const;

export interface LifeEvent {
  readonly name: string;
  readonly atNs: number;
  /** What the time from this event to the next one belongs to. */
  readonly layer: string;
}

export interface RequestLife {
  readonly request: number;
  readonly isWrite: boolean;
  readonly bytes: number;
  readonly events: readonly LifeEvent[];
  /** From the doorbell on. */
  readonly totalNs: number;
  readonly endNs: number;
}

/** What a trace has to have on for this. */
export const LATENCY_EVENTS = ['virtio_*', 'virtqueue_*', 'drive_*', 'bdrv_*', 'vcpu_interrupt_delivered'] as const;

interface Life {
  readonly request: number;
  bytes: number;
  isWrite: boolean;
  readonly events: LifeEvent[];
  /** Layers that are open, the innermost last, with the operation of a node. */
  readonly open: { readonly layer: string; readonly operation: number }[];
  state: 'active' | 'notified' | 'delivered';
  /** Others were on their way at the same time: the guest's share cannot be told. */
  isAlone: boolean;
}

export interface Latencies {
  readonly lives: readonly RequestLife[];
  /** Requests that were seen but are not among them. */
  readonly leftOut: number;
}

export function requestLives(records: Iterable<SimpleTraceRecord>): Latencies {
  const reader = new LifeReader();
  for (const record of records) reader.take(record);
  return { lives: reader.lives, leftOut: reader.seen - reader.lives.length };
}

class LifeReader {
  readonly lives: RequestLife[] = [];
  seen = 0;
  readonly #open = new Map<number, Life>();
  #doorbellNs: number | undefined;

  take({ event, atNs, values }: SimpleTraceRecord): void {
    const name = event?.name ?? 'dropped';
    if (values['name'] !== undefined && values['name'] !== 'virtio-blk') return;
    const life = this.#open.get(Number(values['request'] ?? 0));
    if (name === 'virtio_queue_notify') this.#doorbell(atNs);
    else if (name === 'virtqueue_pop') this.#begin(Number(values['request']), atNs);
    else if (name === 'virtio_notify') this.#advance('active', 'notified', name, atNs, LAYER.interrupt);
    else if (name === 'vcpu_interrupt_delivered') this.#advance('notified', 'delivered', name, atNs, LAYER.guest);
    else if (life !== undefined) step(life, name, atNs, values);
  }

  #doorbell(atNs: number): void {
    for (const life of this.#open.values()) if (life.state === 'delivered') this.#end(life, atNs);
    this.#doorbellNs = atNs;
  }

  #begin(request: number, atNs: number): void {
    this.seen++;
    if (this.#doorbellNs === undefined) return;
    const isAlone = this.#open.size === 0;
    if (!isAlone) for (const other of this.#open.values()) other.isAlone = false;
    const events = [
      { name: 'virtio_queue_notify', atNs: this.#doorbellNs, layer: LAYER.device },
      { name: 'virtqueue_pop', atNs, layer: LAYER.device },
    ];
    this.#open.set(request, { request, bytes: 0, isWrite: false, events, open: [], state: 'active', isAlone });
  }

  /** Interrupts have no request: they are for all that have been given back. */
  #advance(from: Life['state'], to: Life['state'], name: string, atNs: number, layer: string): void {
    for (const life of this.#open.values()) {
      const isBack = from !== 'active' || life.events.at(-1)?.name === 'virtqueue_fill';
      if (life.state !== from || !isBack) continue;
      life.state = to;
      life.events.push({ name, atNs, layer });
      if (to === 'delivered' && !life.isAlone) this.#end(life, atNs);
    }
  }

  #end(life: Life, atNs: number): void {
    this.#open.delete(life.request);
    const isMerged = !life.events.some(({ name }) => name === 'drive_submit');
    if (isMerged) return;
    const { request, isWrite, bytes, events } = life;
    this.lives.push({ request, isWrite, bytes, events, totalNs: atNs - events[0]!.atNs, endNs: atNs });
  }
}

function step(life: Life, name: string, atNs: number, values: SimpleTraceRecord['values']): void {
  const { open } = life;
  const operation = Number(values['operation'] ?? 0);
  if (name === 'virtio_blk_handle_read' || name === 'virtio_blk_handle_write') {
    life.bytes = Number(values['bytes']);
    life.isWrite = name === 'virtio_blk_handle_write';
  } else if (name === 'drive_submit') open.push({ layer: LAYER.drive, operation: 0 });
  else if (name === 'drive_done') open.length = 0;
  else if (name === 'bdrv_co_done') removeOperation(open, operation);
  else if (name.startsWith('bdrv_co_')) open.push({ layer: `block node: ${String(values['driver'])}`, operation });
  life.events.push({ name, atNs, layer: open.at(-1)?.layer ?? LAYER.device });
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
