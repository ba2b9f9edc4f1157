// The frame of every page; the page itself is a module of pages/.
import { h, show } from './dom.js';
import { get, remove, watch } from './api.js';
import { lang, w } from './words.js';

const page = document.body.dataset.page;
const main = document.getElementById('main');

function navigation() {
  const places = [['overview', '/'], ['items', '/items'], ['labels', '/labels'], ['models', '/models']];
  show(document.getElementById('nav'), h('ul', {}, places.map(([name, href]) =>
    h('li', {}, h('a', { href, 'aria-current': name === page ? 'page' : null }, w[name])))));
}

function tools(session) {
  const state = h('span.state.off', { role: 'status' }, w.away);
  const language = h('button.quiet', { title: w.languageHint, lang: lang === 'zh' ? 'en' : 'zh-CN', onclick: () => {
    document.cookie = `barograph_language=${lang === 'zh' ? 'en' : 'zh-CN'}; path=/; max-age=31536000; samesite=strict`;
    location.reload();
  } }, w.language);
  const theme = h('button.quiet', { title: w.theme, 'aria-label': w.theme, onclick: switchTheme }, '◐');
  const out = session.logged_in && session.token
    ? h('button.quiet', { onclick: async () => { await remove('/session'); location.assign('/login'); } }, w.logout) : null;
  show(document.getElementById('tools'), page === 'login' ? null : state, language, theme, out);
  return (on) => {
    state.textContent = on ? w.live : w.away;
    state.classList.toggle('off', !on);
  };
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  try { localStorage.setItem('barograph_theme', root.dataset.theme); } catch { /* then only for this page */ }
  dispatchEvent(new Event('barograph-theme'));
}

// fail shows what went wrong above the page, until something works again.
function fail(error) {
  let notice = document.getElementById('trouble');
  if (!error) { notice?.remove(); return; }
  if (!notice) {
    notice = h('p.notice', { id: 'trouble', role: 'alert' });
    main.prepend(notice);
  }
  notice.textContent = `${w.failed}: ${error.message}`;
}

async function begin() {
  document.querySelector('.skip').textContent = w.skip;
  navigation();
  const session = await get('/session');
  const connected = tools(session);
  show(document.getElementById('foot'), h('a', { href: '/api/v1/openapi.json' }, w.api));
  const body = h('div', {}, h('p.empty', {}, w.loading));
  main.append(body);
  const { start } = await import(`./pages/${page}.js`);
  const onEvent = await start(body, fail);
  if (page === 'login') return;
  watch((name, data) => onEvent?.(name, data), connected);
  setInterval(() => onEvent?.('tick', {}), 30_000); // ages and windows move on without news, too
}

begin().catch(fail);
