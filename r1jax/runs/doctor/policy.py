"""A policy that stands still, runs away, or is not the one that samples."""

from r1jax.runs.doctor.finding import FEWEST, Finding

_SURE = 0.03  # nats per token: nothing new is tried below it
_SOLVED = 0.8
_FAR = 1.0  # nats per token from the reference
# Of the tokens, where each has a ratio; and where a whole reply has one, as in GSPO: its tokens are
# clipped together, and far more of them are where all is well (2507.18071).
_CLIPPED, _CLIPPED_WHOLE = 0.12, 0.5
_NARROW = 0.02  # clip range below which it is the range that is wrong
# Mean difference of log-probabilities between sampler and trainer, nats, by type of computation.
_DRIFT = {'float32': 1e-4, 'bfloat16': 0.05, 'float16': 0.02}


def entropy_collapse(run):
  """The policy is sure of every token although it is often wrong."""
  if not run.long('grpo/entropy', 10):
    return None
  before, now, right = (
    run.early('grpo/entropy'),
    run.late('grpo/entropy'),
    run.late('reward/accuracy'),
  )
  if not (now < _SURE and now < before / 4) or right > _SOLVED:
    return None
  return Finding(
    'entropy has collapsed',
    f'{before:.3f} -> {now:.3f} nats per token at accuracy {right:.2f}: nothing new is tried',
    f'lower {run.shown("optimizer.lr")}, raise {run.shown("grpo.clip_high")} (0.28) or '
    f'{run.shown("grpo.beta")}, and go on from an earlier checkpoint',
  )


def kl_runaway(run):
  """The policy has left its reference far behind."""
  if not run.long('grpo/kl', 10):
    return None
  now = run.late('grpo/kl')
  if now < _FAR:
    return None
  return Finding(
    'the policy runs away',
    f'KL to the reference is {now:.2f} nats per token',
    f'raise {run.shown("grpo.beta")} or lower {run.shown("optimizer.lr")}',
  )


def too_fast(run):
  """Updates are so large that much of the batch is clipped, or gradients break."""
  shares, whole = run.course('grpo/clip_fraction'), run.key('grpo.importance') == 'sequence'
  # The first update of each rollout clips nothing: policy and old policy are one, but where it was
  # sampled ahead. So a mean over whole rollouts is too low by that one.
  updates = 1 if run.key('rl.staleness') else run.key('rl.mini_batches') or 1
  latest = -(-max(FEWEST, len(shares) // 5) // updates) * updates
  clipped = 0.0
  if len(shares) >= latest:
    clipped = float(shares[-latest:].mean()) * updates / max(updates - 1, 1)
  most = _CLIPPED_WHOLE if whole else _CLIPPED
  skipped = run.course('optimizer/skipped')
  count = int(skipped[-1]) if len(skipped) else 0
  if clipped < most and not count:
    return None
  seen = [f'{clipped:.0%} of the tokens are clipped'] if clipped >= most else []
  seen += [f'{count} updates were skipped for gradients that are not finite'] if count else []
  do = f'lower {run.shown("optimizer.lr")} or raise {run.shown("optimizer.warmup")}'
  if not whole and (run.key('grpo.clip_high') or 1.0) < _NARROW:
    do = f'widen {run.shown("grpo.clip_low")} and {run.shown("grpo.clip_high")} (0.2), or {do}'
  return Finding('updates are too large', ' and '.join(seen), do)


def too_slow(run):
  """There is something to learn and the policy does not move."""
  if not run.long('grpo/kl', 20):
    return None
  moved, agreed = run.late('grpo/kl'), run.late('rollout/unanimous')
  # Where groups agree there is nothing to move for: that is another finding.
  if moved > 1e-4 or agreed > 0.8 or run.rises('reward/total'):
    return None
  return Finding(
    'the policy does not move',
    f'KL to the reference is {moved:.1e} nats per token after {run.rows[-1]["step"]} updates, and '
    f'the reward stays at {run.late("reward/total"):.2f}',
    f'raise {run.shown("optimizer.lr")}',
  )


def drift(run):
  """The sampler's log-probabilities are not the trainer's."""
  bound = _DRIFT.get(run.key('runtime.compute_dtype'))
  # What is sampled ahead differs by its age, which the truncated weights are for.
  if bound is None or run.key('rl.staleness') or not run.long('parity/logp_mean', 3):
    return None
  gap = run.late('parity/logp_mean')
  if gap < bound:
    return None
  worst = run.course('parity/logp_max').max() if run.long('parity/logp_max', 1) else gap
  return Finding(
    'the sampler is not the trainer',
    f'their log-probabilities differ by {gap:.1e} nats in the mean and {worst:.1e} at most; '
    f'{bound:.0e} is usual in {run.key("runtime.compute_dtype")}',
    'set grpo.tis_cap=2.0, and look for a kernel or a type that only one of them uses: '
    "runtime.kernels='reference', runtime.compute_dtype='float32'",
  )


def hacking(run):
  """Preference rises while rule accuracy falls."""
  suspected = run.course('hacking/suspected')
  if not len(suspected) or not suspected[-3:].any():
    return None
  fall, gain = run.late('hacking/accuracy_drop'), run.late('hacking/preference_gain')
  return Finding(
    'the reward model is being fooled',
    f'rule accuracy has fallen by {fall:.0%} since preference rewards began, preference has risen '
    f'by {gain:.2f}',
    f'shorten {run.shown("general.preference_updates")} or lower general.weights; read samples/',
  )


RULES = (entropy_collapse, kl_runaway, too_fast, too_slow, drift, hacking)
