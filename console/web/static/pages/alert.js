// An alert: why it was told, what happened after, and how to mute it.
import { clean, foreign, h, outward, show } from '../dom.js';
import { get, post, remove, seldom, seriesLink, seriesPath } from '../api.js';
import { at, chance, count, counted, few, part, percent, seconds, sentence, seriesName, span, w } from '../words.js';
import { Course, numbers } from '../chart.js';
import { itemRow } from '../item.js';
import { alertCard, severityBadge } from '../parts.js';

export async function start(body, fail) {
  const id = decodeURIComponent(location.pathname.split('/')[2]);
  const head = h('header');
  const figures = h('dl.figures');
  const evidence = h('section.card');
  const chartPlace = h('section.card');
  const after = h('p', { 'aria-live': 'polite' });
  const table = h('div');
  const story = h('section.card');
  const mute = h('section.card');
  const others = h('section');
  const texts = h('section.card', { 'aria-live': 'polite', hidden: true });
  let alert = null;

  const pick = async (from, to) => {
    try {
      const [a, b] = [from, to].map((t) => new Date(t * 1000).toISOString());
      const found = await get('/items', { ...alert.series, from: a, to: b, limit: 100 });
      texts.hidden = false;
      show(texts, h('h2', {}, w.textsBetween(at(a), at(b))), found.items.length ? found.items.map((i) => itemRow(i)) : h('p.empty', {}, w.noTexts));
      texts.scrollIntoView({ behavior: 'smooth', block: 'nearest' });
    } catch (error) { fail(error); }
  };
  const course = new Course(chartPlace, pick);
  chartPlace.prepend(h('h2', {}, w.after), after);
  chartPlace.append(h('p.hint', {}, w.chartHint), h('details', {}, h('summary', {}, w.numbers), table));

  const change = async (work) => {
    try { await work(); await load(); fail(null); } catch (error) { fail(error); }
  };

  async function load() {
    const a = await get(`/alerts/${encodeURIComponent(id)}`);
    alert = a.alert;
    document.title = `${seriesName(alert.series)} – Barograph`;
    show(head, heading(alert, a.now));
    show(figures, decision(alert));
    if (!evidence.querySelector('.correct, details[open]')) show(evidence, h('h2', {}, w.evidence), await Promise.all(alert.evidence.map((e) => text(e, alert))), h('p.small', {}, w.readBy(`${alert.model.name} ${alert.model.version}`)));
    show(story, h('h2', {}, w.history), told(a.history));
    show(mute, h('h2', {}, w.deeds), deeds(alert), muting(alert, a.silences, change));
    show(others, a.others.length > 0 && [h('h2', {}, w.others), a.others.map((o) => alertCard(o, a.now))]);
    await around(a.now);
  }

  // around draws the hours before and after, and says what happened since it fired.
  async function around(now) {
    const fired = new Date(alert.fired_at);
    const end = alert.resolved_at ? new Date(alert.resolved_at) : new Date(now);
    const from = new Date(new Date(alert.started_at).getTime() - 6 * 3600e3);
    const to = new Date(Math.min(new Date(now), Math.max(end.getTime() + 6 * 3600e3, from.getTime() + 12 * 3600e3)));
    const s = await get(`/series/${seriesPath(alert.series)}`, { from: from.toISOString(), to: to.toISOString(), kind: alert.kind || 'negative' });
    const step = seconds(s.step);
    course.draw({ kind: s.kind, steps: s.steps, step, from: s.from, to: s.to, spikes: s.spikes.filter((x) => x.id === alert.id) });
    const since = s.steps.filter((x) => new Date(x.start) >= fired - step * 1000);
    const total = (key) => since.reduce((sum, x) => sum + x[key], 0);
    const words = part(s.kind, { negative: total('negative'), positive: total('positive'), items: total('items') });
    const lasted = span((end - fired) / 1000);
    after.textContent = alert.resolved_at ? w.afterResolved(lasted, words) : w.afterFiring(lasted, words);
    show(table, numbers(s.kind, s.steps, step, pick));
  }

  await load();
  show(body, head, h('section', {}, h('h2', {}, w.numbersTitle), figures), evidence, chartPlace, texts, mute, story, others);
  const refresh = seldom(() => load().then(() => fail(null), fail), 3000);
  return refresh;
}

