// A series: its course against what is expected, what it is made of, and its texts.
import { foreign, h, show } from '../dom.js';
import { get, seldom, seriesLink, seriesPath } from '../api.js';
import { at, seconds, sentence, seriesName, span, w } from '../words.js';
import { Course, numbers } from '../chart.js';
import { itemRow } from '../item.js';
import { alertCard, seriesTable } from '../parts.js';

const spans = ['1h', '6h', '24h', '7d'];

export async function start(body, fail) {
  const [entity, topic] = location.pathname.split('/').slice(2).map(decodeURIComponent);
  const series = { entity: entity === '-' ? '' : entity, topic: topic === undefined || topic === '-' ? '' : topic };
  const asked = new URLSearchParams(location.search).get('range');
  const view = { range: spans.includes(asked) ? asked : '24h', picked: null };
  document.title = `${seriesName(series)} – Barograph`;

  const lead = h('p.lead');
  const tabs = h('div.group', { role: 'group', 'aria-label': w.range });
  const chartPlace = h('section.card');
  const note = h('p.hint');
  const table = h('div');
  const tableBox = h('details.card', {}, h('summary', {}, w.numbers), table);
  const spikes = h('section', { 'aria-label': w.spikes });
  const parts = h('section.card');
  const texts = h('section.card', { id: 'texts', 'aria-live': 'polite' });
  const pick = (from, to) => { view.picked = [from, to]; read().then(() => texts.scrollIntoView({ behavior: 'smooth', block: 'nearest' }), fail); };
  const course = new Course(chartPlace, pick);
  chartPlace.append(h('p.hint', {}, w.chartHint), note);

  const showTabs = () => show(tabs, spans.map((r) => h('button', { 'aria-pressed': String(r === view.range), 'data-key': r, onclick: () => {
    view.range = r;
    view.picked = null;
    history.replaceState(null, '', `?range=${r}`);
    showTabs();
    load().then(read).catch(fail);
  } }, w[`r${r}`])));

  async function load() {
    const s = await get(`/series/${seriesPath(series)}`, { range: view.range });
    const o = s.outlook;
    show(lead, o.window !== '0s' && o.surprise > 0 ? sentence({ ...o, volume_factor: 1 }) : o.too_few ? w.tooFew : w.nothingUnusual);
    const step = seconds(s.step);
    course.draw({ kind: s.kind, steps: s.steps, step, from: s.from, to: s.to, spikes: s.spikes });
    note.textContent = seconds(s.keeps) < (new Date(s.to) - new Date(s.from)) / 1000 - step ? w.kept(span(seconds(s.keeps))) : '';
    if (tableBox.open) show(table, numbers(s.kind, s.steps, step, pick));
    tableBox.ontoggle = () => tableBox.open && show(table, numbers(s.kind, s.steps, step, pick));
    show(spikes, s.spikes.length > 0 && [h('h2', {}, w.spikes), s.spikes.map((a) => alertCard(a, s.now))]);
    parts.hidden = s.parts.length === 0;
    show(parts, h('h2', {}, series.topic && !series.entity ? w.companiesOf : w.topicsOf), seriesTable(s.parts, w.topicsOf, series));
    view.shown = [s.from, s.to];
  }

  async function read() {
    const [from, to] = view.picked ? view.picked.map((t) => new Date(t * 1000).toISOString()) : view.shown;
    const found = await get('/items', { ...series, from, to, limit: view.picked ? 100 : 20 });
    show(texts,
      h('div.row.apart', {}, h('h2', {}, w.textsBetween(at(from), at(to))),
        view.picked && h('button', { onclick: () => { view.picked = null; read().catch(fail); } }, w.whole)),
      found.items.length ? found.items.map((i) => itemRow(i)) : h('p.empty', {}, w.noTexts, ' ', found.since ? w.indexSince(at(found.since)) : ''));
  }

  const refresh = seldom(async () => {
    try {
      await load();
      if (!view.picked && !texts.querySelector('.correct, details[open]')) await read();
      fail(null);
    } catch (error) { fail(error); }
  }, 2500);

  showTabs();
  show(body, h('div.row.apart', {}, h('div', {}, crumbs(series), lead), tabs), chartPlace, tableBox, spikes, parts, texts);
  await load();
  await read();
  return (name, data) => {
    const ours = name !== 'readings' || !series.entity || data.entities.includes(series.entity) || data.entities.length >= 50;
    if (ours) refresh();
  };
}

function crumbs(s) {
  const up = s.entity && s.topic ? { entity: s.entity } : {};
  const name = s.entity && s.topic ? s.topic : seriesName(s);
  return h('h1', {}, (s.entity || s.topic) && [h('a', { href: seriesLink(up) }, foreign(seriesName(up))), ' › '], foreign(name));
}
