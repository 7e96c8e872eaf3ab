"""Distillation on the teacher's whole token distribution, exact, without a [T, V] array in memory.

The paper's students learn from samples alone (reference §1.8); this is the option beside it, for a
teacher and a student with the same tokenizer.
"""

import dataclasses

import chex
import jax
import jax.numpy as jnp

from r1jax import ranges, sharding
from r1jax.algorithms import tally


@dataclasses.dataclass(frozen=True)
class KlConfig:
  """How much of the loss is what.

  Attributes:
    weight: of KL(teacher | student) on every learned token; the rest, 1 - weight, is the
      cross-entropy of the sample itself. 0 is the paper's: samples only.
    chunk: positions of a row whose logits are in memory at once; divides the rows' capacity.
  """

  weight: ranges.Share = 0.0
  chunk: ranges.Count = 64

  def __post_init__(self):
    ranges.check(self)


def forward_kl(teacher_BTV, student_BTV):
  """sum_v p_teacher (log p_teacher - log p_student) of each position, float32 [B, T], in nats.

  Both are logits of any float type; the vocabulary may be sharded. The teacher has no gradient.
  """
  chex.assert_equal_shape([teacher_BTV, student_BTV])  # a vocabulary of 1 would broadcast
  teacher_BTV = jax.lax.stop_gradient(teacher_BTV).astype(jnp.float32)
  teacher_BTV = jax.nn.log_softmax(teacher_BTV)
  student_BTV = jax.nn.log_softmax(student_BTV.astype(jnp.float32))
  return jnp.sum(jnp.exp(teacher_BTV) * (teacher_BTV - student_BTV), axis=-1)


def chunked(teacher, student, hidden, target_BT, mask_BT, chunk):
  """(log-probability of the target, `forward_kl`) of the mask's positions, both float32 [B, T].

  A row's positions with a mask go first, and chunks that hold none are skipped: their figures are
  0, as all outside the mask. The logits of a chunk are made again in the backward pass, so that
  memory holds those of one.

  Args:
    teacher, student: functions from hidden states [X, D] to logits [X, V].
    hidden: pair of their hidden states [B * T, D] on the same rows; the widths may differ.
    target_BT: the token that each position predicts.
    mask_BT: bool, the positions that a loss reads.
    chunk: positions of a row done at once.

  Raises:
    ValueError: rows that do not divide into chunks.
  """
  chex.assert_rank([target_BT, mask_BT, *hidden], 2)
  B, T = target_BT.shape
  chex.assert_axis_dimension(hidden[0], 0, B * T)
  chex.assert_axis_dimension(hidden[1], 0, B * T)
  if T % chunk:
    raise ValueError(f'rows of {T} tokens do not divide into chunks of {chunk}: change kl.chunk')
  order_BT, rank_BT = _first(mask_BT)
  # The scan runs over chunks of positions, all rows at a time, so that shards stay busy.
  states = (sharding.in_rows(x_XD, target_BT) for x_XD in hidden)
  parts = [_cut(_taken(x, order_BT), chunk) for x in (target_BT, *states)]
  most = mask_BT.sum(axis=1).max()
  starts_C = jnp.arange(T // chunk) * chunk

  # Kept for the backward pass: hidden states. Logits of a chunk are made again.
  @jax.checkpoint
  def figures(target_BT, *states):
    logits = [_logits(f, x_BTD) for f, x_BTD in zip((teacher, student), states)]
    return _token_logp(logits[1], target_BT), forward_kl(*logits)

  def one(_, part):
    start, *arrays = part
    nothing = lambda target_BT, *_: (jnp.zeros_like(target_BT, jnp.float32),) * 2
    return None, jax.lax.cond(start < most, figures, nothing, *arrays)

  _, figures_CBT = jax.lax.scan(one, None, (starts_C, *parts))
  spec = jax.typeof(target_BT).sharding.spec
  whole = (x_CBT.transpose(1, 0, 2) for x_CBT in figures_CBT)
  whole = (jax.lax.reshape(x, (B, T), out_sharding=spec) for x in whole)
  return tuple(jnp.where(mask_BT, _taken(x_BT, rank_BT), 0) for x_BT in whole)


def _first(mask_BT):
  """(each row's positions with the mask's first, each of these positions' place among them)."""
  later_BT = (~mask_BT).astype(jnp.int32)
  iota_BT = jnp.cumsum(jnp.ones_like(later_BT), axis=1) - 1
  order_BT = jax.lax.sort((later_BT, iota_BT), num_keys=1, is_stable=True)[1]
  return order_BT, jnp.where(mask_BT, jnp.cumsum(1 - later_BT, axis=1) - 1, 0)


def _taken(x_BT, place_BT):
  """x[b, place[b, t]]: [B, T, ...] with each row's positions in another order."""
  row = jax.typeof(place_BT).sharding.spec[0]
  own = jax.P(row, *(None,) * (x_BT.ndim - 1))
  ids = jax.P(row, None)
  # Each device has whole rows, which is more than the compiler would see of a gather.
  local = jax.vmap(lambda x_T, place_T: x_T[place_T])
  return jax.shard_map(local, in_specs=(own, ids), out_specs=own)(x_BT, place_BT)


def _token_logp(logits_BTV, token_BT):
  """log p of each token with the vocabulary still sharded: a masked sum, no gather."""
  vocab_11V = jax.lax.broadcasted_iota(jnp.int32, (1, 1, logits_BTV.shape[-1]), 2)
  logp_BTV = jax.nn.log_softmax(logits_BTV.astype(jnp.float32))
  hit_BTV = vocab_11V == token_BT[..., None]
  return jnp.sum(jnp.where(hit_BTV, logp_BTV, 0), axis=-1)


def loss(cfg, batch, logp_BT, kl_BT):
  """Weighted sum over learned tokens of (1 - weight) cross-entropy + weight KL.

  Args:
    cfg: `KlConfig`, static under jit.
    batch: `sft.Batch`, a whole mini-batch or a part of it; losses of the parts add up.
    logp_BT, kl_BT: as `chunked` gives them, aligned so that position t stands for the token at t.

  Returns:
    (loss, tally): float32 scalar and `tally.Tally` with sft/nll and distill/kl.
  """
  chex.assert_rank(logp_BT, 2)
  chex.assert_equal_shape([logp_BT, kl_BT, *jax.tree.leaves(batch)])
  mask_BT = batch.mask_BT.astype(bool)
  nll_BT, kl_BT = (jnp.where(mask_BT, x, 0) for x in (-logp_BT, kl_BT))
  # Each token's share of the two losses; both in nats.
  each_BT = (1 - cfg.weight) * nll_BT + cfg.weight * kl_BT
  total = jnp.sum(jnp.where(mask_BT, batch.weight_BT, 0) * each_BT)
  figures = {'sft/nll': nll_BT, 'distill/kl': kl_BT}
  return total, tally.measure(figures, {}, mask_BT.astype(jnp.float32))


def _cut(x_BT, chunk):
  """[B, T, ...] -> [C, B, chunk, ...]."""
  B, T, *rest = x_BT.shape
  row, *other = jax.typeof(x_BT).sharding.spec
  spec = jax.P(row, None, *other)
  shape = (B, T // chunk, chunk, *rest)
  return jnp.moveaxis(jax.lax.reshape(x_BT, shape, out_sharding=spec), 1, 0)


def _logits(head, x_BTD):
  return sharding.in_rows(head(sharding.flat(x_BTD)), x_BTD)
