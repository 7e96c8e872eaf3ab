"""A run, or two compared, as one page: no server, no network, nothing of a text is obeyed."""

import json
import pathlib
import time

import jinja2
import numpy as np

import r1jax
from r1jax import files
from r1jax.runs.doctor import rules
from r1jax.runs.report import ending
from r1jax.runs.show import comparison, drawing, questions, reading
from r1jax.train import phases

NAME = 'report.html'
SAMPLES = 2000
_ASSETS = pathlib.Path(__file__).resolve().parents[2] / 'assets' / 'show'
_FILES = 24  # files of replies that a page takes from, the first and the last among them
_QUESTIONS = 100
# What would end a script element, or a line of JavaScript, is written as an escape of JSON.
_ESCAPES = {ord(sign): f'\\u{ord(sign):04x}' for sign in '<>&\u2028\u2029'}


def write(path, runs, most=SAMPLES):
  """Writes the page of one or two `reading.Run`s, whole or not at all; at most `most` replies."""
  files.write_atomically(path, build(runs, most))


def build(runs, most=SAMPLES):
  """The page as text; arguments as of `write`.

  Raises:
    ValueError: a file of replies is damaged; it is named.
  """
  chosen = [chosen_replies(run, most // len(runs)) for run in runs]
  data = content(runs, chosen)
  environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
  template = environment.from_string((_ASSETS / 'page.html.jinja').read_text())
  pair = len(runs) > 1
  difference = comparison.paired(*runs) if pair else None
  return template.render(
    runs=[_head(run, mark) for mark, run in zip('AB', runs)],
    panels=drawing.panels(runs),
    keys=comparison.keys(*runs) if pair else [],
    comparison=comparison.told(difference) if difference else '',
    questions=[row for mark, run in zip('AB', runs) for row in _questions(run, mark)],
    shown=f'{len(data["replies"]):,}',
    kept=f'{sum(total for _, total in chosen):,}',
    written=time.strftime('%Y-%m-%d %H:%M'),
    version=r1jax.__version__,
    # Marked as safe in the template: two are files of ours, the third is escaped here.
    style=(_ASSETS / 'page.css').read_text(),
    script=(_ASSETS / 'page.js').read_text(),
    data=json.dumps(data, allow_nan=False, separators=(',', ':')).translate(_ESCAPES),
  )


def chosen_replies(run, most):
  """([(`sample_files.Kept`, rows)], how many replies are kept): at most `most` of them.

  Each step gets an equal share, in whole groups that lie evenly in it; at least one group each,
  and none at all where `most` is 0.
  """
  kept = _even(run.kept, _FILES)
  read = [(one, one.rows()) for one in kept]
  total, chosen = sum(len(rows) for _, rows in read), []
  for number, (one, rows) in enumerate(read):
    # What a step does not need is left to those after it.
    left = max(0, most - sum(len(part) for _, part in chosen))
    share = left // (len(read) - number)
    chosen.append((one, _groups(rows, share) if most else []))
  return chosen, total


def content(runs, chosen):
  """What the script of the page reads: {runs, questions, replies}."""
  asked, replies = {}, []
  for number, (parts, _) in enumerate(chosen):
    # The newest first: that is what a reader asks about.
    for kept, rows in reversed(parts):
      tokens = kept.tokens() if rows else None
      for row in rows:
        key = (row['question'], row['kind'], row['expected'])
        question = asked.setdefault(key, len(asked))
        one = {'id': len(replies), 'run': number, 'question': question}
        replies.append(one | _reply(kept, row, tokens))
  names = ('text', 'kind', 'expected')
  return {
    'runs': [run.name for run in runs],
    'questions': [dict(zip(names, key)) for key in asked],
    'replies': replies,
  }


def _reply(kept, row, tokens):
  where = 'rollout' if kept.name == 'step' else 'held out'
  reply = {
    'place': f'{where} {kept.step}',
    'group': str(row['group']),
    'verdict': reading.verdict(row),
    'why': reading.why(row),
    'read': row['extracted'],
    'parts': row['rewards'],
    'text': row['completion'],
    'gapMean': row['logp_gap_mean'],
    'gapMax': row['logp_gap_max'],
  }
  reply |= {name: row[name] for name in ('reward', 'advantage', 'length', 'truncated', 'version')}
  # A side file of another start than its rows would shade the wrong words.
  if tokens and row['index'] < len(tokens):
    reply |= _shades(tokens.of(row['index']))
  return reply


def _shades(one):
  """Of each token: where its text ends, how unlikely it was, how far sampler and trainer differ."""
  shades = {'ends': one['text_end'].tolist(), 'surprise': _rounded(-one['sampler_logp'])}
  if 'trainer_logp' in one:
    with np.errstate(invalid='ignore'):  # two infinities have no difference
      shades['gap'] = _rounded(np.abs(one['trainer_logp'] - one['sampler_logp']))
  return shades


def _rounded(values_T):
  """Three digits are enough for a shade; what is not finite counts as far off."""
  finite_T = np.nan_to_num(values_T.astype(float), nan=99.0, posinf=99.0, neginf=99.0)
  return [float(f'{value:.3g}') for value in finite_T]


def _head(run, mark):
  facts = [run.config.get('stage', ''), f'seed {run.config.get("seed", 0)}']
  facts += [f'checkpoint {run.config["checkpoint"]}'] if run.config.get('checkpoint') else []
  facts += [f'commit {run.versions["commit"]}'] if run.versions.get('commit') else []
  changed = time.strftime('%Y-%m-%d %H:%M', time.localtime(run.changed))
  shown = {name: getattr(run, name) for name in ('name', 'state', 'step', 'total')}
  return shown | {
    'mark': mark,
    'facts': [*facts, f'last figures {changed}'],
    'findings': rules.of(run),
    'end': _end(run.summary) if ending.there(run.summary) else None,
  }


def _end(summary):
  """Before and after, as the terminal says it at the end of a run."""
  spent = summary.get('seconds', {})
  return {
    'lines': ending.lines(summary),
    'told': ending.told(summary),
    'examples': [one | {'title': ending.title(one)} for one in summary.get('examples', ())],
    'spent': [
      (what, f'{value:,.1f} s', f'{share:.0%}') for what, value, share in phases.rows(spent)
    ],
    'whole': phases.clock(spent.get(phases.WHOLE, 0.0)),
  }


def _questions(run, mark):
  newest = [run.latest(name) for name in ('step', 'heldout')]
  rows = [row for kept in newest if kept for row in kept.rows()]
  for one in questions.worst(rows)[:_QUESTIONS]:
    names = ('text', 'kind', 'expected', 'right', 'asked', 'commonest', 'times')
    yield {name: getattr(one, name) for name in names} | {'mark': mark}


def _groups(rows, most):
  """Whole groups of rows, evenly chosen, at most `most` rows; one group at the least."""
  groups = {}
  for row in rows:
    groups.setdefault(row['group'], []).append(row)
  largest = max(map(len, groups.values()), default=1)
  chosen = _even([*groups.values()], max(1, most // largest))
  return [row for group in chosen for row in group]


def _even(things, most):
  """At most `most` of a sequence, evenly, both ends among them where there is room for two."""
  if len(things) <= most:
    return list(things)
  if most < 2:
    return list(things[-1:])
  chosen = np.linspace(0, len(things) - 1, most).astype(int)
  return [things[i] for i in chosen]
