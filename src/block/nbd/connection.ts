// A client's connection that is made again when it is lost: how long requests wait for that (`reconnect-delay`), and how long the
// first one is tried for (`open-timeout`). Behaviour of QEMU's nbd driver (QMP BlockdevOptionsNbd).
import { ErrnoFailure } from '../../base/errno.ts';
import { Failure } from '../../base/failure.ts';
import { ProtocolViolation, type NbdClient } from './client.ts';

export interface ConnectionRules {
  /** Connects and enters the export. */
  connect(): Promise<NbdClient>;
  readonly reconnectDelayMs: number;
  readonly openTimeoutMs: number;
  nowMs(): number;
  sleep(ms: number): Promise<void>;
}

const FIRST_PAUSE_MS = 1000;
const PAUSE_MS_MAX = 16_000;
/** Waits for a server to take the farewell: usually it does at once, and a long timer would outlive that. */
const FAREWELL_MS = [20, 2000] as const;

export class NbdConnection {
  readonly #rules: ConnectionRules;
  #client: NbdClient;
  /** Until when requests wait for a new connection; undefined while there is one. */
  #waitUntilMs: number | undefined;
  /** No further attempts: the server is not to be trusted. */
  #given = false;
  #closed = false;
  #attempting: Promise<void> | undefined;

  private constructor(rules: ConnectionRules, client: NbdClient) {
    this.#rules = rules;
    this.#client = client;
    this.#adopt(client);
  }

  static async open(rules: ConnectionRules): Promise<NbdConnection> {
    const endMs = rules.nowMs() + rules.openTimeoutMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
      try {
        return new NbdConnection(rules, await rules.connect());
      } catch (error) {
        const leftMs = endMs - rules.nowMs();
        if (leftMs <= 0) throw error;
        await rules.sleep(Math.min(pauseMs, leftMs));
      }
    }
  }

  /** The connection as it was last. */
  get client(): NbdClient {
    return this.#client;
  }

  #adopt(client: NbdClient): void {
    this.#client = client;
    this.#waitUntilMs = undefined;
    client.onBroken = (reason) => {
      this.#given ||= reason instanceof ProtocolViolation;
      this.#waitUntilMs = this.#rules.nowMs() + this.#rules.reconnectDelayMs;
    };
  }

  /** Performs a request, again on a new connection when the old one is lost meanwhile and there is still time. */
  async run<T>(request: (client: NbdClient) => Promise<T>): Promise<T> {
    for (;;) {
      if (!this.#client.isBroken) {
        try {
          return await request(this.#client);
        } catch (error) {
          if (!this.#client.isBroken || !this.#mayWait()) throw error;
        }
      }
      await this.#reconnected();
    }
  }

  #mayWait(): boolean {
    return !this.#given && !this.#closed && this.#waitUntilMs !== undefined && this.#rules.nowMs() < this.#waitUntilMs;
  }

  /** Waits for a new connection as long as requests may; ErrnoFailure EIO when there is none. */
  async #reconnected(): Promise<void> {
    if (this.#given || this.#closed) throw new ErrnoFailure('EIO');
    this.#attempting ??= this.#attempt().finally(() => (this.#attempting = undefined));
    while (this.#client.isBroken && this.#mayWait()) {
      const leftMs = this.#waitUntilMs! - this.#rules.nowMs();
      await Promise.race([this.#attempting ?? Promise.resolve(), this.#rules.sleep(leftMs)]);
      if (this.#client.isBroken && this.#mayWait()) this.#attempting ??= this.#attempt().finally(() => (this.#attempting = undefined));
    }
    if (this.#client.isBroken) throw new ErrnoFailure('EIO');
  }

  /** One try after the other while requests wait; a single one when none may. */
  async #attempt(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; !this.#closed; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
      try {
        const client = await this.#rules.connect();
        if (this.#closed || client.export.size !== this.#client.export.size) {
          await client.close();
          this.#given = true;
          return;
        }
        return this.#adopt(client);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        if (!this.#mayWait()) return;
        await this.#rules.sleep(Math.min(pauseMs, Math.max(0, this.#waitUntilMs! - this.#rules.nowMs())));
      }
    }
  }

  /** A server that does not take the farewell is left without it. */
  async close(): Promise<void> {
    this.#closed = true;
    let isClosed = false;
    const closed = this.#client.close().then(() => { isClosed = true; });
    for (const ms of FAREWELL_MS) if (!isClosed) await Promise.race([closed, this.#rules.sleep(ms)]);
    if (!isClosed) this.#client.abandon();
  }
}
