"""What the texts of the newest kept rollout show: padding, cheating, mixing."""

from r1jax.data import template
from r1jax.rewards import accuracy, repetition
from r1jax.runs.doctor.finding import Finding

_REPEATED = 0.6  # mean share of distinct 6-grams below which texts repeat themselves
_SEVERAL = 0.1  # of the replies: an odd one does it in every run
_MIXED = 0.2  # of the thoughts
_READ = 256  # replies that are read


def repeats(run):
  """Replies grow longer by repeating themselves."""
  texts = [row['completion'] for row in run.last[:_READ]]
  if not texts or not run.long('rollout/length'):
    return None
  before, now = run.early('rollout/length'), run.late('rollout/length')
  distinct = sum(repetition.check(text).score for text in texts) / len(texts)
  if now < 1.3 * before or distinct > _REPEATED:
    return None
  return Finding(
    'length grows by repetition',
    f'replies went from {before:.0f} to {now:.0f} tokens and only {distinct:.0%} of their 6-grams '
    'are distinct',
    'set reward.repetition=0.5, or penalise length: grpo.overlong_buffer',
  )


def padding(run):
  """Replies grow longer and no better."""
  if not run.long('rollout/length', 15):
    return None
  before, now = run.early('rollout/length'), run.late('rollout/length')
  change, error = run.gain('reward/total')
  if now < 1.5 * before or change > max(error, 0.02):
    return None
  return Finding(
    'length grows without reward',
    f'replies went from {before:.0f} to {now:.0f} tokens, the reward from '
    f'{run.early("reward/total"):.2f} to {run.late("reward/total"):.2f}',
    "set grpo.aggregation='dapo', or penalise length: grpo.overlong_buffer",
  )


def several_answers(run):
  """Replies try several answers, of which the last counts."""
  # The last one is judged, so trying two costs nothing unless the format is rewarded.
  many = [row for row in run.last if _answers(row['completion']) > 1]
  if not run.last or len(many) < _SEVERAL * len(run.last):
    return None
  scores = [(row['rewards'].get('accuracy') or {}).get('score', 0) for row in many]
  paid = sum(score > 0.5 for score in scores)
  return Finding(
    'several answers per reply',
    f'{len(many)} of {len(run.last)} replies give more than one answer ({paid} of them were paid)',
    f'raise {run.shown("reward.format")}, which punishes a second one',
  )


def asks_itself(run):
  """Replies go on with a question of their own."""
  asked = [row for row in run.last if _asks(row['completion'])]
  if not run.last or len(asked) < _SEVERAL * len(run.last):
    return None
  return Finding(
    'replies ask further questions',
    f'{len(asked)} of {len(run.last)} replies go on with a user, as in: '
    f'{" ".join(asked[0]["completion"].split())[-60:]!r}',
    f"the reply is not ended: take data.prompt='chat' for a model that can chat, or "
    f'raise {run.shown("reward.format")}',
  )


def mixes(run):
  """Thoughts mix languages."""
  if not run.long('rollout/mixed') or run.late('rollout/mixed') < _MIXED:
    return None
  return Finding(
    'languages are mixed',
    f'{run.late("rollout/mixed"):.0%} of the thoughts have words of another language',
    f'raise {run.shown("reward.language")} (R1 used 1)',
  )


def _answers(text):
  """Answers that a reply gives outside its thought."""
  return max(len(template.parse(text).answers), accuracy.boxes(text))


def _asks(text):
  """Whether a reply speaks for the user: `\\nUser: ...` or the like."""
  return any(f'\n{name}:' in text for name in ('User', 'Human', 'Question', 'Q'))


RULES = (repeats, padding, several_answers, asks_itself, mixes)
