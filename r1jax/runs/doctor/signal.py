"""Rewards that teach nothing, or teach only the form."""

from r1jax.runs.doctor.finding import Finding

_NOTHING = 0.01  # of the reward's weights; below it no reply earns anything
_SOLVED = 0.8  # accuracy above which groups agree because they are right
_AGREE, _CUT = 0.6, 0.25  # of the groups, see docs/metrics.md; of the replies
_PATIENT, _HARDLY = 40, 0.15  # rollouts within which accuracy may lag behind, and the least of it
_COLD, _GUESSED = 0.5, 0.4  # temperature; accuracy that guessing reaches


def no_reward(run):
  """No reply earns anything."""
  weights = [run.key(f'reward.{name}', 0.0) or 0.0 for name in ('accuracy', 'format')]
  earned = run.late('reward/total')
  # A function of the user's may pay in negative numbers; where all are alike, the groups agree.
  earned = abs(earned) if run.key('reward.function') else earned
  if not run.long('reward/total', 3) or earned > _NOTHING * max(sum(weights), 1):
    return None
  cut, unread = run.late('rollout/truncated'), run.late('verdict/unparseable')
  seen = f'the mean reward is {run.late("reward/total"):.3f} (cut off {cut:.0%}'
  seen += f', without an answer {unread:.0%})' if unread == unread else ')'
  if cut > 0.5:
    do = f'raise {run.shown("sample.max_new")} (and rl.length_schedule, rl.capacity)'
  elif unread > 0.5:
    do = (
      f'no answer stands where {run.shown("reward.answer")} looks: ask for it in data.system, show '
      "solved examples (data.few_shot), or take data.prompt='chat' for a model that can chat"
    )
  else:
    do = 'the questions are too hard: take easier ones, or fine-tune first (SFT)'
  return Finding('no reward', seen, do)


def only_format(run):
  """The format is learned and accuracy is not."""
  if not run.key('reward.format') or not run.long('reward/format', 10):
    return None
  change, _ = run.gain('reward/format')
  right, error = run.gain('reward/accuracy')
  learned = run.rises('reward/format') and change > 0.1
  # What was right once and is no more has another cause.
  values = run.course('reward/accuracy')
  known = values.max() > 0.5
  # Accuracy follows the form: early on nothing is wrong but where hardly a reply is right.
  early = len(values) < _PATIENT and run.late('reward/accuracy') > _HARDLY
  if not learned or known or early or right > max(error, 0.02):
    return None
  return Finding(
    'only the format grows',
    f'format {run.early("reward/format"):.2f} -> {run.late("reward/format"):.2f}, accuracy '
    f'{run.early("reward/accuracy"):.2f} -> {run.late("reward/accuracy"):.2f}',
    f'lower {run.shown("reward.format")}, take questions that the base sometimes solves, or wait '
    'if the format is still far from 1',
  )


def unanimous(run):
  """Most groups earn the same for every reply, and not because the run has learned all."""
  if not run.long('rollout/unanimous') or run.key('rl.dynamic_sampling'):
    return None
  share, right = run.late('rollout/unanimous'), run.late('reward/accuracy')
  # Groups that agree at the end since all of them are right are what a run is for.
  learned = right > _SOLVED and run.early('rollout/unanimous') <= _AGREE
  if share <= _AGREE or learned:
    return None
  if (run.key('sample.temperature') or 1.0) < _COLD:
    do = f'raise {run.shown("sample.temperature")}: replies that are all alike earn all the same'
  elif right > _SOLVED:
    do = 'the questions were solved from the start: take harder ones'
  else:
    do = (
      f'set rl.dynamic_sampling=True, raise {run.shown("sample.group")}, or take questions that '
      'are solved now and then'
    )
  return Finding(
    'groups agree',
    f'{share:.0%} of the groups earn the same for every reply, so they teach nothing (accuracy '
    f'{right:.2f})',
    do,
  )


def truncation(run):
  """Replies run into the cap, do not get shorter, and earn less for it."""
  if not run.long('rollout/truncated'):
    return None
  share, before = run.late('rollout/truncated'), run.early('rollout/truncated')
  # A run that is learning to be brief is well.
  if share <= _CUT or share < 0.8 * before:
    return None
  cut = [row for row in run.last if row['truncated']]
  whole = [row for row in run.last if row['truncated'] is False]
  told = ''
  if cut and whole:
    mean = lambda part: sum(row['reward'] or 0.0 for row in part) / len(part)
    earned = [mean(part) for part in (cut, whole)]
    # Where an answer is read anyhow (the last number, say) the cut costs nothing.
    if earned[0] > 0.8 * earned[1]:
      return None
    told = f'; they earn {earned[0]:.2f}, the others {earned[1]:.2f}'
  return Finding(
    'replies are cut off',
    f'{share:.0%} of the replies run into the cap of {run.late("rollout/cap"):.0f} tokens{told}',
    f'raise {run.shown("sample.max_new")} with rl.length_schedule and rl.capacity, or penalise '
    'length softly: grpo.overlong_buffer',
  )


def brevity(run):
  """The cap was too low to work an answer out in, and the policy has learned to guess within it."""
  if not run.long('rollout/truncated', 15):
    return None
  before, right = run.early('rollout/truncated'), run.late('reward/accuracy')
  long, short = run.early('rollout/length'), run.late('rollout/length')
  # Where brief replies are right, or the cut stays, nothing or another rule is to be said.
  if before <= _CUT or run.late('rollout/truncated') >= 0.8 * before:
    return None
  if right > _GUESSED or short >= long:
    return None
  return Finding(
    'the cap teaches brevity',
    f'{before:.0%} of the replies ran into the cap of {run.early("rollout/cap"):.0f} tokens at '
    f'first; they went from {long:.0f} to {short:.0f} tokens instead, and accuracy is {right:.2f}',
    f'raise {run.shown("sample.max_new")} with rl.length_schedule and rl.capacity',
  )


def forgets(run):
  """Accuracy has fallen far below what it was."""
  values = run.course('reward/accuracy')
  if len(values) < 15:
    return None
  # The best fifth in a row against the last one.
  width = max(3, len(values) // 5)
  begins = range(len(values) - width + 1)
  means = [values[begin : begin + width].mean() for begin in begins]
  best = max(means)
  if best - means[-1] < max(0.15, 0.3 * best):
    return None
  at = [row['step'] for row in run.rows if row.get('reward/accuracy') is not None]
  return Finding(
    'accuracy falls',
    f'it was {best:.2f} around update {at[means.index(best) + width // 2]} and is {means[-1]:.2f}',
    f'lower {run.shown("optimizer.lr")} or raise {run.shown("grpo.beta")}, and go on from an '
    'earlier checkpoint',
  )


RULES = (no_reward, only_format, unanimous, truncation, brevity, forgets)
