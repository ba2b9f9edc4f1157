// The token, typed in once.
import { h, show } from '../dom.js';
import { post } from '../api.js';
import { w } from '../words.js';

export async function start(body) {
  const token = h('input', { type: 'password', autocomplete: 'current-password', required: true, id: 'token' });
  const said = h('p.small', { role: 'alert' });
  show(body, h('div.card.login', {}, h('h1', {}, w.login), h('form', { onsubmit: async (event) => {
    event.preventDefault();
    try {
      await post('/session', { token: token.value });
      location.assign('/');
    } catch (error) { said.textContent = error.message; }
  } }, h('label', {}, w.token, token), h('p.hint', {}, w.tokenHint), h('button.main', { type: 'submit' }, w.login), said)));
  token.focus();
}
