// The words of the pages, and how numbers and times read, in the page's language.

const english = {
  skip: 'Skip to the content', overview: 'Overview', items: 'Items', labels: 'Labels', models: 'Models', login: 'Log in', logout: 'Log out',
  theme: 'Switch between light and dark', language: '中文', languageHint: '切换到中文', live: 'live', away: 'not connected',
  everything: 'Everything', calm: 'Nothing is firing', firing: 'Firing now',
  itemsPerSecond: 'items a second', lag: 'waiting in Kafka', unknownLag: 'not read here', kindNow: { negative: 'negative, 24 h', positive: 'positive, 24 h', volume: 'items, 24 h' }, usualShare: (s) => `${s} is usual`,
  modelInUse: 'model in use', noModel: 'no reading yet', pressure: 'Series by pressure', pressureHint: (kind) => `How unlikely the present run of ${kind === 'volume' ? '' : `${kind} `}texts is, given the series’ own past.`,
  all: 'All', company: 'Companies', topic: 'Topics', pair: 'Company and topic', filter: 'Find a series', series: 'Series', now: 'Now', last24: 'Last 24 hours',
  volume: 'Items, 24 h', chance: 'By chance', shareOf: { negative: 'Negative', positive: 'Positive' }, noSeries: 'No series had an item in the last 24 hours.', more: 'Show more',
  once: (t) => `once in ${t}`, often: 'about once a day', never: 'less than once in a million days', nothingUnusual: 'as usual', tooFew: 'too few to tell',
  days: (n) => `${n} days`, hours: (n) => `${n} h`, minutes: (n) => `${n} min`,
  part: (kind, n, items) => (kind === 'volume' ? `${n} items` : `${n} ${kind} of ${items}`), inTime: (part, window) => `${part} in ${window}`, expected: (n) => `${n} expected`, list: (a, b) => `${a}, ${b}`,
  sentence: (a) => `${a.kind === 'volume' ? `${a.items} items` : `${a.count} ${a.kind} ${a.count === '1' ? 'item' : 'items'} of ${a.items}`} in ${a.window}, ${a.expected} expected; by chance ${a.chance}.`,
  atVolume: (n) => ` The volume is ${n} times the usual.`, warning: 'Warning', critical: 'Critical', resolved: 'Resolved', firingOne: 'Firing',
  range: 'Stretch', r1h: '1 h', r6h: '6 h', r24h: '24 h', r7d: '7 d', kept: (t) => `Counts are kept for ${t} (trend.history): there is nothing before.`,
  counted: { negative: 'Negative items', positive: 'Positive items', volume: 'Items, beside what is expected' }, volumeTitle: 'All items', band: 'expected 9 times of 10', above: 'more than expected', within: 'as expected', usual: 'usual', spike: 'alert',
  chartHint: 'Drag over a stretch to read its texts. With the keyboard: arrows move, Shift and arrows select, Enter reads.',
  step: (t, part, low, high) => `${t}: ${part}; ${low} to ${high} expected`, numbers: 'The numbers as a table', time: 'Time', copies: 'Copies', expectedColumn: 'Expected', itemsColumn: 'Items', usualColumn: 'Usual items',
  spikes: 'Alerts in this stretch', topicsOf: 'By topic', companiesOf: 'By company', texts: 'Texts', textsBetween: (a, b) => `Texts from ${a} to ${b}`, whole: 'the whole stretch', readTexts: 'read',
  noTexts: 'No texts in the index for this.', indexSince: (t) => `The index goes back to ${t}.`, indexFilling: 'The index is still being filled.',
  evidence: 'Evidence', numbersTitle: 'The decision in numbers', after: 'What happened after', history: 'What was said', others: 'Earlier alerts of this series', mute: 'Mute this series', muteFor: (t) => `Mute for ${t}`, muteResolved: 'Mute until resolved', mutedResolved: (who) => `Muted until resolved by ${who}`, acknowledge: 'Acknowledge', acknowledged: (who) => `Acknowledged by ${who}`, noteMuted: (who) => `Muted by ${who}`, corrected: (who, item) => `${item} corrected by ${who}`, deeds: 'What people did', muted: (t, who) => `Muted until ${t} by ${who}`, unmute: 'End the mute', permalink: 'Copy the link', copied: 'Copied',
  nNegative: 'negative items', nPositive: 'positive items', nVolume0: 'items', nOf: (n, w) => `of ${n} in ${w}`, nExpected: 'expected', nShare: 'share of the texts', nBefore: (s) => `${s} before`, nSources: 'sources', nCopies: (n) => ({ 0: 'no copies', 1: 'one copy besides' })[n] ?? `${n} copies besides`, nChance: 'by chance', nVolume: 'times the usual volume',
  afterFiring: (t, part) => `Still on after ${t}. Since it fired: ${part}.`, afterResolved: (t, part) => `Resolved after ${t}. From firing to the end of the chart: ${part}.`,
  began: 'Began', fired: 'Fired', severity: 'Severity', surprise: 'Surprise', status: 'Status', readBy: (m) => `Read by ${m}`,
  search: 'Search', text: 'Text', sentiment: 'Sentiment', anySentiment: 'any', negative: 'negative', neutral: 'neutral', positive: 'positive', from: 'From', to: 'To', clear: 'Clear',
  companyField: 'Company', topicField: 'Topic', newItems: (n) => `${n} new: show`, copy: 'copy', showText: 'Text', correct: 'Correct', rightSentiment: 'The sentiment is', rightTopic: 'The topic is', notAbout: (e) => `Not about ${e}`, save: 'Save', cancel: 'Cancel', thanks: 'Noted. It is on the Labels page and goes into the next training.',
  labelsIntro: 'What people corrected, the latest first. Items are corrected where they are shown: on Items, a series or an alert.', noLabels: 'Nothing was corrected yet.', was: 'The model said', is: 'It is', who: 'Who', task: 'Task', taskSentiment: 'sentiment', taskTopic: 'topic', taskEntity: 'company', notAboutLabel: 'not about it',
  modelsIntro: 'The bundles that this process is configured with, and others whose readings came in.', liveHere: 'live here', seen: 'seen in readings', idle: 'not in use', readingsIn: 'readings in the index', languages: 'Languages', accuracy: 'Accuracy', f1: 'Macro-F1', ece: 'Calibration error', classes: 'Classes', card: 'Model card', any: 'any', head: 'Reads', lastSeen: 'last seen', noModels: 'No bundle is configured here and no reading has come in.',
  token: 'Token', tokenHint: 'The console’s token, from whoever runs Barograph.', failed: 'That did not work', loading: 'Loading …', ago: (t) => `${t} ago`,
  api: 'API',
};

