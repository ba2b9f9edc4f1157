// What is firing, and which series are under pressure.
import { foreign, h, show } from '../dom.js';
import { get, seldom } from '../api.js';
import { count, few, percent, w } from '../words.js';
import { alertCard, ofDay, seriesTable } from '../parts.js';

export async function start(body, fail) {
  const firing = h('section', { 'aria-live': 'polite' });
  const figures = h('dl.figures');
  const choice = { kind: '', q: '', limit: 15 };
  const table = h('div');
  const hint = h('p.hint');
  const kinds = h('div.group', { role: 'group', 'aria-label': w.series });
  const find = h('input', { type: 'search', placeholder: w.filter, 'aria-label': w.filter, oninput: () => { choice.q = find.value; list(); } });
  const more = h('button', { onclick: () => { choice.limit += 35; list(); } }, w.more);

  const showKinds = () => show(kinds, [['', 'all'], ['company', 'company'], ['topic', 'topic'], ['pair', 'pair']].map(([kind, word]) =>
    h('button', { 'aria-pressed': String(choice.kind === kind), 'data-key': `kind ${kind}`, onclick: () => { choice.kind = kind; showKinds(); list(); } }, w[word])));
  const list = seldom(async () => {
    try {
      const found = await get('/series', { kind: choice.kind, q: choice.q, limit: Math.min(500, choice.limit) });
      show(table, found.series.length ? seriesTable(found.series, w.pressure) : h('p.empty', {}, w.noSeries));
      more.hidden = found.total <= choice.limit;
    } catch (error) { fail(error); }
  }, 300);

  async function load() {
    const o = await get('/overview');
    document.title = (o.firing.length ? `(${o.firing.length}) ` : '') + 'Barograph';
    show(firing, o.firing.length
      ? [h('h1', {}, w.firing), o.firing.map((a) => alertCard(a, o.now))]
      : h('h1', {}, w.calm));
    show(figures, figureList(o));
    hint.textContent = w.pressureHint(o.everything.kind);
    list();
  }
  const refresh = seldom(() => load().then(() => fail(null), fail), 2000);

  showKinds();
  await load();
  show(body, firing, h('section', {}, figures),
    h('section.card', {}, h('div.row.apart', {}, h('div', {}, h('h2', {}, w.pressure), hint), h('div.row', {}, kinds, find)), table, more));
  return (name) => {
    refresh();
    if (name === 'readings') setTimeout(refresh, 4000); // the list by pressure is worked out every few seconds
  };
}

function figureList(o) {
  const day = o.everything;
  const used = o.models.filter((m) => m.live || m.readings > 0);
  return [
    figure(w.itemsPerSecond, few(o.items_per_second)),
    figure(w.lag, o.lag === null ? '–' : count(o.lag), o.lag === null ? w.unknownLag : null),
    day.kind === 'volume' ? figure(w.kindNow.volume, count(day.items_24h))
      : figure(w.kindNow[day.kind], percent(day.items_24h ? ofDay(day) / day.items_24h : 0), w.usualShare(percent(day.share_before))),
    h('div', {}, h('dt', {}, w.modelInUse), h('dd.words', {}, used.length
      ? used.slice(0, 3).map((m, i) => [i > 0 && ', ', h('a', { href: '/models', title: m.digest }, foreign(`${m.name} ${m.version}`))]) : w.noModel)),
  ];
}

const figure = (name, value, beside) => h('div', {}, h('dt', {}, name), h('dd', {}, value, beside && [' ', h('span.small', {}, beside)]));
