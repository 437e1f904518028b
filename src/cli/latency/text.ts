// The figures of `nandu latency` as tables for a terminal, in microseconds.
import { LAYER } from '../../trace/request-latency.ts';
import type { HistogramBar, Figures } from './statistics.ts';
import { eventText, type MeasuredSummary, type ShownLife, type Summary } from './summary.ts';

const COLUMN = 10;
const us = (ns: number): string => (ns / 1000).toFixed(2).padStart(COLUMN);
const cell = (text: string): string => text.padStart(COLUMN);
const BAR_WIDTH = 50;

export function summaryText(summary: Summary): string {
  const { title, leftOut, total, measured, histogram, typical, slowest } = summary;
  return [
    title, `${total.count} requests (${leftOut} merged or not whole in the trace), microseconds`, '',
    ...stackText(summary), '',
    ...(measured === undefined ? figuresText([['with events', total]]) : measuredText(total, measured)), '',
    ...(measured === undefined ? histogramText('requests', histogram) : measuredHistograms(measured)),
    '', ...lifeText('a typical request', typical), '', ...lifeText('the slowest request', slowest), '',
  ].join('\n');
}

const measuredHistograms = ({ plainHistogram, hostHistogram }: MeasuredSummary): string[] =>
  [...histogramText('requests, without events', plainHistogram), '', ...histogramText('on the host', hostHistogram)];

/** From the inside out. */
function stackText({ layers, middleNs, programNs, unexplainedPercent, measured }: Summary): string[] {
  const hasPlain = measured !== undefined;
  const plain = (ns: number | undefined): string => (hasPlain ? us(ns ?? 0) : '');
  const plainTotal = plain(layers.reduce((sum, { plainNs = 0 }) => sum + plainNs, 0));
  return [
    `${cell('mean')} ${cell('%')} ${cell('together')}${hasPlain ? cell('no events') : ''}  layer, of the middle half of requests`,
    ...layers.map(({ name, meanNs, percent, cumulativeNs, plainNs }) =>
      `${us(meanNs)} ${cell(percent.toFixed(1))} ${us(cumulativeNs)}${plain(plainNs)}  ${name}`),
    `${us(middleNs)} ${cell('100.0')} ${cell('')}${plainTotal}  total (${unexplainedPercent.toFixed(2)} % in no layer)`,
    ...(programNs === undefined ? [] : [
      `${us(programNs)} ${cell('')} ${us(middleNs + programNs)}${hasPlain ? cell('') : ''}  ${LAYER.program}`,
    ]),
  ];
}

function figuresText(rows: readonly (readonly [name: string, figures: Figures])[]): string[] {
  return [
    `${['count', 'mean', 'deviation', 'min', 'p50', 'p99', 'max'].map(cell).join('')}`,
    ...rows.map(([name, { count, meanNs, deviationNs, minNs, p50Ns, p99Ns, maxNs }]) =>
      `${cell(String(count))}${[meanNs, deviationNs, minNs, p50Ns, p99Ns, maxNs].map(us).join('')}  ${name}`),
  ];
}

function measuredText(total: Figures, measured: MeasuredSummary): string[] {
  const { plain, host, ownNs, ownTracedNs, excessNs, betweenNs, guestClockNs, clockPercent } = measured;
  return [
    ...figuresText([['in the guest, without events', plain], ['in the guest, with events', total], [`on the host: ${host.by}`, host]]), '',
    `own layers (device, queue, drive, block nodes): ${us(ownNs).trim()} us (${us(ownTracedNs).trim()} with events), ` +
      `${((100 * ownNs) / host.p50Ns).toFixed(0)} % of the host's own latency`,
    `${eventText(measured)}; being traced makes a request ${us(excessNs).trim()} us longer`,
    `without events the guest's program takes ${us(betweenNs).trim()} us between two requests`,
    `by the guest's own clock ${us(guestClockNs).trim()} us from one request to the next: ${clockPercent.toFixed(2)} % from the sum`,
  ];
}

const histogramText = (title: string, bars: readonly HistogramBar[]): string[] => {
  const all = bars.reduce((sum, { count }) => sum + count, 0);
  const line = ({ belowNs, count }: HistogramBar): string =>
    `${us(belowNs)}  ${String(count).padStart(7)} ${'#'.repeat(Math.ceil((BAR_WIDTH * count) / all))}`;
  return [`${title}, below`, ...bars.map(line)];
};

function lifeText(title: string, { request, totalNs, events }: ShownLife): string[] {
  const width = Math.max(...events.map(({ name }) => name.length));
  return [
    `${title}: ${request}, ${us(totalNs).trim()} us`,
    `${cell('at')} ${cell('since')}  event and where the time before it went`,
    ...events.map(({ name, atNs, sinceBeforeNs, layer, thread }) =>
      `${us(atNs)} ${us(sinceBeforeNs)}  ${layer === '' ? name : `${name.padEnd(width)}  ${layer} (${thread})`}`),
  ];
}
