// The order of the folders under src/: a file imports from folders with a lower number and from its own folder, never
// from an equal or higher one. tools/tidy.ts checks it.

// prettier-ignore
export const LAYERS: Readonly<Record<string, number>> = {
  base: 0, ports: 0,
  trace: 1, state: 1, struct: 1, schema: 1, wasm: 1,
  memory: 2, bus: 2,
  cpu: 3, devices: 3, block: 3, net: 3, chardev: 3, display: 3,
  jobs: 4, machine: 4,
  vm: 5,
  qmp: 6, ui: 6,
  platform: 7,
  cli: 8, web: 8,
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
