"""GRPO by plain NumPy loops over sequences and tokens, and sequences laid out in rows."""

import numpy as np

from r1jax.algorithms import grpo

FIELDS = ('old_logp_BT', 'ref_logp_BT', 'sampler_logp_BT')


def sequences(rng, count=8, longest=6):
  """Ragged log-probabilities under policy, old policy, reference and sampler, and advantages."""
  lengths = rng.integers(1, longest + 1, count)
  draw = lambda centre, width: [c + rng.normal(0, width, len(c)) for c in centre]
  logp = [-rng.gamma(2.0, 1.0, n) for n in lengths]
  return {
    'logp': logp,
    'old_logp_BT': draw(logp, 0.4),
    'ref_logp_BT': draw(logp, 0.5),
    'sampler_logp_BT': draw(logp, 0.5),
    'advantage': rng.normal(0, 1, count),
  }


def loss(cfg, data):
  """The objective, term by term, as the papers write it."""
  lengths = [len(x) for x in data['logp']]
  total = 0.0
  for i, n in enumerate(lengths):
    logp, old, ref, sampler = (data[k][i] for k in ('logp', *FIELDS))
    sequence_ratio = np.exp(sum(logp - old) / n)
    for t in range(n):
      r = np.exp(logp[t] - old[t]) if cfg.importance == 'token' else sequence_ratio
      term = -_gain(cfg, r, data['advantage'][i], logp[t])
      if cfg.tis_cap is not None:
        term *= min(np.exp(old[t] - sampler[t]), cfg.tis_cap)
      x = ref[t] - logp[t]
      limit = np.inf if cfg.kl_limit is None else cfg.kl_limit
      kl = {'k1': -x, 'k2': x * x / 2}.get(cfg.kl_form, np.exp(x) - x - 1)
      kl = max(-limit, min(kl, limit))
      term += cfg.beta * kl * (r if cfg.kl_form == 'k3_ratio_weighted' else 1.0)
      if cfg.aggregation == 'grpo':
        total += term / n / len(lengths)
      elif cfg.aggregation == 'dr_grpo':
        total += term / cfg.max_length / len(lengths)
      else:
        total += term / sum(lengths)
  return total


def _gain(cfg, r, advantage, logp):
  clipped = min(max(r, 1 - cfg.clip_low), 1 + cfg.clip_high)
  if cfg.aggregation == 'cispo':
    return clipped * advantage * logp
  gain = min(min(r, cfg.delta or np.inf) * advantage, clipped * advantage)
  if cfg.dual_clip and advantage < 0:
    gain = max(gain, cfg.dual_clip * advantage)
  return gain


def pack(data, weight_B, layout, width, junk=0.0, prompt=2):
  """Rows [B, T] of sequences; `layout` lists the sequences of each row.

  Returns (batch, logp_BT, where) with where[i] = (row, slice) of sequence i. Every position that
  is not part of a completion (each sequence's prompt, and padding) holds `junk`.
  """
  rows = {name: np.full((len(layout), width), junk) for name in ('logp', 'weight', 'adv', *FIELDS)}
  mask_BT, segment_BT = np.zeros((2, len(layout), width), np.int32)
  where = {}
  for b, members in enumerate(layout):
    start = 0
    for k, i in enumerate(members, start=1):
      end = start + prompt + len(data['logp'][i])
      segment_BT[b, start:end] = k
      span = slice(start + prompt, end)
      mask_BT[b, span], where[i], start = 1, (b, span), end
      rows['weight'][b, span], rows['adv'][b, span] = weight_B[i], data['advantage'][i]
      for name in ('logp', *FIELDS):
        rows[name][b, span] = data[name][i]
  logp_BT, weight_BT, advantage_BT = rows.pop('logp'), rows.pop('weight'), rows.pop('adv')
  batch = grpo.Batch(mask_BT, advantage_BT, weight_BT, **rows, segment_BT=segment_BT)
  return batch, logp_BT, where


def alone(data):
  """Layout with every sequence in a row of its own."""
  return [[i] for i in range(len(data['logp']))]
