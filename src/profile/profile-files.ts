// A profile for other programs: folded stacks (one line a stack, frames from the outside in, a count), and the file format of
// speedscope (https://www.speedscope.app/file-format-schema.json, a "sampled" profile).
import type { CallNode, Profile } from './report.ts';

/** Semicolons separate frames, and the count is behind the last space. */
const foldedName = (name: string): string => name.replaceAll(';', ':').replaceAll('\n', ' ');

/** Calls back with every stack that samples ended in. */
function eachStack(tree: CallNode, visit: (path: readonly string[], count: number) => void): void {
  const path: string[] = [];
  const walk = (node: CallNode): void => {
    if (node.self > 0) visit(path, node.self);
    for (const child of node.children.values()) {
      path.push(child.name);
      walk(child);
      path.pop();
    }
  };
  walk(tree);
}

export function foldedStacks({ tree }: Profile): string {
  const lines: string[] = [];
  eachStack(tree, (path, count) => lines.push(`${path.map(foldedName).join(';')} ${count}\n`));
  return lines.sort().join('');
}

export function speedscopeFile(profile: Profile, name: string): string {
  const frames: { name: string }[] = [];
  const numbers = new Map<string, number>();
  const frameOf = (frame: string): number => {
    const known = numbers.get(frame);
    if (known !== undefined) return known;
    numbers.set(frame, frames.length);
    return frames.push({ name: frame }) - 1;
  };
  const samples: number[][] = [];
  const weights: number[] = [];
  const secondsEach = profile.count === 0 ? 0 : profile.seconds / profile.count;
  eachStack(profile.tree, (path, count) => {
    samples.push(path.map(frameOf));
    weights.push(count * secondsEach);
  });
  const endValue = weights.reduce((sum, weight) => sum + weight, 0);
  return JSON.stringify({
    $schema: 'https://www.speedscope.app/file-format-schema.json',
    exporter: 'nandu', name, activeProfileIndex: 0,
    shared: { frames },
    profiles: [{ type: 'sampled', name, unit: 'seconds', startValue: 0, endValue, samples, weights }],
  });
}
