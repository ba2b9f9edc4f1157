// What the pages ask of the server.

// Problem is an answer that says why not (application/problem+json).
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail ? `${title}: ${detail}` : title);
    this.status = status;
  }
}

async function ask(method, path, body) {
  const response = await fetch('/api/v1' + path, {
    method, credentials: 'same-origin', cache: 'no-store',
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.ok) return response.status === 204 ? null : response.json();
  const said = await response.json().catch(() => ({}));
  if (response.status === 401 && document.body.dataset.page !== 'login') location.assign('/login');
  throw new Problem(response.status, said.title ?? response.statusText, said.detail);
}

export const get = (path, query) => {
  const q = new URLSearchParams(Object.entries(query ?? {}).filter(([, v]) => v !== '' && v !== null && v !== undefined));
  return ask('GET', path + (q.size ? '?' + q : ''));
};
export const post = (path, body) => ask('POST', path, body);
export const remove = (path) => ask('DELETE', path);

// seriesPath names a series in paths; "-" is any.
export const seriesPath = (s) => `${encodeURIComponent(s.entity || '-')}/${encodeURIComponent(s.topic || '-')}`;

// seriesLink is the series' page.
export const seriesLink = (s) => `/s/${encodeURIComponent(s.entity || '-')}` + (s.topic ? '/' + encodeURIComponent(s.topic) : '');

// watch calls back with each event: (name, data). It says "again" after a lost connection,
// when events may have been missed, and tells onState whether it is connected.
export function watch(onEvent, onState) {
  const stream = new EventSource('/api/v1/events');
  let lost = false;
  stream.addEventListener('open', () => {
    onState(true);
    if (lost) onEvent('again', {});
    lost = false;
  });
  stream.addEventListener('error', () => { lost = true; onState(false); });
  for (const name of ['readings', 'alert', 'silences', 'labels']) {
    stream.addEventListener(name, (event) => onEvent(name, JSON.parse(event.data)));
  }
  addEventListener('pagehide', () => stream.close());
}

// seldom gives a function that runs load soon, but never twice at once, never more often
// than every gap milliseconds, and only while the page is seen.
export function seldom(load, gap) {
  let timer = null;
  let running = false;
  let due = false;
  let last = 0;
  const run = async () => {
    timer = null;
    if (document.hidden) { due = true; return; }
    running = true;
    due = false;
    try { await load(); } finally { running = false; last = Date.now(); }
    if (due) soon();
  };
  const soon = () => {
    if (running) due = true;
    else if (timer === null) timer = setTimeout(run, Math.max(0, last + gap - Date.now()));
  };
  document.addEventListener('visibilitychange', () => { if (!document.hidden && due) soon(); });
  return soon;
}
