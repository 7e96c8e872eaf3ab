"""Verifiers that fail, batches that are empty, checkpoints that are missing."""

from r1jax.runs.doctor.finding import Finding

_FAILED = 0.005  # of replies; a quarter of the share at which training stops by default
_SLOW = 0.02  # of replies: a few hard expressions time out in every run
_FILLED = 0.5  # of a batch; below it half of an update's time is spent on nothing
_WAITED = 0.2  # of the rollouts' time
_SHORT = 10.0  # seconds of waiting that nobody minds


def verifier_errors(run):
  """Verifiers themselves fail."""
  rates = run.course('reward/verifier_error_rate')
  if not len(rates) or rates[-1] < _FAILED:
    return None
  reasons = [
    part['why']
    for row in run.last
    for part in row['rewards'].values()
    if part.get('kind') == 'verifier_error'
  ]
  told = f', as in: {reasons[0][:120]}' if reasons else ''
  own = run.key('reward.function')
  do = f'raise {run.shown("reward.worker_gib")} if memory is the reason'
  if own and reasons and reasons[0].startswith(own.partition(':')[0]):
    do = 'mend the function'
  return Finding(
    'verifiers fail',
    f'on {rates[-1]:.1%} of the latest 1,000 replies{told}',
    f'{do}; training stops above {run.shown("reward.max_verifier_error_rate")}',
  )


def slow_answers(run):
  """Answers are too costly to compare."""
  if not run.long('verdict/timeout', 3) or run.late('verdict/timeout') < _SLOW:
    return None
  return Finding(
    'verifiers time out',
    f'{run.late("verdict/timeout"):.1%} of the replies are not compared in time and earn 0',
    f'raise {run.shown("reward.math_seconds")} or {run.shown("reward.workers")}',
  )


def waits(run):
  """Rollouts wait for verdicts."""
  waited, rates = run.course('reward/wait_seconds'), run.course('speed/rollout_tokens_per_s')
  lengths = run.course('rollout/length')
  prompts, group = run.key('rl.prompts'), run.key('sample.group')
  same = len(waited) == len(rates) == len(lengths) >= 3
  if not same or not prompts or not group or not (rates > 0).all():
    return None
  # The counter begins anew where a run was resumed: its rises are what was waited.
  spent = float((lengths * prompts * group / rates).sum())
  steps = zip([0.0, *waited], waited)
  paused = float(sum(max(after - before, 0.0) for before, after in steps))
  if paused < max(_WAITED * spent, _SHORT):
    return None
  return Finding(
    'rollouts wait for verdicts',
    f'{paused:.0f} of {spent:.0f} seconds of the rollouts',
    f'raise {run.shown("reward.workers")}, or sample with fewer slots, so that replies are judged '
    f'while others are sampled: {run.shown("sample.slots")}',
  )


def empty_batches(run):
  """Training batches are mostly padding."""
  if not run.long('packing/filled') or run.late('packing/filled') > _FILLED:
    return None
  return Finding(
    'batches are mostly padding',
    f'only {run.late("packing/filled"):.0%} of a training batch are real tokens',
    f'lower {run.shown("rl.rows")} or {run.shown("rl.capacity")}',
  )


def unfilled(run):
  """Dynamic sampling runs out of refills."""
  if not run.long('rollout/unfilled_groups') or run.late('rollout/unfilled_groups') < 1:
    return None
  return Finding(
    'refills run out',
    f'{run.late("rollout/unfilled_groups"):.1f} of {run.key("rl.prompts")} groups per rollout are '
    'unanimous after all refills',
    f'raise {run.shown("rl.max_refills")}, or take questions that are solved now and then',
  )


def stale_checkpoint(run):
  """The newest checkpoint is older than it should be."""
  # One is being written while the next updates go on, so one behind is usual.
  every = run.key('loop.checkpoint_every')
  if not every or not run.rows or not run.checkpoints:
    return None
  behind = run.rows[-1]['step'] - run.checkpoints[-1]
  if behind <= 2 * every:
    return None
  return Finding(
    'checkpoints are missing',
    f'the newest is of update {run.checkpoints[-1]}, {behind} updates ago, and one is due every '
    f'{every}',
    'look for room on the disk and for lines about failed saves in the output of the run',
  )


def not_finite(run):
  """Figures are not finite."""
  counts = run.course('metrics/nonfinite')
  if not counts.any():
    return None
  names = sorted(name for name, value in run.rows[-1].items() if value is None)
  return Finding(
    'figures are not finite',
    f'in {int((counts > 0).sum())} rows of metrics.jsonl{": " if names else ""}{", ".join(names)}',
    f"lower {run.shown('optimizer.lr')}, or compute in float32: runtime.compute_dtype='float32'",
  )


def no_figures(run):
  """The run has lost figures, so that other rules have nothing or less to look at."""
  there = {row['step'] for row in run.rows}
  missing = sorted(set(range(1, max(there, default=0) + 1)) - there)
  # The newest row may be on its way.
  behind = run.updates - max(there, default=0)
  if not missing and behind <= 1:
    return None
  seen = f'metrics.jsonl has no row, and {run.updates} updates have been done'
  if there:
    lost = len(missing) + max(behind, 0)
    first = missing[0] if missing else max(there) + 1
    seen = f'{lost} of {run.updates} updates have no row in metrics.jsonl, the first is {first}'
  return Finding('figures are gone', f'{seen}: nothing is known of their course', 'put them back')


RULES = (
  no_figures,
  verifier_errors,
  slow_answers,
  waits,
  empty_batches,
  unfilled,
  stale_checkpoint,
  not_finite,
)