const chinese = {
  skip: '跳到正文', overview: '总览', items: '文本', labels: '标注', models: '模型', login: '登录', logout: '退出',
  theme: '切换明暗', language: 'English', languageHint: 'Switch to English', live: '实时', away: '未连接',
  everything: '全部', calm: '目前没有警报', firing: '当前警报',
  itemsPerSecond: '条/秒', lag: 'Kafka 中待读', unknownLag: '本进程不读取', kindNow: { negative: '负面占比，24 小时', positive: '正面占比，24 小时', volume: '条数，24 小时' }, usualShare: (s) => `通常 ${s}`,
  modelInUse: '在用模型', noModel: '尚无判读', pressure: '按压力排列的序列', pressureHint: (kind) => `按该序列自身的历史，目前这一串${{ positive: '正面', volume: '' }[kind] ?? '负面'}文本有多罕见。`,
  all: '全部', company: '公司', topic: '主题', pair: '公司与主题', filter: '查找序列', series: '序列', now: '当前', last24: '过去 24 小时',
  volume: '条数，24 小时', chance: '偶然概率', shareOf: { negative: '负面', positive: '正面' }, noSeries: '过去 24 小时没有文本。', more: '显示更多',
  once: (t) => `${t}一遇`, often: '约每天一次', never: '百万天不到一次', nothingUnusual: '正常', tooFew: '太少，无法判断',
  days: (n) => `${n} 天`, hours: (n) => `${n} 小时`, minutes: (n) => `${n} 分钟`,
  part: (kind, n, items) => (kind === 'volume' ? `${n} 条` : `${items} 条中 ${n} 条${kind === 'positive' ? '正面' : '负面'}`), inTime: (part, window) => `${window}内 ${part}`, expected: (n) => `预期 ${n} 条`, list: (a, b) => `${a}，${b}`,
  sentence: (a) => `${a.window}内${a.kind === 'volume' ? `有 ${a.items} 条文本` : ` ${a.items} 条文本中有 ${a.count} 条${a.kind === 'positive' ? '正面' : '负面'}`}，预期 ${a.expected} 条；偶然出现的概率：${a.chance}。`,
  atVolume: (n) => `总量为平时的 ${n} 倍。`, warning: '警告', critical: '严重', resolved: '已解除', firingOne: '进行中',
  range: '时段', r1h: '1 小时', r6h: '6 小时', r24h: '24 小时', r7d: '7 天', kept: (t) => `计数保留 ${t}（trend.history），更早的没有。`,
  counted: { negative: '负面条数', positive: '正面条数', volume: '条数与预期' }, volumeTitle: '全部条数', band: '十次中九次的预期范围', above: '超出预期', within: '预期之内', usual: '平时', spike: '警报',
  chartHint: '拖选一段时间，查看其中的文本。键盘：方向键移动，Shift 加方向键选择，回车查看。',
  step: (t, part, low, high) => `${t}：${part}；预期 ${low} 至 ${high} 条`, numbers: '以表格显示数字', time: '时间', copies: '转载', expectedColumn: '预期', itemsColumn: '条数', usualColumn: '平时条数',
  spikes: '此时段的警报', topicsOf: '按主题', companiesOf: '按公司', texts: '文本', textsBetween: (a, b) => `${a} 至 ${b} 的文本`, whole: '整个时段', readTexts: '查看',
  noTexts: '索引中没有相应的文本。', indexSince: (t) => `索引始于 ${t}。`, indexFilling: '索引仍在载入。',
  evidence: '证据', numbersTitle: '判定所依据的数字', after: '此后的发展', history: '通知记录', others: '该序列的其他警报', mute: '静音该序列', muteFor: (t) => `静音 ${t}`, muteResolved: '静音直至解除', mutedResolved: (who) => `${who} 已静音，直至解除`, acknowledge: '确认', acknowledged: (who) => `${who} 已确认`, noteMuted: (who) => `${who} 已静音`, corrected: (who, item) => `${who} 更正了 ${item}`, deeds: '处理记录', muted: (t, who) => `${who} 已静音至 ${t}`, unmute: '解除静音', permalink: '复制链接', copied: '已复制',
  nNegative: '负面条数', nPositive: '正面条数', nVolume0: '条数', nOf: (n, w) => `${w}内共 ${n} 条`, nExpected: '预期条数', nShare: '占比', nBefore: (s) => `此前 ${s}`, nSources: '来源', nCopies: (n) => n === '0' ? '无转载' : `另有 ${n} 条转载`, nChance: '偶然概率', nVolume: '倍于平时的总量',
  afterFiring: (t, part) => `已持续 ${t}。发出警报以来：${part}。`, afterResolved: (t, part) => `${t}后解除。自警报至图表末端：${part}。`,
  began: '开始', fired: '发出', severity: '级别', surprise: '意外度', status: '状态', readBy: (m) => `由 ${m} 判读`,
  search: '搜索', text: '文字', sentiment: '情绪', anySentiment: '不限', negative: '负面', neutral: '中性', positive: '正面', from: '从', to: '到', clear: '清除',
  companyField: '公司', topicField: '主题', newItems: (n) => `${n} 条新文本：显示`, copy: '转载', showText: '正文', correct: '更正', rightSentiment: '情绪应为', rightTopic: '主题应为', notAbout: (e) => `与 ${e} 无关`, save: '保存', cancel: '取消', thanks: '已记录。可在“标注”页查看，并将用于下次训练。',
  labelsIntro: '人工更正，最新的在前。在“文本”、序列或警报页面上即可更正。', noLabels: '尚无更正。', was: '模型判为', is: '应为', who: '更正人', task: '任务', taskSentiment: '情绪', taskTopic: '主题', taskEntity: '公司', notAboutLabel: '与其无关',
  modelsIntro: '本进程配置的模型包，以及判读中出现的其他模型。', liveHere: '本进程在用', seen: '见于判读', idle: '未使用', readingsIn: '条判读在索引中', languages: '语言', accuracy: '准确率', f1: '宏 F1', ece: '校准误差', classes: '类别', card: '模型说明', any: '不限', head: '判读', lastSeen: '最近', noModels: '未配置模型包，也没有判读。',
  token: '令牌', tokenHint: '控制台令牌，请向 Barograph 的管理者索取。', failed: '未能完成', loading: '载入中……', ago: (t) => `${t}前`,
  api: 'API',
};

