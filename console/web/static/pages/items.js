// Search in the texts of late.
import { clean, h, show } from '../dom.js';
import { get } from '../api.js';
import { at, count, w } from '../words.js';
import { itemRow } from '../item.js';

const fields = ['q', 'entity', 'topic', 'sentiment', 'from', 'to'];

export async function start(body, fail) {
  const asked = new URLSearchParams(location.search);
  const input = (name, word, type) => h('label', {}, word, h('input', { name, type, value: clean(asked.get(name) ?? '') }));
  const mood = h('select', { name: 'sentiment' }, ['', 'negative', 'neutral', 'positive'].map((m) => h('option', { value: m, selected: asked.get('sentiment') === m }, m ? w[m] : w.anySentiment)));
  const form = h('form.form.card', { role: 'search' },
    h('label.wide', {}, w.text, h('input', { name: 'q', type: 'search', value: clean(asked.get('q') ?? '') })),
    input('entity', w.companyField, 'text'), input('topic', w.topicField, 'text'), h('label', {}, w.sentiment, mood),
    input('from', w.from, 'datetime-local'), input('to', w.to, 'datetime-local'),
    h('div.row', {}, h('button.main', { type: 'submit' }, w.search), h('button', { type: 'button', onclick: () => { location.assign('/items'); } }, w.clear)));
  const results = h('section.card', { 'aria-live': 'polite' });
  const more = h('button', { hidden: true, onclick: () => page(next).catch(fail) }, w.more);
  const fresh = h('button', { hidden: true, onclick: () => search() });
  let next = null;
  let waiting = 0;

  const query = () => {
    const q = {};
    for (const [name, value] of new FormData(form)) {
      if (fields.includes(name) && value !== '') q[name] = value;
    }
    return q;
  };
  async function page(after) {
    const q = query();
    for (const name of ['from', 'to']) if (q[name]) q[name] = new Date(q[name]).toISOString();
    const found = await get('/items', { ...q, after, limit: 50 });
    if (!after) results.replaceChildren();
    results.append(...found.items.map((i) => itemRow(i)));
    if (!results.childElementCount) results.append(h('p.empty', {}, w.noTexts, ' ', found.since ? w.indexSince(at(found.since)) : '', found.complete ? '' : w.indexFilling));
    next = found.next;
    more.hidden = next === null;
    fail(null);
  }
  function search() {
    waiting = 0;
    fresh.hidden = true;
    const q = new URLSearchParams(query());
    history.replaceState(null, '', q.size ? `?${q}` : location.pathname);
    return page(null).catch(fail);
  }
  form.addEventListener('submit', (event) => { event.preventDefault(); search(); });

  show(body, h('h1', {}, w.items), form, h('p', {}, fresh), results, more);
  await search();
  return (name, data) => {
    if (name !== 'readings') return;
    waiting += data.items;
    fresh.textContent = w.newItems(count(waiting));
    fresh.hidden = false;
  };
}
