"""The result of an examination: its figures with error bars, its file, its table, a comparison."""

import dataclasses
import json
import pathlib

import numpy as np
import rich.table
import rich.text

from r1jax import files, terminal
from r1jax.evaluation import intervals, passk
from r1jax.evaluation.exam import answers
from r1jax.rewards.verdict import Kind

VERSION = 1
_FINGERPRINTS = ('questions', 'prompts', 'sampler', 'grader')


@dataclasses.dataclass(frozen=True)
class Marks:
  """Every answer of an examination, arrays [questions, samples].

  A question that did not fit the context is a row of wrong answers of no token.

  Attributes:
    correct_PG, counted_PG: bool; counted is False where the verifier failed.
    votes: per question and sample the class of its answer, None without a vote.
    token_PG: int, lengths.
    rows: what `exam.run` returned.
  """

  correct_PG: np.ndarray
  counted_PG: np.ndarray
  votes: list
  token_PG: np.ndarray
  rows: list


def marks(problems, rows, samples):
  """`Marks` of the rows of an examination."""
  shape = (len(problems), samples)
  correct_PG, token_PG = np.zeros(shape, bool), np.zeros(shape, int)
  # A question that was not asked stays so: wrong, counted, without a vote.
  counted_PG, votes = np.ones(shape, bool), [[None] * samples for _ in problems]
  # Rows are sorted, so that k in a row are those of one question.
  for start in range(0, len(rows), samples):
    part = rows[start : start + samples]
    p, kinds = part[0]['question'], [Kind(row['kind']) for row in part]
    correct_PG[p] = [kind == Kind.CORRECT for kind in kinds]
    counted_PG[p] = [kind != Kind.VERIFIER_ERROR for kind in kinds]
    token_PG[p] = [row['tokens'] for row in part]
    votes[p] = answers.votes([row['answer'] for row in part], kinds, problems[p].answer)
  return Marks(correct_PG, counted_PG, votes, token_PG, rows)


