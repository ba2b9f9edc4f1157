// The bundles, how good they are, and which is in use.
import { clean, foreign, h, show } from '../dom.js';
import { get, seldom } from '../api.js';
import { at, count, w } from '../words.js';

export async function start(body, fail) {
  const list = h('div');
  let before = '';
  async function load() {
    const { models } = await get('/models');
    const now = JSON.stringify(models);
    if (now === before || list.querySelector('details[open]')) return;
    before = now;
    show(list, models.length ? models.map(model) : h('p.empty', {}, w.noModels));
  }
  show(body, h('h1', {}, w.models), h('p.lead', {}, w.modelsIntro), list);
  await load();
  return seldom(() => load().then(() => fail(null), fail), 5000);
}

function model(m) {
  const state = m.live ? h('span.badge.good', {}, w.liveHere) : h('span.badge.plain', {}, m.readings > 0 ? w.seen : w.idle);
  return h('section.card', {},
    h('div.row.apart', {}, h('h2', {}, foreign(`${m.name} ${m.version}`)), state),
    h('dl.plain', {},
      h('dt', {}, 'SHA-256'), h('dd', {}, h('code', {}, m.digest.slice(0, 16))),
      h('dt', {}, w.languages), h('dd', {}, foreign(m.languages.join(', ') || w.any)),
      h('dt', {}, w.readingsIn), h('dd', {}, count(m.readings), m.last_seen ? `, ${w.lastSeen} ${at(m.last_seen)}` : '')),
    m.heads.length > 0 && h('div.scroll', {}, h('table', {},
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, w.head), h('th.num', { scope: 'col' }, w.accuracy), h('th.num', { scope: 'col' }, w.f1), h('th.num', { scope: 'col' }, w.ece), h('th', { scope: 'col' }, w.classes))),
      h('tbody', {}, m.heads.map((head) => h('tr', {}, h('td', {}, { sentiment: w.taskSentiment, topic: w.taskTopic }[head.task] ?? foreign(head.task)),
        [head.accuracy, head.macro_f1, head.ece].map((f) => h('td.num', {}, f ? clean(f) : '–')), h('td.small', {}, foreign(head.labels.join(', ')))))))),
    m.card && h('details', {}, h('summary', {}, w.card), h('pre.card', {}, clean(m.card))));
}
