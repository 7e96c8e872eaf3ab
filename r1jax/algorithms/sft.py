"""Next-token cross-entropy on packed rows, with the multi-token-prediction loss (V3 §2.2)."""

import chex
import flax.struct
import jax
import jax.numpy as jnp

from r1jax.algorithms import segments, tally


@flax.struct.dataclass
class Batch:
  """Targets of a packed batch, all [B, T]; position t stands for the token at t as a target.

  Attributes:
    mask_BT: bool or 0/1; 1 on tokens to be learned. 0 on a segment's first token and on padding.
    weight_BT: normaliser from the whole mini-batch, usually 1 / its number of learned tokens.
    segment_BT: integers, equal within a document and different in neighbours.
  """

  mask_BT: jax.Array
  weight_BT: jax.Array
  segment_BT: jax.Array


def loss(batch, logp_BT, mtp_logp_BT=(), mtp_weight=0.0):
  """Weighted cross-entropy in nats, summed over the tokens of `batch`.

  Args:
    batch: `Batch`, a whole mini-batch or a part of it; losses of the parts add up.
    logp_BT: [B, T] log p(token at t | everything up to t - 1).
    mtp_logp_BT: for depth k = 1..D, a [B, T] log p(token at t | everything up to t - 1) by the k-th
      extra module, read at position t - 1 - k: its hidden state there is joined with the embeddings
      of the k tokens behind it (V3 eq. 21-23). A target whose position t - 1 - k lies in another
      segment is left out. Each depth uses batch.weight_BT, so that it is averaged over the same
      number of tokens as the main loss.
    mtp_weight: λ of L = CE + λ/D Σ_k CE_k over D prediction depths; 0.3 for the first 10T tokens,
      then 0.1 (V3 §4.2). Only read where log-probabilities of extra modules are given.

  Returns:
    (loss, tally): float32 scalar and `tally.Tally` with sft/nll, sft/token_probability and, for D >
    0, sft/mtp1_nll, sft/mtp2_nll, ...

  Raises:
    AssertionError: an array of another shape than logp_BT.
  """
  chex.assert_rank(logp_BT, 2)
  chex.assert_equal_shape([logp_BT, *mtp_logp_BT, *jax.tree.leaves(batch)])
  mask_BT = batch.mask_BT.astype(bool)
  total, nll_BT = _cross_entropy(logp_BT, batch.weight_BT, mask_BT)
  figures = {'sft/nll': nll_BT, 'sft/token_probability': jnp.exp(-nll_BT)}
  for k, depth_logp_BT in enumerate(mtp_logp_BT, start=1):
    # The module of depth k is read at t - 1 - k, which must lie in the target's own document.
    depth_mask_BT = mask_BT & segments.reachable(batch.segment_BT, k + 1)
    extra, extra_nll_BT = _cross_entropy(depth_logp_BT, batch.weight_BT, depth_mask_BT)
    # The mean over depths, by the normaliser of the main loss.
    total = total + mtp_weight / len(mtp_logp_BT) * extra
    figures[f'sft/mtp{k}_nll'] = (extra_nll_BT, depth_mask_BT.astype(jnp.float32))
  return total, tally.measure(figures, {}, mask_BT.astype(jnp.float32))


def _cross_entropy(logp_BT, weight_BT, mask_BT):
  # At least float32; float64 where a test asks for it.
  dtype = jnp.promote_types(logp_BT.dtype, jnp.float32)
  nll_BT = jnp.where(mask_BT, -logp_BT.astype(dtype), 0)
  return jnp.sum(jnp.where(mask_BT, weight_BT, 0) * nll_BT), nll_BT
