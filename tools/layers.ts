// The order of the folders under src/: a file imports from folders with a lower number and from its own folder, never
// from an equal or higher one. tools/tidy.ts checks it.

// prettier-ignore
export const LAYERS: Readonly<Record<string, number>> = {
  base: 0,
  ports: 1,
  trace: 2, state: 2, struct: 2, schema: 2, wasm: 2,
  memory: 3, bus: 3,
  cpu: 4, devices: 4, block: 4, net: 4, chardev: 4, display: 4,
  jobs: 5, machine: 5, profile: 5,
  vm: 6,
  qmp: 7, ui: 7,
  platform: 8,
  cli: 9, web: 9,
};

/** Why a file of one folder may not import from another; undefined when it may. */
export function layerViolation(from: string, to: string): string | undefined {
  if (from === to) return undefined;
  const fromLayer = LAYERS[from];
  const toLayer = LAYERS[to];
  if (fromLayer === undefined) return `src/${from} is not in tools/layers.ts`;
  if (toLayer === undefined) return `src/${to} is not in tools/layers.ts`;
  return toLayer < fromLayer ? undefined : `${from} (layer ${fromLayer}) may not import from ${to} (layer ${toLayer})`;
}
