// A text as it is listed, with what one can do about it.
import { clean, foreign, h, outward } from './dom.js';
import { get, post, seriesLink } from './api.js';
import { at, percent, w } from './words.js';

const shortTitle = 300;

// itemRow shows a text of the API's items.
// alert is the ID of the alert whose evidence it is, if any.
export function itemRow(item, alert = '') {
  const title = clean(item.title || item.text);
  const short = [...title].length > shortTitle ? [...title].slice(0, shortTitle).join('') + '…' : title;
  const more = (item.text && clean(item.text) !== title) || short !== title;
  const place = h('div', {});
  const open = h('button.quiet', { 'aria-expanded': 'false', onclick: async () => {
    const opened = open.getAttribute('aria-expanded') === 'true';
    open.setAttribute('aria-expanded', String(!opened));
    place.replaceChildren(...(opened ? [] : [await correction(item, alert, () => { open.setAttribute('aria-expanded', 'false'); open.focus(); })]));
    if (!opened) place.querySelector('input, select')?.focus();
  } }, w.correct);
  return h('article.item', { 'data-id': item.id },
    h('h3', { dir: 'auto' }, outward(short, item.url)),
    h('div.meta', {},
      h(`span.mood.${item.shown}`, {}, `${w[item.shown]} ${percent(item.sentiment[item.shown])}`),
      h('time', { datetime: item.published_at }, at(item.published_at)),
      foreign(item.source),
      item.entities.map((e) => h('a.chip', { href: seriesLink({ entity: e }) }, foreign(e))),
      item.topic.label && h('a', { href: seriesLink({ topic: item.topic.label }) }, foreign(item.topic.label)),
      item.duplicate_of && h('span', {}, w.copy),
      open),
    more && h('details', {}, h('summary', {}, w.showText), h('p', { dir: 'auto' }, foreign(item.text || title))),
    place);
}

// correction is the form that says what is wrong with a reading.
async function correction(item, alert, close) {
  const topics = await topicsOf(item).catch(() => []);
  const name = `mood-${Math.random()}`;
  const moods = ['negative', 'neutral', 'positive'].map((mood) => h('label', {}, h('input', { type: 'radio', name, value: mood }), ' ', w[mood]));
  const topic = h('select', { 'aria-label': w.rightTopic }, h('option', { value: '' }, '–'), topics.map((t) => h('option', { value: t }, clean(t))));
  const apart = item.entities.map((e) => h('label', {}, h('input', { type: 'checkbox', value: e }), ' ', w.notAbout(clean(e))));
  const said = h('p.small', { role: 'status' });
  const form = h('form.correct', { onsubmit: async (event) => {
    event.preventDefault();
    const labels = [];
    const mood = form.querySelector('input[type=radio]:checked');
    if (mood) labels.push({ task: 'sentiment', label: mood.value, entity: item.entities.length === 1 ? item.entities[0] : '' });
    if (topic.value) labels.push({ task: 'topic', label: topic.value });
    for (const box of form.querySelectorAll('input[type=checkbox]:checked')) labels.push({ task: 'entity', label: 'not_about', entity: box.value });
    try {
      for (const label of labels) await post('/labels', { id: item.id, source: item.source, alert, ...label });
      if (labels.length) form.replaceChildren(h('p.small', { role: 'status' }, w.thanks));
    } catch (error) {
      said.textContent = error.message;
    }
  } },
  h('div.row', { role: 'radiogroup', 'aria-label': w.rightSentiment }, h('span.small', {}, w.rightSentiment), moods),
  topics.length > 0 && h('div.row', {}, h('span.small', {}, w.rightTopic), topic),
  apart.length > 0 && h('div.row', {}, apart),
  h('div.row', {}, h('button.main', { type: 'submit' }, w.save),
    h('button', { type: 'button', onclick: () => { form.remove(); close(); } }, w.cancel), said));
  return form;
}

let models = null;

// topicsOf lists what the item's model tells apart, or, where that knows only of sentiment, the one that said the topic.
async function topicsOf(item) {
  models ??= get('/models');
  const topics = (m) => m.heads.find((head) => head.task === 'topic')?.labels;
  const able = (await models).models.filter(topics);
  const known = able.find((m) => m.digest === item.model.digest) ?? able.find((m) => topics(m).includes(item.topic?.label));
  return known ? topics(known) : [];
}