// text is a piece of evidence: the whole item while the index has it, as it was read toward the
// alert's company. A topic's and everything's alert counts the reading of the text as a whole: it has
// no company where the text was read for each of several beside.
async function text(e, a) {
  const { items } = await get('/items', { id: e.id, source: e.source, entity: a.series.entity, limit: 100 });
  const item = (!a.series.entity && items.find((i) => i.entities.length === 0)) || items[0];
  if (item) return itemRow(item, a.status === 'firing' ? a.id : '');
  const mood = a.kind === 'positive' ? 'positive' : 'negative';
  return h('article.item', {}, h('h3', {}, outward(e.title, e.url), ' ',
    a.kind !== 'volume' && h(`span.mood.${mood}`, {}, percent(e[mood] ?? 0))), e.source && h('div.meta', {}, foreign(e.source)));
}

function heading(a, now) {
  const copy = h('button.quiet', { onclick: async () => {
    await navigator.clipboard.writeText(location.href);
    copy.textContent = w.copied;
  } }, w.permalink);
  return [
    h('div.row.apart', {}, h('h1', {}, h('a', { href: seriesLink(a.series) }, foreign(seriesName(a.series)))), h('span', {}, severityBadge(a), ' ', a.status === 'firing' && h('span.badge.plain', {}, w.firingOne))),
    h('p', {}, sentence(a)),
    h('p.small', {}, `${w.began} ${at(a.started_at)} · ${w.fired} ${at(a.fired_at)} (${w.ago(span((new Date(now) - new Date(a.fired_at)) / 1000))})`,
      a.resolved_at ? ` · ${w.resolved} ${at(a.resolved_at)}` : '', ' ', copy),
  ];
}

// decision says the numbers one by one.
function decision(a) {
  const cell = (value, name, beside) => h('div', {}, h('dt', {}, name), h('dd', {}, value, beside && h('div.small', {}, beside)));
  return [
    cell(count(counted(a)), { positive: w.nPositive, volume: w.nVolume0 }[a.kind] ?? w.nNegative, w.nOf(count(a.items), span(seconds(a.window)))),
    cell(few(a.expected), w.nExpected, a.volume_factor >= 1.5 ? `${few(a.volume_factor)} ${w.nVolume}` : null),
    a.kind !== 'volume' && cell(percent(a.share), w.nShare, w.nBefore(percent(a.share_before))),
    cell(count(a.sources), w.nSources, w.nCopies(count(a.copies))),
    h('div', {}, h('dt', {}, w.nChance), h('dd.words', {}, chance(a.surprise))),
  ];
}

function told(history) {
  return h('div.scroll', {}, h('table', {}, h('thead', {}, h('tr', {}, [w.time, w.status, w.severity].map((c) => h('th', { scope: 'col' }, c)), [w.itemsColumn, w.expectedColumn, w.chance].map((c) => h('th.num', { scope: 'col' }, c)))),
    h('tbody', {}, history.map((s) => h('tr', {}, h('td', {}, at(s.at)), h('td', {}, s.status === 'firing' ? w.firingOne : w.resolved), h('td', {}, w[s.severity] ?? s.severity),
      h('td.num', {}, `${count(s.count)} / ${count(s.items)}`), h('td.num', {}, few(s.expected)), h('td.num', {}, chance(s.surprise)))))));
}

// deeds lists what people did about the alert.
function deeds(a) {
  return (a.notes ?? []).map((n) => h('p.small', {}, `${at(n.at)} · `,
    foreign({ acknowledged: w.acknowledged(clean(n.by)), muted: w.noteMuted(clean(n.by)) }[n.did] ?? w.corrected(clean(n.by), clean(n.item)))));
}

// muting offers what can be done: about the alert while it is on, about its series after.
function muting(a, silences, change) {
  const on = a.status === 'firing';
  const path = `/alerts/${encodeURIComponent(a.id)}`;
  const series = { entity: a.series.entity || (a.series.topic ? '' : '*'), topic: a.series.topic };
  const mute = (length) => (on ? post(`${path}/mute`, { for: length }) : post('/silences', { ...series, for: length }));
  const times = [['1h', w.muteFor(w.hours('1'))], ['24h', w.muteFor(w.hours('24'))], ...(on ? [['resolved', w.muteResolved]] : [['168h', w.muteFor(w.days('7'))]])];
  const seen = (a.notes ?? []).some((n) => n.did === 'acknowledged');
  return [
    silences.map((m) => h('p', {}, foreign(m.alert ? w.mutedResolved(clean(m.author) || '?') : w.muted(at(m.until), clean(m.author) || '?')), ' ',
      h('button', { onclick: () => change(() => remove(`/silences/${encodeURIComponent(m.id)}`)) }, w.unmute))),
    h('div.group', {},
      on && !seen && h('button.main', { 'data-key': 'acknowledge', onclick: () => change(() => post(`${path}/acknowledge`, {})) }, w.acknowledge),
      times.map(([length, words]) => h('button', { 'data-key': `mute ${length}`, onclick: () => change(() => mute(length)) }, words))),
  ];
}
