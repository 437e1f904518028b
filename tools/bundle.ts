// Bundles modules of dist/src, each with all that it may load, for commands that start fast (build-commands.ts) and for measurements of
// a build with something left out (bench-trace.ts).
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { build, type Plugin } from 'esbuild';

export interface Bundles {
  /** Modules by the name of their bundle. */
  readonly entries: Readonly<Record<string, string>>;
  /** One level below dist, like dist/commands. */
  readonly folder: string;
  /** Changes the text of a module. */
  readonly edit?: (text: string, path: string) => string;
}

/** In a bundle a module's `import.meta` says where the module itself lies, not the bundle. */
const ownPlaces = ({ folder, edit = (text) => text }: Bundles): Plugin => ({
  name: 'own-places',
  setup(builder) {
    builder.onLoad({ filter: /[\\/]dist[\\/]src[\\/].*\.js$/ }, ({ path }) => {
      const fromBundle = JSON.stringify(relative(folder, path).replaceAll('\\', '/'));
      const place = `require('node:path').join(__dirname, ${fromBundle})`;
      const contents = edit(readFileSync(path, 'utf8'), path)
        .replaceAll('import.meta.url', `require('node:url').pathToFileURL(${place}).href`)
        .replaceAll('import.meta.dirname', `require('node:path').dirname(${place})`);
      return { contents };
    });
  },
});

export async function bundle(bundles: Bundles): Promise<void> {
  await build({
    entryPoints: bundles.entries,
    outdir: bundles.folder,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    charset: 'ascii',
    packages: 'external',
    supported: { 'dynamic-import': false }, // becomes require, which a script without a module loader can do
    sourcemap: 'linked',
    sourcesContent: false,
    logLevel: 'warning',
    plugins: [ownPlaces(bundles)],
  });
}
