// Small pictures inside tables.
import { svg } from './dom.js';
import { ofKind, part, w } from './words.js';

// spark draws the items of a day by the half hour, those of the kind among them dark.
export function spark({ items, negative, positive }, kind) {
  const dark = ofKind(kind, { items, negative, positive });
  const [width, height, step] = [144, 28, 3];
  const most = Math.max(4, ...items);
  const bar = (n, i, name) => n > 0 && svg('rect', { class: name, x: i * step, width: step - 0.6, y: height - (n / most) * height, height: (n / most) * height });
  const label = `${w.last24}: ${w.inTime(part(kind, { items: sum(items), negative: sum(negative), positive: sum(positive) }), w.hours('24'))}`;
  return svg('svg', { class: 'spark', width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label },
    svg('title', {}, label),
    items.map((n, i) => bar(n, i, 'items')), dark.map((n, i) => bar(n, i, kind)));
}

export const sum = (list) => list.reduce((a, b) => a + b, 0);

// meter draws a surprise from 0 to 8; from 4 on it is high.
export function meter(surprise) {
  const width = 64;
  return svg('svg', { width, height: 8, viewBox: `0 0 ${width} 8`, 'aria-hidden': 'true' },
    svg('rect', { class: 'track', width, height: 8, rx: 4 }),
    surprise > 0 && svg('rect', { class: surprise >= 4 ? 'level high' : 'level', width: Math.max(8, Math.min(1, surprise / 8) * width), height: 8, rx: 4 }));
}
