// A profile as text for a terminal: shares of the host's activities, functions, programs, call graph, and a row for each second.
import { ACTIVITY_GROUPS, type CallNode, type Profile, type Share } from './report.ts';

export interface TextOptions {
  /** Rows of the tables. */
  readonly top: number;
  /** With the call graph. */
  readonly calls: boolean;
}

const GRAPH_PERCENT_MIN = 1;
const GRAPH_DEPTH_MAX = 24;

const percent = (count: number, of: number): string => (of === 0 ? '-' : ((100 * count) / of).toFixed(1)).padStart(6);

export function profileText(profile: Profile, { top, calls }: TextOptions): string {
  const { seconds, count, lost, guestCount } = profile;
  const rate = seconds > 0 ? (count / seconds).toFixed(0) : '-';
  return [
    `${count} samples in ${seconds.toFixed(1)} s (${rate} a second)${lost > 0 ? `, ${lost} lost` : ''}`,
    '', 'what the host did', ...shareRows(profile.activities, count, top),
    '', `where the guest was: ${guestCount} samples, per cent of them`, `${'self'.padStart(6)} ${'total'.padStart(6)}  function`,
    ...functionRows(profile, top),
    '', 'programs', ...shareRows(profile.programs, guestCount, top),
    ...(calls ? ['', `calls, per cent of all samples (above ${GRAPH_PERCENT_MIN})`, ...graphRows(profile.tree, count)] : []),
    '', ...timeTable(profile), '',
  ].join('\n');
}

const functionRows = ({ functions, guestCount }: Profile, top: number): string[] =>
  functions.slice(0, top).map(({ name, self, total }) => `${percent(self, guestCount)} ${percent(total, guestCount)}  ${name}`);

const shareRows = (shares: readonly Share[], of: number, top: number): string[] =>
  shares.slice(0, top).map(({ name, count }) => `${percent(count, of)}  ${name}`);

function graphRows(tree: CallNode, count: number): string[] {
  const rows: string[] = [];
  const visit = (node: CallNode, depth: number): void => {
    const children = [...node.children.values()].sort((a, b) => b.total - a.total);
    for (const child of children) {
      if ((100 * child.total) / count < GRAPH_PERCENT_MIN || depth >= GRAPH_DEPTH_MAX) continue;
      rows.push(`${percent(child.total, count)}  ${'  '.repeat(depth)}${child.name}`);
      visit(child, depth + 1);
    }
  };
  visit(tree, 0);
  return rows;
}

function timeTable({ times }: Profile): string[] {
  const head = `${'second'.padStart(6)} ${ACTIVITY_GROUPS.map((group) => group.padStart(12)).join('')}  most in`;
  const rows = times.filter(({ count }) => count > 0).map(({ fromSeconds, count, groups, topFunction, topProgram }) => {
    const cells = ACTIVITY_GROUPS.map((group) => percent(groups.get(group) ?? 0, count).padStart(12)).join('');
    return `${String(fromSeconds).padStart(6)} ${cells}  ${[topProgram, topFunction].filter((part) => part !== '').join(': ')}`;
  });
  return ['where each piece of time went, per cent', head, ...rows];
}
