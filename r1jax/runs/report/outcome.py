"""What came of a run of RL, for `summary.json`: before, after, whether better, two examples."""

import math

import numpy as np

from r1jax.evaluation import heldout, intervals
from r1jax.evaluation.exam import answers
from r1jax.runs.report import ending
from r1jax.stages import sample_log


def of(before, after, problems, where):
  """{before, after, change, examples} of two `heldout.Result`s on the same problems.

  Args:
    before, after: of the base and of the trained policy.
    problems: the held-out problems, in the order of the results.
    where: `reward.answer`, where the final answer of a reply stands.
  """
  return {
    'before': before.evaluation.as_json(),
    'after': after.evaluation.as_json(),
    'change': {
      'pass@1': _change(before.rates, after.rates),
      'content': _change(before.contents, after.contents),
    },
    'examples': _examples(before, after, problems, where),
  }


def _change(before, after):
  """The paired test of two tuples of question rates, as JSON; None where nothing can be paired."""
  # A question that no verifier could judge is in neither.
  pairs = [(a, b) for a, b in zip(before, after) if not math.isnan(a + b)]
  if not pairs:
    return None
  gap = intervals.paired([b for _, b in pairs], [a for a, _ in pairs])
  direction = ending.BETTER if gap.mean > 0 else ending.WORSE
  verdict = direction if gap.significant else ending.UNSHOWN
  return {
    'mean': gap.mean, 'ci95': [gap.low, gap.high], 'p': gap.p, 'questions': gap.questions,
    'verdict': verdict,
  }  # fmt: skip


def length_accuracy(rows):
  """Spearman's correlation of length and accuracy over training steps; None where undefined."""
  both = [
    (row['rollout/length'], row['reward/accuracy'])
    for row in rows
    if row.get('rollout/length') is not None and row.get('reward/accuracy') is not None
  ]
  return intervals.rank_correlation([a for a, _ in both], [b for _, b in both])


def _examples(before, after, problems, where):
  """A question that was gained and one that fails, each with how it was chosen."""
  marks = lambda result: np.array([one['accuracy'].score > 0.5 for one in result.verdicts])
  right = [marks(result) for result in (before, after)]
  gained = np.flatnonzero(~right[0] & right[1]).tolist()
  # A worked answer shows more than a lucky one, and an answer that the base did not have more than
  # tags around one that it had.
  worked = [i for i in gained if heldout.worked(after.completions[i])]
  new = [i for i in worked or gained if before.contents and before.contents[i] == 0]
  failed = np.flatnonzero(~right[1]).tolist()
  of = f'of the first replies to {len(problems)} questions'
  chosen = []
  if worked or gained:
    form, how = 'in any form ' if new else '', 'worked out ' if worked else ''
    candidates = new or worked or gained
    text = f'{len(candidates)} wrong {form}before and {how}right after'
    chosen.append(('gained', candidates[0], f'the first of {text}, {of}'))
  if failed:
    chosen.append(('failed', failed[0], f'the first of {len(failed)} wrong after, {of}'))
  return [
    {'what': what, 'chosen': why, 'question': problems[i].question}
    | {'expected': answers.expected(problems[i].answer)}
    | {
      name: _said(result, i, problems[i], where)
      for name, result in (('before', before), ('after', after))
    }
    for what, i, why in chosen
  ]


def _said(result, i, problem, where):
  verdict, text = result.verdicts[i]['accuracy'], result.completions[i]
  read = sample_log.extracted(text, problem.answer, where)
  return {'completion': text, 'read': read, 'kind': str(verdict.kind), 'why': verdict.why}
