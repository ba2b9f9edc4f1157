// What several pages show.
import { foreign, h } from './dom.js';
import { seriesLink } from './api.js';
import { chance, count, few, ofKind, part, percent, seconds, sentence, seriesName, span, w } from './words.js';
import { meter, spark } from './spark.js';

const seriesAnchor = (s, part, key) => h('a', { href: seriesLink(s), 'data-key': key },
  foreign(seriesName({ entity: s.entity === part.entity ? '' : s.entity, topic: s.topic === part.topic ? '' : s.topic })));

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
    a.evidence.length > 0 && a.status !== 'resolved' && h('ul', {}, a.evidence.map((e) => h('li', {}, a.kind === 'volume' ? '' : `${percent(a.kind === 'positive' ? e.positive : e.negative)}  `, foreign(e.title)))));
}

// seriesTable is series by pressure.
// common is what the rows have in common and need not repeat.
export function seriesTable(rows, caption, common = {}) {
  const kind = rows[0]?.kind; // the same of all
  const head = h('tr', { role: 'row' }, h('th', { scope: 'col' }, w.series), h('th', { scope: 'col' }, w.chance), h('th.optional', { scope: 'col' }, w.now),
    h('th', { scope: 'col' }, w.last24), h('th.num.optional', { scope: 'col' }, w.volume), kind !== 'volume' && h('th.num', { scope: 'col' }, w.shareOf[kind]));
  return h('table.series', { role: 'table' }, h('caption.skip', {}, caption), h('thead', {}, head), h('tbody', {}, rows.map((row) => seriesRow(row, common))));
}

// ofDay is how many items of the last day are of the row's kind.
export const ofDay = (row) => ofKind(row.kind, { negative: row.negative_24h, positive: row.positive_24h, items: row.items_24h });

function seriesRow(row, common) {
  const unusual = row.window !== '0s' && row.surprise > 0;
  const words = unusual ? chance(row.surprise) : row.too_few ? w.tooFew : w.nothingUnusual;
  return h('tr', { role: 'row' },
    h('td.name', { role: 'cell' }, seriesAnchor(row.series, common, `series ${row.series.entity}|${row.series.topic}`), row.alert ? [' ', h('a.badge', { href: `/a/${encodeURIComponent(row.alert)}` }, w.firingOne)] : null),
    h('td', { role: 'cell' }, h('div.meter', {}, meter(row.surprise), h(row.surprise >= 4 ? 'span.small.high' : 'span.small', {}, words))),
    h('td.optional', { role: 'cell' }, unusual ? h('span.small', {}, w.list(w.inTime(part(row.kind, row), span(seconds(row.window))), w.expected(few(row.expected)))) : h('span.small', {}, '–')),
    h('td', { role: 'cell' }, spark(row.spark, row.kind)),
    h('td.num.optional', { role: 'cell' }, count(row.items_24h)),
    row.kind !== 'volume' && h('td.num', { role: 'cell' }, row.items_24h ? percent(ofDay(row) / row.items_24h) : '–'));
}
