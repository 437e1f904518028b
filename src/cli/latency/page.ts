// The figures of `nandu latency` as one page of HTML with pictures in SVG, without scripts and without anything outside it: the stack as
// a bar, histograms, and what happened to two requests along the time.
import { isHost, isNode, LAYER } from '../../trace/request-latency.ts';
import type { Figures, HistogramBar } from './statistics.ts';
import { eventText, type Layer, type MeasuredSummary, type ShownLife, type Summary } from './summary.ts';

const WIDTH = 960;

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
const us = (ns: number): string => (ns / 1000).toFixed(2);

/** A layer has one colour in every picture. */
function colourOf(name: string): string {
  if (isHost(name)) return '#4e79a7';
  if (isNode(name)) return name.endsWith(' file') ? '#59a14f' : '#8cd17d';
  const colours: Readonly<Record<string, string>> = {
    [LAYER.drive]: '#edc948', [LAYER.device]: '#f28e2b', [LAYER.interrupt]: '#b07aa1', [LAYER.after]: '#bab0ac', [LAYER.before]: '#86807c',
    [LAYER.next]: '#bab0ac',
  };
  return colours[name] ?? '#666666';
}

const STYLE = `
body { font: 15px/1.45 system-ui, sans-serif; max-width: ${WIDTH}px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.3em } h2 { font-size: 1.1em; margin: 2em 0 .5em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } th { font-weight: 600 }
td, th { padding: .15em .8em; text-align: right; border-bottom: 1px solid #ddd } td:last-child, th:last-child { text-align: left }
svg { display: block; width: 100%; height: auto; margin: .5em 0 } svg text { font: 12px system-ui, sans-serif; fill: #222 }
i { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: 2px }
p { margin: .4em 0 }
`;

