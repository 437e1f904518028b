// Starts a command from its bundle, dist/commands/NAME.cjs (tools/build-commands.ts), with the code that V8 compiled when the
// bundle was made. Another Node than that one refuses it and compiles anew, or takes its own compile cache where it has one
// (22.1 and later).
const { existsSync, readFileSync } = require('node:fs');
const { enableCompileCache } = require('node:module');
const { join } = require('node:path');
const { setFlagsFromString } = require('node:v8');
const { Script } = require('node:vm');

// Most commands are over before optimized code has paid for its compilation, for whose end the process even waits.
const FLAGS = { 'nandu-img': '--interrupt-budget=1000000', 'nandu-nbd': '--interrupt-budget=1000000' };

const folder = join(__dirname, '..', 'dist', 'commands');

/** The bundle as a script, with what it exports; `cachedData` is what a script of the same bundle has compiled. */
exports.run = (name, cachedData) => {
  if (name in FLAGS) setFlagsFromString(FLAGS[name]); // before the script: V8 takes compiled code only under the same flags
  const filename = join(folder, `${name}.cjs`);
  const source = readFileSync(filename, 'latin1'); // the bundle is ASCII
  const script = new Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, { filename, cachedData });
  if (script.cachedDataRejected) return undefined;
  const module = { exports: {} };
  script.runInThisContext()(module.exports, require, module, filename, folder);
  return { script, exports: module.exports };
};

exports.start = (name) => {
  const file = join(folder, name);
  if (!existsSync(`${file}.cjs`)) {
    console.error('nandu is not built yet: run `npm start` or `npm test` first');
    process.exit(1);
  }
  const cached = existsSync(`${file}.cache`) ? exports.run(name, readFileSync(`${file}.cache`)) : undefined;
  if (cached !== undefined) return cached.exports.main();
  enableCompileCache?.();
  return require(`${file}.cjs`).main();
};
