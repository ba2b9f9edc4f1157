// What people corrected.
import { foreign, h, show } from '../dom.js';
import { get, seldom } from '../api.js';
import { at, w } from '../words.js';

const tasks = { sentiment: w.taskSentiment, topic: w.taskTopic, entity: w.taskEntity };
const word = (label) => (label === 'not_about' ? w.notAboutLabel : foreign(w[label] && ['negative', 'neutral', 'positive'].includes(label) ? w[label] : label));

export async function start(body, fail) {
  const list = h('section.card', { 'aria-live': 'polite' });
  async function load() {
    const { labels } = await get('/labels');
    show(list, labels.length === 0 ? h('p.empty', {}, w.noLabels) : h('div.scroll', {}, h('table', {},
      h('thead', {}, h('tr', {}, [w.time, w.text, w.task, w.was, w.is, w.who].map((c) => h('th', { scope: 'col' }, c)))),
      h('tbody', {}, labels.map((l) => h('tr', {},
        h('td', {}, at(l.at)), h('td', { dir: 'auto' }, foreign([...l.text].slice(0, 160).join(''))), h('td', {}, tasks[l.task] ?? foreign(l.task)),
        h('td', {}, word(l.was)), h('td', {}, h('strong', {}, word(l.label))), h('td', {}, foreign(l.author))))))));
  }
  show(body, h('h1', {}, w.labels), h('p.lead', {}, w.labelsIntro), list);
  await load();
  const refresh = seldom(() => load().then(() => fail(null), fail), 1000);
  return (name) => { if (name === 'labels' || name === 'again') refresh(); };
}
