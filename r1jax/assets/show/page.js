// The replies of the page: filters, groups, shaded tokens. Texts of a run only ever become text
// nodes, so that nothing in them is obeyed. The state is in the address behind #, so that a view can
// be sent on.
'use strict';

const KEYS = ['verdict', 'step', 'kind', 'run', 'text', 'shade', 'ask', 'open'];
const PAGE = 20;  // groups that are drawn at once

// What the address asks for: {verdict: 'wrong', ...}, '' where it says nothing.
function wanted(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ''));
  return Object.fromEntries(KEYS.map((key) => [key, given.get(key) || '']));
}

function address(state) {
  const given = new URLSearchParams();
  for (const key of KEYS) if (state[key]) given.set(key, state[key]);
  return '#' + given.toString();
}

// Whether a reply is one of those that are asked for.
function matches(reply, state, questions) {
  const question = questions[reply.question];
  if (state.verdict && reply.verdict !== state.verdict) return false;
  if (state.step && reply.place !== state.step) return false;
  if (state.kind && question.kind !== state.kind) return false;
  if (state.run && String(reply.run) !== state.run) return false;
  if (state.ask && question.text !== state.ask) return false;
  if (!state.text) return true;
  const sought = state.text.toLowerCase();
  return [question.text, reply.text, reply.why, reply.read || ''].some((text) => text.toLowerCase().includes(sought));
}

// Replies to one question of one step, side by side.
function grouped(replies) {
  const groups = new Map();
  for (const reply of replies) {
    const key = [reply.run, reply.place, reply.group].join('|');
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(reply);
  }
  return [...groups.values()];
}

// Where the thought, the answer and their tags are: [{from, to, name}] that cover the text.
function parts(text) {
  const tags = [...text.matchAll(/<\/?(?:think|answer)>/g)];
  const found = [];
  let at = 0, inside = '';
  const add = (to, name) => { if (to > at) found.push({from: at, to, name}); at = to; };
  for (const tag of tags) {
    add(tag.index, inside);
    add(tag.index + tag[0].length, 'tag');
    inside = tag[0] === '<think>' ? 'thought' : tag[0] === '<answer>' ? 'answer' : '';
  }
  add(text.length, inside);
  return found;
}

// The text cut at both, the ends of its tokens and its parts: [{from, to, name, token}].
function pieces(text, ends) {
  const found = [];
  let token = 0;
  for (const part of parts(text)) {
    let at = part.from;
    while (at < part.to) {
      while (ends.length && token < ends.length - 1 && ends[token] <= at) token += 1;
      const to = ends.length ? Math.min(part.to, Math.max(ends[token], at + 1)) : part.to;
      found.push({from: at, to, name: part.name, token: ends.length ? token : -1});
      at = to;
    }
  }
  return found;
}

