"""From the rewards of whole groups to advantages, on the host (DeepSeek-R1 §2.1, eq. 3).

A new estimator is one function here and one name in `ESTIMATORS`: it says what a reward is compared
with. All share what `estimate` does behind it: groups that agree get 0, and the scale is the spread
of the rewards themselves. One that compares across groups, or divides by the spread of what it
returns (REINFORCE++ with a baseline), changes `estimate` too.
"""

import numpy as np


def estimate(reward_PG, valid_PG, cfg):
  """How much better each sample is than its baseline, scaled as `cfg` says.

  Call it on whole groups, before outputs are shuffled: a mini-batch may hold part of a group.

  Args:
    reward_PG: [P, G] rewards; entries with valid False may hold anything, nan included.
    valid_PG: [P, G] bool; False where the verifier itself failed. Such a sample leaves its group's
      baseline and scale (and the batch's) and gets advantage 0. None means all valid.
    cfg: `grpo.GrpoConfig`; uses advantage, advantage_scale, std_ddof, std_epsilon.

  Returns:
    [P, G] float32. A group whose valid rewards are all equal gets exactly 0, whatever the rounding
    of its mean; so does a group with one valid sample.

  Raises:
    ValueError: shapes differ, or a valid reward is not finite.
  """
  reward_PG, valid_PG = _checked(reward_PG, valid_PG)
  # Baselines subtract a mean, which rounds: unanimous groups are set to 0 below.
  centred_PG = np.where(valid_PG, ESTIMATORS[cfg.advantage](reward_PG, valid_PG), 0.0)
  centred_PG[unanimous_groups(reward_PG, valid_PG)] = 0.0
  if cfg.advantage_scale == 'none':
    return centred_PG.astype(np.float32)
  scale = _std(reward_PG, valid_PG, cfg) + cfg.std_epsilon
  # Without an epsilon nothing stands below a spread of 0, where all advantages are 0 anyhow.
  return (centred_PG / np.where(scale == 0, 1.0, scale)).astype(np.float32)


def group(reward_PG, valid_PG):
  """r_i - mean(r_1..r_G): the whole group is the baseline, as in GRPO."""
  return reward_PG - _mean(reward_PG, valid_PG)


def leave_one_out(reward_PG, valid_PG):
  """r_i - the mean of the others' rewards: RLOO (arXiv 2402.14740), with advantage_scale 'none'.

  The baseline does not know the sample itself, so the gradient is unbiased.
  """
  others_PG = valid_PG.sum(1, keepdims=True) - 1
  rest_PG = reward_PG.sum(1, keepdims=True) - reward_PG
  # A sample without others keeps its reward here; `estimate` sets such groups to 0.
  return reward_PG - rest_PG / np.maximum(others_PG, 1)


ESTIMATORS = {'group': group, 'leave_one_out': leave_one_out}


def unanimous_groups(reward_PG, valid_PG=None):
  """[P] bool: groups whose valid rewards are all equal (or absent), so that they teach nothing.

  Dynamic sampling (DAPO §3.2) drops these and refills. Arguments and errors as in `estimate`.
  """
  reward_PG, valid_PG = _checked(reward_PG, valid_PG)
  highest_P = np.where(valid_PG, reward_PG, -np.inf).max(1)
  lowest_P = np.where(valid_PG, reward_PG, np.inf).min(1)
  return highest_P <= lowest_P


def overlong_penalty(length, cfg):
  """Soft penalty for completions that come near the cap (DAPO §3.4), to be added to the reward.

  With L = cfg.max_length and C = cfg.overlong_buffer: 0 up to L - C, then linear down to -1 at L,
  and -1 beyond. Zero everywhere when C is 0 (the option is off).

  Args:
    length: completion lengths in tokens (never characters), any shape.
    cfg: `grpo.GrpoConfig`. Where the cap is a schedule, give this step's one by
      `dataclasses.replace(cfg, max_length=...)`, as the rollout had it.

  Returns:
    float32 array of `length`'s shape, in [-1, 0].
  """
  length = np.asarray(length)
  if (length < 0).any():
    raise ValueError(f'completion length {length.min()} is negative')
  if not cfg.overlong_buffer:
    return np.zeros(length.shape, np.float32)
  # Share of the buffer that is used up.
  over = length - (cfg.max_length - cfg.overlong_buffer)
  return -np.clip(over / cfg.overlong_buffer, 0.0, 1.0).astype(np.float32)


def _mean(reward_PG, valid_PG):
  """Mean [P, 1] of the valid rewards of each group; invalid ones are 0 by now."""
  count_P1 = valid_PG.sum(1, keepdims=True)
  return reward_PG.sum(1, keepdims=True) / np.maximum(count_P1, 1)


def _std(reward_PG, valid_PG, cfg):
  """Standard deviation of each group [P, 1], or of all valid rewards of the batch."""
  if cfg.advantage_scale == 'group':
    centred_PG = np.where(valid_PG, reward_PG - _mean(reward_PG, valid_PG), 0.0)
    # As for the advantage: the mean of equal rewards may round, their spread is 0.
    centred_PG[unanimous_groups(reward_PG, valid_PG)] = 0.0
    count_P1 = np.maximum(valid_PG.sum(1, keepdims=True), 1)
    freedom_P1 = np.maximum(count_P1 - cfg.std_ddof, 1)
    return np.sqrt((centred_PG**2).sum(1, keepdims=True) / freedom_P1)
  # 'batch': one spread for all, of the valid rewards alone.
  reward_X = reward_PG[valid_PG]
  return reward_X.std(ddof=cfg.std_ddof) if reward_X.size > cfg.std_ddof else 0.0


def _checked(reward_PG, valid_PG):
  """(float64 rewards with 0 where they are invalid, bool mask) of equal shape [P, G]."""
  reward_PG = np.asarray(reward_PG, np.float64)
  valid_PG = np.ones(reward_PG.shape, bool) if valid_PG is None else np.asarray(valid_PG, bool)
  if reward_PG.ndim != 2 or valid_PG.shape != reward_PG.shape:
    raise ValueError(f'expected two [P, G] arrays, got {reward_PG.shape} and {valid_PG.shape}')
  # Named by its place: a NaN would otherwise spread over its group in silence.
  bad = np.argwhere(valid_PG & ~np.isfinite(reward_PG))
  if len(bad):
    p, g = bad[0]
    raise ValueError(
      f'{len(bad)} rewards are not finite, the first {reward_PG[p, g]} at prompt {p}, sample {g}; '
      'mark samples whose verifier failed with valid=False'
    )
  # 0 keeps junk out of the sums below; the mask keeps it out of the counts.
  return np.where(valid_PG, reward_PG, 0.0), valid_PG
