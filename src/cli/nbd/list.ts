// `nandu-nbd -L`: what another server exports, with everything that it tells about each export.
import type { SocketAddress, TlsCredentials } from '../../ports/stream.ts';
import { ClientHandshake, FLAG_NAMES, type ListedExport } from '../../block/nbd/client-handshake.ts';
import { CONTEXT_BASE_ALLOCATION, FLAG } from '../../block/nbd/protocol.ts';
import { connectStream } from '../../platform/node/streams.ts';

export interface ListRequest {
  readonly address: SocketAddress;
  readonly tls: TlsCredentials | undefined;
  readonly tlsHostname: string | undefined;
}

/** The text for standard output. */
export async function listExports({ address, tls, tlsHostname }: ListRequest): Promise<string> {
  const stream = await connectStream(address);
  const handshake = new ClientHandshake(stream, { exportName: '', tls, tlsHostname, context: CONTEXT_BASE_ALLOCATION });
  try {
    const exports = await handshake.list();
    return [`exports available: ${exports.length}`, ...exports.flatMap(exportLines), ''].join('\n');
  } finally {
    handshake.stream.close();
  }
}

function exportLines({ name, description, details, contexts }: ListedExport): string[] {
  const lines = [` export: '${printable(name)}'`];
  if (description !== undefined && description !== '') lines.push(`  description: ${printable(description)}`);
  if (details !== undefined && details.flags & FLAG.HAS_FLAGS) {
    const names = FLAG_NAMES.filter(([flag]) => (details.flags & flag) !== 0).map(([, flagName]) => ` ${flagName}`);
    lines.push(`  size:  ${details.size}`, `  flags: 0x${details.flags.toString(16)} (${names.join('')} )`);
    if (details.minimumBlock > 0) {
      lines.push(`  min block: ${details.minimumBlock}`, `  opt block: ${details.preferredBlock}`, `  max block: ${details.maximumBlock}`);
    }
  }
  if (contexts.length === 0) return lines;
  return [...lines, `  available meta contexts: ${contexts.length}`, ...contexts.map((context) => `   ${printable(context)}`)];
}

/** What a server says must not move the user's cursor about. */
const printable = (text: string): string => text.replace(/[\p{Cc}]/gu, '?');