export const lang = document.documentElement.lang.startsWith('zh') ? 'zh' : 'en';
export const w = lang === 'zh' ? chinese : english;

const locale = lang === 'zh' ? 'zh-CN' : 'en-GB';
const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const percentOf = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 });
const dayTime = new Intl.DateTimeFormat(locale, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const clockTime = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const dayOnly = new Intl.DateTimeFormat(locale, { month: 'short', day: 'numeric' });

export const count = (n) => whole.format(n);
export const percent = (x) => percentOf.format(x);
export const at = (time) => dayTime.format(new Date(time));
export const clock = (time) => clockTime.format(new Date(time));
export const day = (time) => dayOnly.format(new Date(time));

// few is a small number as one says it: 31, 4.2, 0.04.
export function few(x) {
  if (x >= 10) return whole.format(x);
  if (x >= 0.095 || x === 0) return x.toLocaleString(locale, { maximumFractionDigits: 1 });
  return x.toLocaleString(locale, { maximumSignificantDigits: 1 });
}

// seconds reads a duration such as "1h30m".
export function seconds(duration) {
  const units = { h: 3600, m: 60, s: 1, ms: 0.001 };
  let total = 0;
  for (const [, number, unit] of duration.matchAll(/([\d.]+)(ms|h|m|s)/g)) total += Number(number) * units[unit];
  return total;
}

// span is a length of time in its largest fitting unit.
export function span(s) {
  if (s >= 2 * 86400) return w.days(few(s / 86400));
  if (s >= 3600) return w.hours(few(s / 3600));
  return w.minutes(few(Math.max(1, s / 60)));
}

// chance says how often chance alone brings such a surprise: so many half days pass
// between two.
export function chance(surprise) {
  const days = 10 ** surprise / 2;
  if (days >= 1e6) return w.never;
  if (days >= 2) return w.once(w.days(count(Math.floor(days))));
  return w.often;
}

// ofKind is how many of the counted items are of a kind of spike: counts are what the API
// gives, { negative, positive, items }.
export const ofKind = (kind, counts) => ({ positive: counts.positive ?? 0, volume: counts.items })[kind] ?? counts.negative;

// counted is how many items make the alert.
export const counted = (a) => ofKind(a.kind, a);

// part says the same in words: "3 negative of 4".
export const part = (kind, counts) => w.part(kind || 'negative', count(ofKind(kind, counts)), count(counts.items));

// sentence puts the numbers of an alert, or of an outlook, into words.
export function sentence(a) {
  const text = w.sentence({ kind: a.kind || 'negative', count: count(counted(a)), items: count(a.items), window: span(seconds(a.window)), expected: few(a.expected), chance: chance(a.surprise) });
  return a.volume_factor >= 1.5 ? text + w.atVolume(few(a.volume_factor)) : text;
}

export const seriesName = (s) => [s.entity, s.topic].filter(Boolean).join(' · ') || w.everything;
