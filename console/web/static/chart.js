// The two charts of a series: items of a kind against what is expected, and all items.
/* global uPlot */
import { h } from './dom.js';
import { at, clock, count, day, few, ofKind, part, w } from './words.js';

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const seconds = (time) => new Date(time) / 1000;
const faded = (hex, share) => hex + Math.round(share * 255).toString(16).padStart(2, '0');

// Course draws both into a place. onPick is called with [from, to] in seconds when a
// stretch was chosen.
export class Course {
  constructor(place, onPick) {
    this.place = place;
    this.onPick = onPick;
    this.readout = h('p.readout', { 'aria-live': 'polite' });
    this.title = h('h2');
    this.top = h('div.chart', { tabindex: 0, role: 'group' });
    this.bottom = h('div.chart', { 'aria-hidden': 'true' });
    place.replaceChildren(
      h('div.row.apart', {}, this.title, legend([['band', w.band], ['above', w.above], ['', w.within], ['spike', w.spike]])),
      this.top, this.readout,
      h('div.row.apart', {}, h('h2', {}, w.volumeTitle), legend([['line', w.usual]])), this.bottom);
    this.top.addEventListener('keydown', (event) => this.key(event));
    this.marker = 0;
    this.anchor = null;
    new ResizeObserver(() => this.fit()).observe(place);
    const again = () => this.data && this.build();
    addEventListener('barograph-theme', again);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again);
  }

  // draw shows steps of what is counted for a kind of spike, of a step's length in seconds, from
  // one time to another.
  draw({ kind, steps, step, from, to, spikes }) {
    const same = this.data && this.data.step === step && this.data.steps.length === steps.length;
    this.title.textContent = w.counted[kind];
    this.top.setAttribute('aria-label', `${w.counted[kind]}. ${w.chartHint}`);
    this.place.classList.toggle('other', kind !== 'negative');
    this.data = { kind, steps, step, from: seconds(from), to: seconds(to), spikes };
    if (same) {
      this.upper.setData(this.upperData(), false);
      this.lower.setData(this.lowerData(), false);
      const scale = { min: this.data.from, max: this.data.to };
      for (const u of [this.upper, this.lower]) {
        u.setScale('x', scale);
        u.redraw();
      }
    } else {
      this.build();
    }
  }

  upperData() {
    const { kind, steps } = this.data;
    const over = (s) => ofKind(kind, s) > s.high;
    return [steps.map((s) => seconds(s.start)), steps.map((s) => s.high), steps.map((s) => s.low),
      steps.map((s) => (over(s) ? null : ofKind(kind, s))), steps.map((s) => (over(s) ? ofKind(kind, s) : null))];
  }

  lowerData() {
    const { steps } = this.data;
    return [steps.map((s) => seconds(s.start)), steps.map((s) => s.items), steps.map((s) => s.usual)];
  }

  build() {
    this.upper?.destroy();
    this.lower?.destroy();
    const stepped = uPlot.paths.stepped({ align: 1 });
    const bars = uPlot.paths.bars({ size: [0.8, 60], align: 1 });
    const none = { show: false };
    const [above, bar, band, muted] = [this.data.kind === 'negative' ? 'low' : 'calm', 'bar', 'band', 'muted'].map(colour);
    this.upper = new uPlot(this.options(170, [
      {}, { paths: stepped, stroke: 'transparent', points: none }, { paths: stepped, stroke: 'transparent', points: none },
      { paths: bars, fill: bar, stroke: 'transparent', points: none }, { paths: bars, fill: above, stroke: 'transparent', points: none },
    ], [{ series: [1, 2], fill: faded(band, 0.55) }]), this.upperData(), this.top);
    this.lower = new uPlot(this.options(110, [
      {}, { paths: bars, fill: faded(bar, 0.75), stroke: 'transparent', points: none }, { paths: stepped, stroke: muted, width: 1.5, dash: [5, 4], points: none },
    ]), this.lowerData(), this.bottom);
  }

  options(height, series, bands = []) {
    const { from, to } = this.data;
    const [muted, line] = ['muted', 'line'].map(colour);
    const font = '12px system-ui, sans-serif';
    const wide = to - from > 36 * 3600;
    const times = (u, splits) => splits.map((t, i) => {
      const midnight = new Date(t * 1000).getHours() === 0 && new Date(t * 1000).getMinutes() === 0;
      return wide || midnight ? (midnight || i === 0 || !wide ? day(t * 1000) : clock(t * 1000)) : clock(t * 1000);
    });
    const axis = { stroke: muted, font, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    return {
      width: this.width(), height, series, bands, legend: { show: false }, padding: [12, 24, 0, 0],
      scales: { x: { range: (u, a, b) => (a === b || a === null ? [from, to] : [this.data.from, this.data.to]) }, y: { range: (u, a, b) => [0, Math.max(4, b * 1.08)] } },
      axes: [{ ...axis, size: 30, values: times, grid: { show: false } }, { ...axis, size: 44, space: 32, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000] }],
      cursor: { sync: { key: 'course' }, drag: { x: true, y: false, setScale: false }, points: { show: false } },
      hooks: {
        drawClear: [(u) => this.shadeSpikes(u)],
        draw: [(u) => height > 150 && this.markSpikes(u)],
        setCursor: [(u) => this.say(u.cursor.idx)],
        setSelect: [(u) => this.selected(u)],
      },
    };
  }

  width() { return Math.max(260, this.place.clientWidth - (parseFloat(getComputedStyle(this.place).paddingLeft) || 0) * 2); }

  fit() {
    if (!this.data) return;
    const width = this.width();
    if (width === this.upper.width) return;
    this.upper.setSize({ width, height: 170 });
    this.lower.setSize({ width, height: 110 });
  }

  // shadeSpikes shades the time of each alert, behind the bars.
  shadeSpikes(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = faded(colour('low'), 0.09);
    for (const spike of this.data.spikes) {
      const begin = u.valToPos(seconds(spike.started_at), 'x', true);
      const end = u.valToPos(spike.resolved_at ? seconds(spike.resolved_at) : this.data.to, 'x', true);
      ctx.fillRect(begin, bbox.top, Math.max(2, end - begin), bbox.height);
    }
    ctx.restore();
  }

  // markSpikes puts a mark over where each alert fired.
  markSpikes(u) {
    const { ctx, bbox } = u;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.fillStyle = colour('low');
    for (const spike of this.data.spikes) {
      const x = u.valToPos(seconds(spike.fired_at), 'x', true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x - 6 * ratio, bbox.top - 10 * ratio);
      ctx.lineTo(x + 6 * ratio, bbox.top - 10 * ratio);
      ctx.lineTo(x, bbox.top - ratio);
      ctx.fill();
    }
    ctx.restore();
  }

  say(index) {
    const s = this.data.steps[index];
    this.readout.textContent = s ? w.step(`${at(s.start)} – ${clock(new Date(s.start).getTime() + this.data.step * 1000)}`, part(this.data.kind, s), few(s.low), few(s.high)) : '';
  }

  selected(u) {
    if (u.select.width < 3) return;
    const from = u.posToVal(u.select.left, 'x');
    const to = u.posToVal(u.select.left + u.select.width, 'x');
    this.onPick(this.down(from), Math.min(this.down(to) + this.data.step, this.data.to));
  }

  down(time) { return Math.floor(time / this.data.step) * this.data.step; }

  // key lets the arrows move over the steps, with Shift select, and Enter read.
  key(event) {
    const last = this.data.steps.length - 1;
    const moves = { ArrowLeft: -1, ArrowRight: 1, Home: -last, End: last };
    if (event.key in moves) {
      if (event.shiftKey) this.anchor ??= this.marker; else this.anchor = null;
      this.marker = Math.min(last, Math.max(0, this.marker + moves[event.key]));
      const u = this.upper;
      const position = (i) => u.valToPos(u.data[0][i] ?? u.data[0][last] + this.data.step, 'x');
      u.setCursor({ left: position(this.marker), top: 10 });
      if (this.anchor !== null) {
        const [a, b] = [Math.min(this.anchor, this.marker), Math.max(this.anchor, this.marker) + 1];
        u.setSelect({ left: position(a), width: position(b) - position(a), top: 0, height: u.over.clientHeight }, false);
      }
      this.say(this.marker);
    } else if (event.key === 'Enter') {
      const [a, b] = this.anchor === null ? [this.marker, this.marker] : [this.anchor, this.marker].sort((x, y) => x - y);
      this.onPick(this.upper.data[0][a], this.upper.data[0][b] + this.data.step);
    } else {
      return;
    }
    event.preventDefault();
  }
}

