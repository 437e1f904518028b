// How a device that `-device` can add is declared: its name, where it plugs in, its properties. The devices' catalogue is
// a list of these; the command line, `-device help` and `-device NAME,help` read it.
import type { Properties } from './property.ts';

export interface DeviceDeclaration {
  readonly name: string;
  // prettier-ignore
  readonly category: 'Controller/Bridge/Hub' | 'USB' | 'Storage' | 'Network' | 'Input' | 'Display' | 'Sound' | 'Misc' | 'CPU' | 'Watchdog' | 'Uncategorized';
  readonly bus?: string;
  readonly description?: string;
  readonly properties: Properties;
  /** Says what is missing or impossible in a set of properties, for an error in one line. */
  readonly check?: (properties: Readonly<Record<string, unknown>>) => string | undefined;
}

/** The text of `-device help`. */
export function deviceListHelp(devices: readonly DeviceDeclaration[]): string {
  const categories = [...new Set(devices.map((device) => device.category))];
  return categories
    .map((category) => {
      const rows = devices
        .filter((device) => device.category === category)
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ name, bus, description }) => {
          return `name "${name}"${bus === undefined ? '' : `, bus ${bus}`}${description === undefined ? '' : `, desc "${description}"`}\n`;
        });
      return `${category} devices:\n${rows.join('')}`;
    })
    .join('\n');
}
