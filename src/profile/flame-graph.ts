// A profile as a flame graph: one SVG file that needs nothing else, with a script that enlarges a frame when it is clicked and finds
// frames by name. Names are the guest's choice, so they are escaped, and only ever set as text.
import type { CallNode, Profile } from './report.ts';

const WIDTH = 1200;
const ROW = 17;
const MARGIN = 10;
const TITLE_HEIGHT = 54;
const CHARACTER = 6.6;
/** Narrower frames are left out. */
const NARROWEST = 0.3;

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
// Control characters are not XML.
const escaped = (text: string): string => text.replaceAll(/[\u0000-\u001f\u007f]/g, '?').replaceAll(/[&<>"]/g, (sign) => ESCAPES[sign]!);

const USE = 'A click enlarges a frame; the lowest one shows all again.';

interface Placed {
  readonly node: CallNode;
  readonly x: number;
  readonly depth: number;
}

export function flameGraph({ tree, seconds }: Profile, title: string): string {
  const frames = place(tree);
  const depth = frames.reduce((most, frame) => Math.max(most, frame.depth), 0) + 1;
  const height = TITLE_HEIGHT + depth * ROW + MARGIN;
  const scale = (WIDTH - 2 * MARGIN) / Math.max(1, tree.total);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}">`,
    `<style>${STYLE}</style>`,
    `<rect class="back" width="${WIDTH}" height="${height}"/>`,
    `<text class="title" x="${MARGIN}" y="22">${escaped(title)}</text>`,
    `<text id="detail" x="${MARGIN}" y="42">${tree.total} samples in ${seconds.toFixed(1)} s. ${USE}</text>`,
    `<text id="find" class="button" x="${WIDTH - MARGIN}" y="22" text-anchor="end">find…</text>`,
    ...frames.map((frame) => frameSvg(frame, tree.total, scale, height)),
    `<script><![CDATA[${SCRIPT}]]></script>`,
    '</svg>', '',
  ].join('\n');
}

/** Frames wide enough to be seen, callees beside each other by name so that two graphs can be compared. */
function place(tree: CallNode): Placed[] {
  const placed: Placed[] = [];
  const least = (tree.total * NARROWEST) / WIDTH;
  const visit = (node: CallNode, x: number, depth: number): void => {
    if (node.total < least) return;
    placed.push({ node, x, depth });
    let at = x;
    for (const child of [...node.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      visit(child, at, depth + 1);
      at += child.total;
    }
  };
  visit(tree, 0, 0);
  return placed;
}

function frameSvg({ node, x, depth }: Placed, all: number, scale: number, height: number): string {
  const left = MARGIN + x * scale;
  const width = node.total * scale;
  const top = height - MARGIN - (depth + 1) * ROW;
  const letters = Math.floor((width - 4) / CHARACTER);
  const label = letters < 3 ? '' : node.name.length > letters ? `${node.name.slice(0, letters - 1)}…` : node.name;
  const detail = `${node.name}: ${node.total} samples, ${((100 * node.total) / Math.max(1, all)).toFixed(2)} %`;
  return `<g data-x="${x}" data-n="${node.total}" data-d="${depth}"><title>${escaped(detail)}</title>`
    + `<rect x="${left.toFixed(2)}" y="${top}" width="${width.toFixed(2)}" height="${ROW - 1}" fill="${colourOf(node.name)}"/>`
    + `<text x="${(left + 2).toFixed(2)}" y="${top + 12}">${escaped(label)}</text></g>`;
}

/** Warm for the guest's functions, blue for what the host did; the same for a name everywhere. */
function colourOf(name: string): string {
  let mixed = 0;
  for (let n = 0; n < name.length; n++) mixed = (Math.imul(mixed, 31) + name.charCodeAt(n)) | 0;
  const part = (mixed >>> 0) % 100;
  return name.startsWith('[') ? `hsl(${205 + part / 4} 45% ${68 + part / 10}%)` : `hsl(${18 + part / 3} 75% ${62 + part / 8}%)`;
}

const STYLE = `
text { font: 11px ui-monospace, Menlo, Consolas, monospace; fill: #1b1b1b; }
.back { fill: #fdfdfb; } .title { font: bold 15px system-ui, sans-serif; } .button { cursor: pointer; fill: #2a5ca8; }
g { cursor: pointer; } g text { pointer-events: none; } g:hover rect { stroke: #000; }
.found rect { fill: #b05ad0; } .hidden { display: none; }
`;

// Geometry is in samples: data-x and data-n. ES5-free but plain: it runs wherever the file is opened.
const SCRIPT = `
const margin = ${MARGIN}, width = ${WIDTH} - 2 * margin, character = ${CHARACTER};
const groups = [...document.querySelectorAll('g[data-n]')];
const detail = document.getElementById('detail'), usual = detail.textContent;
const number = (group, key) => Number(group.dataset[key]);
const nameOf = (group) => group.querySelector('title').textContent.replace(/: \\d+ samples, [\\d.]+ %$/, '');
function show(chosen) {
  const from = number(chosen, 'x'), all = number(chosen, 'n'), depth = number(chosen, 'd');
  for (const group of groups) {
    const x = number(group, 'x'), n = number(group, 'n');
    const above = number(group, 'd') < depth && x <= from && x + n >= from + all;
    const inside = x >= from && x + n <= from + all && number(group, 'd') >= depth;
    group.classList.toggle('hidden', !above && !inside);
    if (!above && !inside) continue;
    const left = above ? 0 : (x - from) / all, part = above ? 1 : n / all;
    const rect = group.querySelector('rect'), text = group.querySelector('text');
    rect.setAttribute('x', margin + left * width);
    rect.setAttribute('width', part * width);
    text.setAttribute('x', margin + left * width + 2);
    const letters = Math.floor((part * width - 4) / character), name = nameOf(group);
    text.textContent = letters < 3 ? '' : name.length > letters ? name.slice(0, letters - 1) + '…' : name;
  }
}
for (const group of groups) {
  group.addEventListener('click', () => show(group));
  group.addEventListener('mouseenter', () => { detail.textContent = group.querySelector('title').textContent; });
  group.addEventListener('mouseleave', () => { detail.textContent = usual; });
}
document.getElementById('find').addEventListener('click', () => {
  const wanted = prompt('Frames whose name contains:') ?? '';
  for (const group of groups) group.classList.toggle('found', wanted !== '' && nameOf(group).includes(wanted));
});
`;
