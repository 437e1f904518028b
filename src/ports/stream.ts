// Byte streams to another program: TCP and UNIX sockets, plain or under TLS. Interfaces only.

export interface ByteStream {
  /** Exactly `target.length` bytes, or ErrnoFailure (EPIPE when the peer closed). */
  readExactly(target: Uint8Array): Promise<void>;
  /** Waits while the peer is slower than we are. */
  write(source: Uint8Array): Promise<void>;
  /** No further small writes until `flush`: the parts of a message leave together. */
  cork(): void;
  uncork(): void;
  /** The same stream under TLS, as client or server by how it was made. */
  startTls(credentials: TlsCredentials, hostname?: string): Promise<ByteStream>;
  close(): void;
  readonly closed: boolean;
}

/** `-object tls-creds-x509` and `tls-creds-psk`. */
export interface TlsCredentials {
  readonly kind: 'x509' | 'psk';
  readonly endpoint: 'client' | 'server';
  /** The folder with ca-cert.pem, server-cert.pem, … or keys.psk. */
  readonly directory: string;
  readonly username?: string;
  readonly verifyPeer: boolean;
}

export type SocketAddress =
  | { readonly type: 'inet'; readonly host: string; readonly port: string }
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'fd'; readonly fd: number };

export interface HttpRange {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly verifyPeer: boolean;
  readonly timeoutMs: number;
  /** No more than this is taken of a body. */
  readonly maxBytes: number;
}

export interface StreamConnector {
  connect(address: SocketAddress): Promise<ByteStream>;
  http?(request: HttpRequest): Promise<HttpRange>;
}

export interface StreamServer {
  readonly address: SocketAddress;
  close(): Promise<void>;
}