const legend = (entries) => h('div.legend', {}, entries.map(([name, text]) => h(name ? `span.${name}` : 'span', {}, text)));

// numbers is the same as a table, for those who do not see the chart.
export function numbers(kind, steps, length, onPick) {
  const own = kind !== 'volume'; // a column for what is counted, where that is not all
  const found = (s) => (ofKind(kind, s) > s.high ? h('span.high', {}, count(ofKind(kind, s))) : count(ofKind(kind, s)));
  return h('div.scroll', {}, h('table', {},
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, w.time), ...[w.itemsColumn, own && w.shareOf[kind], w.expectedColumn, w.band, w.usualColumn, w.copies].filter(Boolean).map((c) => h('th.num', { scope: 'col' }, c)), h('th', { scope: 'col' }, w.texts))),
    h('tbody', {}, steps.slice().reverse().map((s) => h('tr', {},
      h('td', {}, at(s.start)), h('td.num', {}, own ? count(s.items) : found(s)), own && h('td.num', {}, found(s)), h('td.num', {}, few(s.expected)),
      h('td.num', {}, `${few(s.low)} – ${few(s.high)}`), h('td.num', {}, few(s.usual)), h('td.num', {}, count(s.copies)),
      h('td', {}, s.items + s.copies > 0 && h('button.link', { 'aria-label': `${w.readTexts} ${at(s.start)}`, onclick: () => onPick(seconds(s.start), seconds(s.start) + length) }, w.readTexts)))))));
}
