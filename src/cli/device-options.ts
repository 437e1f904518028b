// Checks -device and -global against the devices' catalogue.
import { Failure } from '../base/failure.ts';
import { deviceCatalogue } from '../devices/catalogue.ts';
import type { CharBackend } from '../ports/char-backend.ts';
import { inContext } from '../schema/command-line.ts';
import { deviceListHelp, type DeviceDeclaration } from '../schema/device.ts';
import { parseKeyValue } from '../schema/key-value.ts';
import { chardevId, identifier, propertiesFromJson, propertiesFromText, propertiesHelp, str } from '../schema/property.ts';
import type { DeviceOptions, DevicePropertyValue } from '../vm/options.ts';
import type { SystemSettings } from './system-settings.ts';

type Values = Record<string, unknown>;
type UseChardev = (id: string, property: string) => CharBackend;

const invalid = (message: string): Failure => new Failure('invalid-argument', message);

/** What `-device help` and `-device NAME,help` print; undefined for a device to add. */
export function deviceHelp(text: string): string | undefined {
  if (text === 'help' || text === '?') return deviceListHelp(deviceCatalogue);
  const [driver, ...rest] = text.split(',');
  if (!rest.some((part) => part === 'help' || part === '?')) return undefined;
  const declaration = declarationOf(driver ?? '');
  return propertiesHelp(declaration.name, declaration.properties);
}

/** What machines like these mean by a name without a bus. */
const ALIASES: Readonly<Record<string, string>> = {
  'virtio-blk': 'virtio-blk-pci', 'virtio-scsi': 'virtio-scsi-pci', 'virtio-rng': 'virtio-rng-pci', 'virtio-serial': 'virtio-serial-pci',
  'virtio-balloon': 'virtio-balloon-pci',
};

function declarationOf(driver: string): DeviceDeclaration {
  const wanted = Object.hasOwn(ALIASES, driver) ? ALIASES[driver] : driver;
  const declaration = deviceCatalogue.find(({ name }) => name === wanted);
  if (declaration === undefined) throw invalid(`'${driver}' is not a valid device model name`);
  return declaration;
}

export function readDeviceOptions(settings: SystemSettings, useChardev: UseChardev): DeviceOptions[] {
  const globals = readGlobals(settings);
  const ids = new Set<string>();
  return settings.devices.map(({ text, origin }) =>
    inContext(origin, () => {
      const { declaration, id, bus, values } = text.startsWith('{') ? fromJson(text) : fromText(text);
      if (id !== undefined && ids.has(id)) throw invalid(`Duplicate ID '${id}' for device`);
      if (id !== undefined) ids.add(id);
      const properties = { ...globals.get(declaration.name), ...values };
      const problem = declaration.check?.(properties);
      if (problem !== undefined) throw invalid(problem);
      return {
        driver: declaration.name, origin, ...(id !== undefined && { id }), ...(bus !== undefined && { bus }),
        properties: connect(declaration, properties, useChardev),
      };
    }),
  );
}

interface ParsedDevice {
  readonly declaration: DeviceDeclaration;
  readonly id: string | undefined;
  readonly bus: string | undefined;
  readonly values: Values;
}

const COMMON = { driver: { type: str }, id: { type: identifier }, bus: { type: str } } as const;
const withCommon = (declaration: DeviceDeclaration) => ({ ...declaration.properties, ...COMMON });
const unknownOf = (declaration: DeviceDeclaration) => (name: string): Failure =>
  invalid(`Property '${declaration.name}.${name}' not found`);

function fromText(text: string): ParsedDevice {
  const driver = parseKeyValue(text, 'driver').find(({ name }) => name === 'driver')?.value ?? '';
  if (driver === '') throw invalid("Parameter 'driver' is missing");
  const declaration = declarationOf(driver);
  const values = propertiesFromText(withCommon(declaration), text, { impliedName: 'driver', unknown: unknownOf(declaration) });
  return split(declaration, values);
}

function fromJson(text: string): ParsedDevice {
  const object = parseJsonObject(text);
  if (!('driver' in object)) throw invalid("Parameter 'driver' is missing");
  const declaration = declarationOf(str.fromJson('driver', object.driver));
  return split(declaration, propertiesFromJson(withCommon(declaration), object, { unknown: unknownOf(declaration) }));
}

function parseJsonObject(text: string): object {
  try {
    return JSON.parse(text) as object; // it starts with a brace
  } catch (error) {
    throw new Failure('invalid-argument', `JSON parse error, ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function split(declaration: DeviceDeclaration, { driver: _driver, id, bus, ...values }: Values): ParsedDevice {
  return { declaration, id: id as string | undefined, bus: bus as string | undefined, values };
}

/** Puts the back end in the place of its id. */
function connect(declaration: DeviceDeclaration, values: Values, useChardev: UseChardev): Record<string, DevicePropertyValue> {
  const entries = Object.entries(values).map(([name, value]): [string, DevicePropertyValue] => {
    const isChardev = declaration.properties[name]?.type === chardevId;
    return [name, isChardev ? useChardev(value as string, `${declaration.name}.${name}`) : (value as DevicePropertyValue)];
  });
  return Object.fromEntries(entries);
}

function readGlobals(settings: SystemSettings): Map<string, Values> {
  const globals = new Map<string, Values>();
  for (const { driver, property, value, origin } of settings.globals) {
    const declaration = deviceCatalogue.find(({ name }) => name === driver);
    const type = declaration?.properties[property]?.type;
    if (type === undefined) throw new Failure('unsupported', `${origin}: not supported yet for ${driver}`);
    globals.set(driver, { ...globals.get(driver), [property]: inContext(origin, () => type.fromText(property, value)) });
  }
  return globals;
}
