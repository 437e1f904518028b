// The running server of nandu-nbd: takes clients, as many at a time as allowed, and ends when the last one has gone (unless it is
// to stay) or when a signal says so. Whatever happens, the image is flushed and closed.
import type { NbdExport } from '../../block/nbd/export.ts';
import { serveNbdClient } from '../../block/nbd/server.ts';
import type { ByteStream, SocketAddress, TlsCredentials } from '../../ports/stream.ts';
import { listenStreams, type ListeningServer } from '../../platform/node/streams.ts';

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export interface ServerOptions {
  readonly address: SocketAddress;
  /** 0 is no limit. */
  readonly shared: number;
  readonly persistent: boolean;
  readonly tls: TlsCredentials | undefined;
  readonly authorize: ((stream: ByteStream) => void) | undefined;
  onError(line: string): void;
}

export class NbdServer {
  readonly #options: ServerOptions;
  readonly #streams = new Set<ByteStream>();
  readonly #clients = new Set<Promise<void>>();
  /** Connections that come before there is an export. */
  readonly #early: ByteStream[] = [];
  #listening: ListeningServer | undefined;
  #export: NbdExport | undefined;
  #stop: () => void = () => {};
  readonly #stopped = new Promise<void>((resolve) => (this.#stop = resolve));

  private constructor(options: ServerOptions) {
    this.#options = options;
  }

  /** Takes the address; clients that connect wait until `run`. */
  static async listen(options: ServerOptions): Promise<NbdServer> {
    const server = new NbdServer(options);
    const backlog = options.shared === 0 ? 4096 : options.shared;
    server.#listening = await listenStreams(options.address, (stream) => server.#accept(stream), { backlog: Math.max(backlog, 16) });
    return server;
  }

  #accept(stream: ByteStream): void {
    this.#streams.add(stream);
    this.#updateListening();
    if (this.#export === undefined) {
      this.#early.push(stream);
      return;
    }
    const client = this.#serve(stream, this.#export).finally(() => this.#clients.delete(client));
    this.#clients.add(client);
  }

  async #serve(stream: ByteStream, exported: NbdExport): Promise<void> {
    const { tls, authorize, onError, persistent } = this.#options;
    let entered = false;
    try {
      await serveNbdClient(stream, {
        exports: new Map([[exported.name, exported]]),
        tls,
        authorize,
        onError,
        onEntered: () => (entered = true),
        onStream: (now) => this.#streams.add(now),
      });
    } finally {
      for (const known of this.#streams) if (known === stream || known.closed) this.#streams.delete(known);
    }
    // Who only looked around does not count as the last client.
    if (entered && !persistent && this.#clients.size <= 1) this.#stop();
    this.#updateListening();
  }

  /** Further clients wait in the queue while there are enough. */
  #updateListening(): void {
    const { shared } = this.#options;
    if (shared === 0) return;
    if (this.#streams.size >= shared) this.#listening?.pause();
    else this.#listening?.resume();
  }

  /** Serves until the end; no request is in flight any more then. */
  async run(exported: NbdExport): Promise<void> {
    const forced = (): void => process.exit(1);
    const stop = (): void => {
      this.#stop();
      for (const signal of SIGNALS) process.on(signal, forced); // asked twice
    };
    for (const signal of SIGNALS) process.once(signal, stop);
    this.#export = exported;
    for (const stream of this.#early.splice(0)) this.#accept(stream);
    await this.#stopped;
    await this.close();
  }

  async close(): Promise<void> {
    await this.#listening?.close();
    for (const stream of this.#streams) stream.close();
    await Promise.all(this.#clients);
  }
}
