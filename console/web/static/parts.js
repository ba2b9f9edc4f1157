// What several pages show.
import { foreign, h } from './dom.js';
import { seriesLink } from './api.js';
import { at, chance, count, few, percent, seconds, sentence, seriesName, span, w } from './words.js';
import { meter, spark } from './spark.js';

export const seriesAnchor = (s, key) => h('a', { href: seriesLink(s), 'data-key': key ?? null }, foreign(seriesName(s)));

export const severityBadge = (a) => (a.status === 'resolved'
  ? h('span.badge.over', {}, w.resolved)
  : h(`span.badge.${a.severity === 'critical' ? 'critical' : 'warning'}`, {}, a.severity === 'critical' ? w.critical : w.warning));

// alertCard is an alert in a list.
export function alertCard(a, now) {
  return h(a.status === 'resolved' ? 'article.alert.over' : 'article.alert', {},
    h('div.row.apart', {},
      h('h3', {}, h('a', { href: `/a/${encodeURIComponent(a.id)}`, 'data-key': `alert ${a.id}` }, foreign(seriesName(a.series)))),
      h('span.small', {}, severityBadge(a), ' ', w.ago(span((new Date(now) - new Date(a.fired_at)) / 1000)))),
    h('p', {}, sentence(a)),
    a.evidence.length > 0 && a.status !== 'resolved' && h('ul', {}, a.evidence.map((e) => h('li', {}, `${percent(e.negative)}  `, foreign(e.title)))));
}

// seriesTable is series by pressure.
export function seriesTable(rows, caption) {
  const head = h('tr', {}, h('th', { scope: 'col' }, w.series), h('th', { scope: 'col' }, w.pressureColumn ?? w.chance), h('th.optional', { scope: 'col' }, w.now),
    h('th', { scope: 'col' }, w.last24), h('th.num.optional', { scope: 'col' }, w.volume), h('th.num', { scope: 'col' }, w.share));
  return h('div.scroll', {}, h('table', {}, h('caption.skip', {}, caption), h('thead', {}, head), h('tbody', {}, rows.map(seriesRow))));
}

function seriesRow(row) {
  const unusual = row.window !== '0s' && row.surprise > 0;
  const words = unusual ? chance(row.surprise) : w.nothingUnusual;
  return h('tr', {},
    h('td.name', {}, seriesAnchor(row.series, `series ${row.series.entity}|${row.series.topic}`), row.alert ? [' ', h('a.badge', { href: `/a/${encodeURIComponent(row.alert)}` }, w.firingOne)] : null),
    h('td', {}, h('div.meter', {}, meter(row.surprise), h(row.surprise >= 4 ? 'span.small.high' : 'span.small', {}, words))),
    h('td.optional', {}, unusual ? h('span.small', {}, `${w.of(count(row.negative), count(row.items), span(seconds(row.window)))}, ${w.expected(few(row.expected))}`) : h('span.small', {}, '–')),
    h('td', {}, spark(row.spark)),
    h('td.num.optional', {}, count(row.items_24h)),
    h('td.num', {}, row.items_24h ? percent(row.negative_24h / row.items_24h) : '–'));
}

// until says when something ends.
export const until = (time) => at(time);