export function latencyPage(summary: Summary): string {
  const { title, total, layers, middleNs, programNs, measured, histogram, typical, slowest, leftOut, unexplainedPercent } = summary;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>nandu latency</title><style>${STYLE}</style></head><body>
<h1>${escaped(title)}</h1>
<p>${total.count} requests (${leftOut} merged or not whole in the trace), times in microseconds.</p>
<h2>Where the time of a request goes, in the middle half of them</h2>
${stackBar(layers)}
${stackTable(layers, unexplainedPercent)}
${programNs === undefined ? '' : `<p>${programText(programNs, middleNs)}</p>`}
${measured === undefined ? '' : `<p>${ownText(summary)}</p>`}
<h2>Figures</h2>
${figuresTable(measured === undefined
    ? [['with events', total]]
    : [['in the guest, without events', measured.plain], ['in the guest, with events', total], [hostName(measured), measured.host]])}
<h2>Histogram</h2>
${measured === undefined
    ? histogramChart('requests', histogram)
    : `${histogramChart('in the guest, without events', measured.plainHistogram)}${histogramChart('on the host', measured.hostHistogram)}`}
<h2>A typical request</h2>
${timeline(typical)}
<h2>The slowest request</h2>
${timeline(slowest)}
</body></html>
`;
}

const hostName = ({ host }: MeasuredSummary): string => `on the host: ${host.by}`;

/** A picture that is named for who does not see it. */
const picture = (label: string, height: number, parts: readonly string[]): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(label)}">${parts.join('')}</svg>`;

const programText = (programNs: number, middleNs: number): string =>
  `${LAYER.program}: ${us(programNs)}; with it ${us(middleNs + programNs)} from one request to the next.`;

function ownText({ measured }: Summary): string {
  const { ownNs, host, guestClockNs, clockPercent } = measured!;
  return `Own layers (device, queue, drive, block nodes): ${us(ownNs)}, ${((100 * ownNs) / host.p50Ns).toFixed(0)} % of the host's own
latency; ${eventText(measured!)}. By the guest's own clock ${us(guestClockNs)} from one request to the next,
${clockPercent.toFixed(2)} % from the sum.`;
}

function stackBar(layers: readonly Layer[]): string {
  const all = layers.at(-1)!.cumulativeNs;
  const parts = layers.map(({ name, meanNs, cumulativeNs }) => {
    const x = (WIDTH * (cumulativeNs - meanNs)) / all;
    const width = (WIDTH * meanNs) / all;
    const label = width > 60 ? `<text x="${(x + width / 2).toFixed(1)}" y="30" text-anchor="middle">${us(meanNs)}</text>` : '';
    const told = `<title>${escaped(name)}: ${us(meanNs)}</title>`;
    return `<rect x="${x.toFixed(1)}" width="${width.toFixed(1)}" height="48" fill="${colourOf(name)}">${told}</rect>${label}`;
  });
  return picture('the layers of a request', 48, parts);
}

const swatch = (name: string): string => `<i style="background:${colourOf(name)}"></i>`;

function stackTable(layers: readonly Layer[], unexplainedPercent: number): string {
  const hasPlain = layers.some(({ plainNs }) => plainNs !== undefined);
  const rows = layers.map(({ name, meanNs, percent, cumulativeNs, plainNs = 0 }) =>
    row([us(meanNs), percent.toFixed(1), us(cumulativeNs), ...(hasPlain ? [us(plainNs)] : []), `${swatch(name)}${escaped(name)}`]));
  const head = ['mean', '%', 'together', ...(hasPlain ? ['without events'] : []), 'layer'];
  return `<table>${row(head, 'th')}${rows.join('')}</table><p>${unexplainedPercent.toFixed(2)} % of the total is in no layer.</p>`;
}

const row = (cells: readonly string[], tag = 'td'): string => `<tr>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join('')}</tr>`;

function figuresTable(rows: readonly (readonly [name: string, figures: Figures])[]): string {
  const line = ([name, { count, meanNs, deviationNs, minNs, p50Ns, p99Ns, maxNs }]: readonly [string, Figures]): string =>
    row([String(count), ...[meanNs, deviationNs, minNs, p50Ns, p99Ns, maxNs].map(us), escaped(name)]);
  return `<table>${row(['count', 'mean', 'deviation', 'min', 'p50', 'p99', 'max', ''], 'th')}${rows.map(line).join('')}</table>`;
}

/** A label has room for `LABEL`; where bars stand closer, some have none, and say what they are when they are pointed at. */
const CHART = { HEIGHT: 150, BASE: 125, BAR: 40, STEP_MAX: 72, LABEL: 62 } as const;

/** Two bars for a doubling of the time; their height is the share. */
function histogramChart(name: string, bars: readonly HistogramBar[]): string {
  const all = bars.reduce((sum, { count }) => sum + count, 0);
  const most = Math.max(...bars.map(({ count }) => count));
  const step = Math.min(CHART.STEP_MAX, (WIDTH - 2 * CHART.BAR) / bars.length);
  const width = Math.min(CHART.BAR, step - 2);
  const labelled = Math.ceil(CHART.LABEL / step);
  const parts = bars.map(({ belowNs, count }, index) => {
    const height = Math.max(1, (90 * count) / most);
    const x = CHART.BAR / 2 + index * step;
    const share = `${((100 * count) / all).toFixed(1)} %`;
    const limit = `&lt; ${Number((belowNs / 1000).toPrecision(3))}`;
    const label = (y: number, text: string): string =>
      index % labelled === 0 ? `<text x="${(x + width / 2).toFixed(1)}" y="${y.toFixed(1)}" text-anchor="middle">${text}</text>` : '';
    return `<rect x="${x.toFixed(1)}" y="${(CHART.BASE - height).toFixed(1)}" width="${width.toFixed(1)}" height="${height.toFixed(1)}" ` +
      `fill="#4e79a7"><title>${limit} us: ${share}</title></rect>${label(CHART.BASE - height - 4, share)}${label(CHART.BASE + 16, limit)}`;
  });
  return `<p>${escaped(name)}</p>${picture(`the histogram of requests ${name}`, CHART.HEIGHT, parts)}`;
}

/** A row for each step, as long as it took and where it was in time. */
function timeline({ request, totalNs, events }: ShownLife): string {
  const LEFT = 400;
  const ROW = 20;
  const scale = (WIDTH - LEFT - 70) / totalNs;
  const parts = events.slice(1).map(({ name, atNs, sinceBeforeNs, layer, thread }, index) => {
    const y = index * ROW;
    const x = LEFT + (atNs - sinceBeforeNs) * scale;
    const width = Math.max(1, sinceBeforeNs * scale);
    return `<text x="0" y="${y + 14}">${escaped(`${events[index]!.name} to ${name}`)}</text>` +
      `<rect x="${x.toFixed(1)}" y="${y + 3}" width="${width.toFixed(1)}" height="${ROW - 6}" fill="${colourOf(layer)}">` +
      `<title>${escaped(`${layer} (${thread})`)}</title></rect>` +
      `<text x="${(x + width + 5).toFixed(1)}" y="${y + 14}">${us(sinceBeforeNs)}</text>`;
  });
  return `<p>request ${request}, ${us(totalNs)} us</p>${picture(`the life of request ${request}`, (events.length - 1) * ROW, parts)}`;
}