// The colour behind a piece: [name, strength from 0 to 1], null for none.
function shade(reply, piece, by) {
  const token = piece.token;
  if (by === 'advantage' && reply.advantage) {
    return [reply.advantage > 0 ? 'good' : 'bad', Math.min(1, Math.abs(reply.advantage) / 2)];
  }
  if (by === 'gap' && reply.gap && token >= 0) {
    // A millionth of a nat is rounding; one nat is another policy.
    const size = Math.log10(Math.max(reply.gap[token], 1e-6)) / 6 + 1;
    return size > 0 ? ['warn', Math.min(1, size)] : null;
  }
  if (by === 'surprise' && reply.surprise && token >= 0) {
    return reply.surprise[token] > 0.05 ? ['run0', Math.min(1, reply.surprise[token] / 4)] : null;
  }
  if (by === 'reward') {
    const judged = piece.name === 'answer' ? 'accuracy' : piece.name === 'tag' ? 'format' : '';
    const part = reply.parts[judged];
    return part ? [part.score > 0.5 ? 'good' : 'bad', 0.7] : null;
  }
  return null;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function said(reply, by) {
  const made = element('div', 'said');
  for (const piece of pieces(reply.text, reply.ends || [])) {
    const span = element('span', piece.name, reply.text.slice(piece.from, piece.to));
    const color = shade(reply, piece, by);
    if (color) span.style.background = `color-mix(in srgb, var(--${color[0]}) ${Math.round(60 * color[1])}%, transparent)`;
    if (by && piece.token >= 0 && reply.surprise) {
      span.title = `log p ${-reply.surprise[piece.token]}` + (reply.gap ? `, differs by ${reply.gap[piece.token]}` : '');
    }
    made.append(span);
  }
  if (!reply.text) made.append(element('span', 'dim', '(empty)'));
  return made;
}

function facts(reply) {
  const told = [];
  if (reply.reward !== null) told.push(`reward ${reply.reward.toFixed(2)}`);
  if (reply.advantage !== null) told.push(`advantage ${reply.advantage.toFixed(2)}`);
  if (reply.length) told.push(`${reply.length} tokens`);
  if (reply.truncated) told.push('cut off');
  if (reply.read !== null) told.push(`read ${reply.read}`);
  return told.join(', ');
}

function details(reply) {
  const table = element('table', 'more');
  const row = (name, text) => {
    const line = table.insertRow();
    line.append(element('th', '', name), element('td', '', text));
  };
  for (const [name, part] of Object.entries(reply.parts)) {
    row(name, `${part.score} ${part.kind}${part.why ? ': ' + part.why : ''}`);
  }
  if (reply.version !== null) row('policy', `after ${reply.version} updates`);
  if (reply.gapMax !== null) row('log p, sampler against trainer', `differs by ${reply.gapMean} in the mean, ${reply.gapMax} at most`);
  return table;
}

function card(reply, state) {
  const opened = state.open === String(reply.id);
  const made = element('article', `reply ${reply.verdict.replace(' ', '-')}${opened ? ' open' : ''}`);
  made.tabIndex = 0;
  made.dataset.id = reply.id;
  const head = element('div', 'facts');
  head.append(element('span', 'kind', reply.verdict), document.createTextNode(' ' + facts(reply)));
  made.append(head, said(reply, state.shade));
  if (reply.why) made.append(element('div', 'facts', reply.why));
  if (opened) made.append(details(reply));
  return made;
}

function groupCard(replies, state, data) {
  const question = data.questions[replies[0].question];
  const made = element('section', 'group');
  const head = element('p');
  head.append(element('span', 'asked', question.text), document.createTextNode(' '));
  const where = [data.runs.length > 1 ? 'AB'[replies[0].run] + ', ' : '', replies[0].place].join('');
  const expected = question.expected === null ? '' : `, expected ${question.expected}`;
  head.append(element('small', '', `${where}${question.kind ? ', ' + question.kind : ''}${expected}`));
  const grid = element('div', 'replies');
  for (const reply of replies) grid.append(card(reply, state));
  made.append(head, grid);
  return made;
}

function options(select, values, any) {
  select.append(new Option(any, ''));
  for (const [value, name] of values) select.append(new Option(name, value));
  select.parentElement.hidden = values.length < 2;
}

function start() {
  const data = JSON.parse(document.getElementById('data').textContent);
  const form = document.getElementById('filters'), groups = document.getElementById('groups');
  const count = document.getElementById('count'), more = document.getElementById('more');
  const same = (values) => [...new Set(values)].filter(Boolean).map((value) => [value, value]);
  options(form.verdict, same(data.replies.map((reply) => reply.verdict)), 'any');
  options(form.step, same(data.replies.map((reply) => reply.place)), 'any');
  options(form.kind, same(data.questions.map((question) => question.kind)), 'any');
  options(form.run, data.runs.map((name, number) => [String(number), 'AB'[number] + ' ' + name]), 'both');
  let state, waiting = [];

  function draw() {
    const next = waiting.splice(0, PAGE);
    groups.append(...next.map((replies) => groupCard(replies, state, data)));
    more.hidden = !waiting.length;
    more.textContent = `${waiting.length} more questions`;
  }
  function show() {
    state = wanted(location.hash);
    for (const name of ['verdict', 'step', 'kind', 'run', 'text', 'shade']) {
      if (form[name].value !== state[name]) form[name].value = state[name];
    }
    const found = data.replies.filter((reply) => matches(reply, state, data.questions));
    const about = state.ask ? `, all to: ${state.ask} ` : '';
    count.textContent = `${found.length} of ${data.replies.length} replies${about}`;
    if (state.ask) {
      const all = element('a', '', '(all questions)');
      all.href = address({...state, ask: ''});
      count.append(all);
    }
    groups.textContent = '';
    waiting = grouped(found);
    draw();
    const opened = groups.querySelector('.open');
    if (opened) opened.scrollIntoView({block: 'nearest'});
  }
  const go = (changes) => { location.hash = address({...wanted(location.hash), ...changes}); };
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', (event) => go({[event.target.name]: event.target.value, open: ''}));
  const toggle = (event) => {
    const chosen = event.target.closest('.reply');
    if (!chosen || String(getSelection())) return;
    go({open: state.open === chosen.dataset.id ? '' : chosen.dataset.id});
  };
  groups.addEventListener('click', toggle);
  groups.addEventListener('keydown', (event) => { if (event.key === 'Enter') toggle(event); });
  more.addEventListener('click', draw);
  document.addEventListener('click', (event) => {
    const asked = event.target.closest('.ask');
    if (!asked) return;
    event.preventDefault();
    go({ask: asked.dataset.ask, verdict: '', step: '', kind: '', text: '', open: ''});
    form.scrollIntoView();
  });
  addEventListener('hashchange', show);
  show();
}

if (typeof document !== 'undefined') start();
if (typeof module !== 'undefined') module.exports = {wanted, address, matches, grouped, parts, pieces, shade};
