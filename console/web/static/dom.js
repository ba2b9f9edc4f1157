// Elements made by hand: what comes from the stream is only ever text.

// h('a.chip', {href: '/'}, 'text', child) makes an element. Attributes that are null or
// false are left out; those that begin with "on" are listeners.
export function h(name, attributes, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag || 'div');
  if (classes.length) element.className = classes.join(' ');
  return fill(element, attributes, children);
}

const svgSpace = 'http://www.w3.org/2000/svg';

// svg is h for SVG.
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(svgSpace, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

// Marks that turn the direction of text, or that a screen does not show: they can make a
// text read as another.
const treacherous = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

export const clean = (text) => String(text ?? '').replace(treacherous, '');

// foreign is text from outside, on its own: its direction does not touch what is beside it.
export const foreign = (text, attributes) => h('bdi', attributes, clean(text));

// webAddress gives back an address of the web, else null: never javascript: or data:.
export function webAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url : null;
  } catch {
    return null;
  }
}

// outward is a link to elsewhere, with its host named; plain text where there is no address.
export function outward(text, address) {
  const url = webAddress(address);
  if (!url) return foreign(text);
  return [
    h('a', { href: url.href, rel: 'noopener noreferrer', target: '_blank' }, foreign(text)),
    ' ', h('span.host', {}, foreign(url.hostname)),
  ];
}

// show replaces what an element holds, and keeps the focus where its data-key is there again.
export function show(element, ...children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  if (key === undefined) return;
  for (const candidate of element.querySelectorAll('[data-key]')) {
    if (candidate.dataset.key === key) candidate.focus({ preventScroll: true });
  }
}