def figures(marked, kind):
  """Name -> `intervals.Estimate`: pass@1, pass@k, and cons@k where answers can be voted on."""
  samples = marked.correct_PG.shape[1]
  rate_P, counted = passk.question_rates(marked.correct_PG, marked.counted_PG)
  out = {'pass@1': _estimate(rate_P, counted, kind)}
  for k in _sizes(samples):
    rate_P = passk.pass_at_k(marked.correct_PG, k, marked.counted_PG)
    # k samples are one try, so there are k times fewer independent tries than answers.
    out[f'pass@{k}'] = _estimate(rate_P, max(counted // k, len(rate_P)), kind)
  # A majority takes three; programs do not vote.
  if samples > 2 and any(vote is not None for row in marked.votes for vote in row):
    rate_P = passk.cons_at_k(marked.votes, marked.correct_PG, samples)
    out[f'cons@{samples}'] = _estimate(rate_P, len(rate_P), kind)
  # None where no question has enough samples that a verifier judged.
  return {name: one for name, one in out.items() if one}


def _estimate(rate_P, samples, kind):
  rate_P = rate_P[~np.isnan(rate_P)]
  return intervals.estimate(rate_P, samples, kind) if len(rate_P) else None


def _sizes(samples):
  """k of the pass@k that are shown: powers of 4 and all samples."""
  # Without 1, which is the headline already.
  usual = {k for k in (4, 16, 64, 256) if k < samples}
  return sorted(usual | ({samples} - {1}))


def shares(marked):
  """Name -> number: lengths in tokens and shares of the replies drawn."""
  rows, count = marked.rows, len(marked.rows)
  length = np.array([row['tokens'] for row in rows])
  right = np.array([row['kind'] == 'correct' for row in rows])
  share = lambda held: float(sum(held) / count)
  return {
    'length_mean': float(length.mean()),
    'length_median': float(np.median(length)),
    'length_correct': float(length[right].mean()) if right.any() else None,
    'length_wrong': float(length[~right].mean()) if not right.all() else None,
    'truncated': share(not row['stopped'] for row in rows),
    'unparseable': share(row['kind'] == 'unparseable' for row in rows),
    'timeout': share(row['kind'] == 'timeout' for row in rows),
    'verifier_error': share(row['kind'] == 'verifier_error' for row in rows),
    'format': share(row['format'] for row in rows),
    # A number of questions, as no reply was drawn for them.
    'not_asked': len(marked.votes) - len({row['question'] for row in rows}),
  }


def apart(problems, marked, kind):
  """Pass@1 of each kind of question and of each level, where there are several."""
  out = {}
  for field in ('kind', 'level'):
    values = [getattr(p, field) for p in problems]
    # A single kind or level would repeat the headline.
    for value in sorted(set(values)) if len(set(values)) > 1 else ():
      chosen = np.array([v == value for v in values])
      if marked.counted_PG[chosen].any():
        name = value if field == 'kind' else f'level {value}'
        parts = (marked.correct_PG[chosen], marked.counted_PG[chosen])
        out[name] = passk.pass_at_1(*parts, kind)
  return out


def build(header, problems, marked, interval='wilson'):
  """The content of a result file: `header`, figures with both intervals, every question's marks."""
  # Both intervals are written down, whichever of them the user reads first.
  boot = figures(marked, 'bootstrap')
  headline = figures(marked, interval)
  return header | {
    'version': VERSION,
    'questions': len(problems),
    'samples': marked.correct_PG.shape[1],
    'interval': interval,
    'figures': {
      name: {
        **one.as_json(),
        'ci95_bootstrap': boot[name].as_json()['ci95'],
      }
      for name, one in headline.items()
    },
    'shares': shares(marked),
    'apart': {name: e.as_json() for name, e in apart(problems, marked, interval).items()},
    'per_question': [
      {
        'question': problem.question,
        'correct': marked.correct_PG[p].astype(int).tolist(),
        'counted': marked.counted_PG[p].astype(int).tolist(),
        'votes': marked.votes[p],
        'tokens': marked.token_PG[p].tolist(),
      }
      for p, problem in enumerate(problems)
    ],
  }


def write(path, content):
  """Writes a result whole or not at all."""
  # NaN is no JSON: an error here is better than a file that others cannot read.
  files.write_atomically(path, json.dumps(content, ensure_ascii=False, allow_nan=False) + '\n')


def read(path):
  """The content of a result file; ValueError where it is none."""
  try:
    content = json.loads(pathlib.Path(path).read_text())
  except (UnicodeDecodeError, json.JSONDecodeError) as error:
    raise ValueError(f'{path} is no result of an evaluation: {error}') from error
  if not isinstance(content, dict) or content.get('version') != VERSION:
    raise ValueError(f'{path} is no result of an evaluation by this version')
  return content


def table(content):
  """The result for a person, as a rich table."""
  count = f'{content["questions"]:,} questions x {content["samples"]} samples'
  title = _foreign(f'{content["benchmark"]}: {count}')
  drawn = rich.table.Table(title=title, title_justify='left')
  drawn.add_column('')
  drawn.add_column('mean', justify='right')
  names = {'wilson': '95 % (Wilson)', 'bootstrap': '95 % (bootstrap)'}
  drawn.add_column(names[content['interval']], justify='right')
  # The bootstrap stands beside Wilson's; chosen by itself it stands alone.
  both = content['interval'] == 'wilson'
  if both:
    drawn.add_column(names['bootstrap'], justify='right')
  for name, one in content['figures'].items():
    cells = [_between(one['ci95'])] + ([_between(one['ci95_bootstrap'])] if both else [])
    drawn.add_row(name, f'{one["mean"]:.1%}', *cells)
  drawn.add_section()
  for name, one in content['apart'].items():
    drawn.add_row(
      _foreign(f'{name} ({one["questions"]})'), f'{one["mean"]:.1%}', _between(one['ci95'])
    )
  drawn.add_section()
  for name, text in _share_rows(content['shares'], content['protocol']['max_tokens']):
    drawn.add_row(name, text)
  return drawn


def _foreign(text):
  """Names that a file of questions gives, which are neither obeyed nor taken for a style."""
  return rich.text.Text(terminal.plain(text))


def _between(ends):
  return f'[{ends[0]:.1%}, {ends[1]:.1%}]'


def _share_rows(share_of, limit):
  """(name, text) of what is not accuracy; failures only where there are any."""
  rows = [
    ('response length, tokens', f'{share_of["length_mean"]:,.1f}'),
    ('  median', f'{share_of["length_median"]:,.0f}'),
  ]
  for name in ('correct', 'wrong'):
    if share_of[f'length_{name}'] is not None:
      rows.append((f'  of {name} answers', f'{share_of[f"length_{name}"]:,.1f}'))
  rows.append((f'cut off at {limit:,} tokens', f'{share_of["truncated"]:.1%}'))
  rows.append(('no answer to mark', f'{share_of["unparseable"]:.1%}'))
  for name, label in (('timeout', 'too slow to mark'), ('verifier_error', 'not marked, left out')):
    if share_of[name]:
      rows.append((label, f'{share_of[name]:.1%}'))
  rows.append(('R1-Zero format', f'{share_of["format"]:.1%}'))
  if share_of['not_asked']:
    rows.append(('too long to ask, counted wrong', f'{share_of["not_asked"]:,}'))
  return rows


def disagreements(one, other):
  """Names of the fingerprints in which two results differ."""
  first, second = one['fingerprints'], other['fingerprints']
  return [name for name in _FINGERPRINTS if first[name] != second[name]]


def compare(one, other, mixed=False):
  """Paired test of two results on the same questions: `intervals.Difference` of pass@1.

  Args:
    one, other: contents of result files.
    mixed: compare although prompts, sampler or grader differ; the questions must agree.

  Raises:
    ValueError: the fingerprints differ (they are named), or no question was marked in both.
  """
  wrong = disagreements(one, other)
  # Not even with `mixed`, as the test pairs the answers to one question.
  if 'questions' in wrong:
    raise ValueError('the two results are about different questions: they cannot be compared')
  if wrong and not mixed:
    raise ValueError(
      f'the two results differ in {", ".join(wrong)} as well as in the model: a difference would '
      "not be the model's alone; --mixed compares them all the same"
    )
  rates = [
    passk.question_rates(
      [q['correct'] for q in content['per_question']],
      [q['counted'] for q in content['per_question']],
    )[0]
    for content in (one, other)
  ]
  # A question that no verifier judged in one of them has no pair.
  both = ~np.isnan(rates[0]) & ~np.isnan(rates[1])
  return intervals.paired(rates[0][both], rates[1][both])


def judgement(one, other, paired):
  """The comparison in a sentence or two; "better" stands there only where it is significant."""
  first, second = _model(one), _model(other)
  # Two examinations of one checkpoint need names that differ.
  if first == second:
    first, second = f'{first} (this result)', f'{second} (the other)'
  gap = f'{100 * paired.mean:+.1f} points [{100 * paired.low:+.1f}, {100 * paired.high:+.1f}]'
  test = f'paired permutation test on {paired.questions:,} questions, p = {paired.p:.2g}'
  if not paired.significant:
    return f'No significant difference: {first} minus {second} is {gap} of pass@1 ({test}).'
  if paired.mean < 0:
    return f'{second} is better than {first}: {gap} for {first} in pass@1 ({test}).'
  return f'{first} is better than {second}: {gap} in pass@1 ({test}).'


def _model(content):
  return content['checkpoint']
