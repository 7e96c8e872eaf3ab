"""Group relative policy optimisation (R1 §2.1, eq. 1-3) and its variants, as pure functions.

In the order of a training step: `advantages.estimate` on whole groups (host), `token_weights` on a
whole mini-batch (host), then `loss` on any part of that mini-batch, packed in any way. The losses
of the parts add up to the loss of the mini-batch, and so do their gradients and their `Tally`s.

Reproducing other trainers, values and gradients:

  here                 TRL                      verl                     Tunix
  aggregation          loss_type, same names    loss_agg_mode            loss_agg_mode
    grpo                                        seq-mean-token-mean      sequence-mean-token-mean
    token                                       token-mean               token-mean
    dr_grpo                                     seq-mean-token-sum-norm  sequence-mean-token-scale
  clip_low             epsilon                  clip_ratio_low           epsilon
  clip_high            epsilon_high (epsilon)   clip_ratio_high          epsilon_high (epsilon)
    with cispo         1, epsilon_high - 1:     the same                 None
                       a cap, and no floor
  kl_form              use_bias_correction_kl   kl_loss_type             kl_loss_mode
    k1                                          kl                       kl, the default
    k2                                          mse                      mse_kl
    k3                 False                    low_var_kl               low_var_kl
    k3_ratio_weighted  True
  kl_limit             None                     10 (k3)                  kl_clamp_value (None)
  log_ratio_limit      None                     20                       20
  importance           importance_sampling_     sequence: policy loss    sequence: loss_algo
                       level                    gspo                     gspo-token
  dual_clip            None                     clip_ratio_c (3; no      epsilon_c (None)
                                                dual clip in gspo)
  delta                delta                    None                     None
  tis_cap              cap of the vLLM          rollout_is_threshold,    sampler_is_threshold,
                       correction, mode         token level              sampler_is: token
                       token_truncate
  advantage            another trainer          adv_estimator: grpo,     advantage_estimator: grpo,
                       (RLOO)                   rloo                     rloo
  advantage_scale      scale_rewards            norm_adv_by_std_in_grpo  advantage_estimator:
                                                                         grpo, drgrpo: none
  std_epsilon          1e-4                     1e-6                     1e-6
  max_length           max_completion_length    loss_scale_factor        width of the responses
"""

import dataclasses
from typing import Annotated, Literal

import chex
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from r1jax import ranges
from r1jax.algorithms import advantages, segments, tally


@dataclasses.dataclass(frozen=True)
class GrpoConfig:
  """Everything that shapes the objective.

  Attributes:
    clip_low, clip_high: the ratio is clipped to [1 - clip_low, 1 + clip_high]. R1: 10 and 10
      (R1 §3.2), so that only the upper bound can bind; R1-Zero's value is not reported. DAPO
      ("clip-higher"): 0.2, 0.28.
    beta: weight of the KL term in the loss; 0.001 (R1 §2.1). DAPO and Dr. GRPO: 0.
    kl_form: how the KL(policy | reference) of a token is estimated, of x = log p_ref - log p. 'k3',
      e^x - 1 - x, is the paper's eq. 2: unbiased, never negative; its gradient is that of the
      reversed KL(reference | policy). 'k3_ratio_weighted' multiplies it by the differentiable,
      unclipped ratio of the token (DeepSeek-V3.2, arXiv 2512.02556), whose gradient is that of the
      KL itself; with importance 'sequence' the ratio is the sequence's, and that no longer holds.
      'k1', -x, is unbiased with a large variance, and its gradient is 0 on average: it measures,
      but holds the policy by nothing. 'k2', x^2 / 2, is biased; its gradient is that of the KL. All
      this for samples of the policy itself.
    kl_limit: a token's KL is clipped to +-this, before it is weighted by a ratio; None for no
      limit. Only k1 is ever negative.
    aggregation: how tokens are averaged over a mini-batch of N sequences with n_i tokens each.
      'grpo': 1/N Σ_i 1/n_i Σ_t (DeepSeekMath, 2402.03300, eq. 3; R1's eq. 1 is of whole outputs and
      leaves it open). 'token', which TRL calls 'dapo', so that this name is taken too: 1/Σn_i Σ_i
      Σ_t, over the mini-batch as in TRL and verl, where DAPO's eq. 8 takes each group's tokens.
      'dr_grpo': 1/(N max_length) Σ_i Σ_t. 'bnpo': as 'token', but within each micro-batch, then
      averaged over micro-batches. 'cispo': averaged as 'token', and the surrogate is MiniMax-M1's
      -sg(clip(ratio)) A log p instead of PPO's minimum; the paper's has no floor, so clip_low 1.
    advantage: the baseline, one of `advantages.ESTIMATORS`: 'group' (GRPO) or 'leave_one_out'.
    advantage_scale: divide by the std of the rewards of the 'group' (R1 eq. 3), of all rewards of
      the rollout ('batch'), or 'none' (Dr. GRPO, RLOO).
    std_ddof, std_epsilon: std with n - ddof in the denominator, plus epsilon. The paper gives
      neither.
    importance: ratio per 'token', or one per 'sequence': exp of the mean log-ratio (GSPO,
      2507.18071).
    dual_clip: c > 1; where A < 0, a token's loss is at most -c A. None for off.
    delta: the unclipped ratio is capped at delta before the minimum (INTELLECT-2). None for off.
    old_logp: whose log p before the rollout's updates the ratio divides by. 'trainer' reads the
      replies anew for all mini-batches but the first; 'sampler' takes what the sampler computed
      while it sampled and saves that. The ratio then holds what the two disagree on as well, and
      is clipped with it; `parity/*` is not measured, and `tis_cap` has nothing left to weigh.
    tis_cap: the surrogate is multiplied by sg(min(p_old / p_sampler, tis_cap)), truncated
      importance sampling: p_old by the trainer, p_sampler by the sampler, of the same parameters
      or, where rollouts are sampled ahead, of older ones. None for off.
    log_ratio_limit: log-ratios are clipped to +-this before exp, so that one token cannot overflow
      the loss; x of kl_form likewise, in all its forms. The gradient beyond is 0. None for off.
    max_length: cap on the completion in tokens; needed by 'dr_grpo' (keep it constant there) and by
      overlong_buffer. R1 §2.1: 32,768, from step 8.2k on 65,536.
    overlong_buffer: tokens before the cap in which `advantages.overlong_penalty` grows; in a run
      that is the cap of `rl.length_schedule`. DAPO: 4,096, of a cap of 20,480; 0 for off.
  """

  clip_low: ranges.Weight = 0.2
  clip_high: ranges.Weight = 0.2
  beta: ranges.Weight = 0.001
  kl_form: Literal['k1', 'k2', 'k3', 'k3_ratio_weighted'] = 'k3'
  kl_limit: ranges.Positive | None = None
  aggregation: Literal['grpo', 'dr_grpo', 'dapo', 'token', 'bnpo', 'cispo'] = 'grpo'
  advantage: Literal[tuple(advantages.ESTIMATORS)] = 'group'
  advantage_scale: Literal['group', 'batch', 'none'] = 'group'
  std_ddof: Annotated[int, ranges.Range(0, 1)] = 1
  std_epsilon: ranges.Weight = 1e-4
  importance: Literal['token', 'sequence'] = 'token'
  dual_clip: Annotated[float, ranges.Range(1, above=True)] | None = None
  delta: ranges.Positive | None = None
  old_logp: Literal['trainer', 'sampler'] = 'trainer'
  tis_cap: ranges.Positive | None = None
  log_ratio_limit: ranges.Positive | None = 20.0
  max_length: ranges.Count | None = None
  overlong_buffer: ranges.Size = 0

  def __post_init__(self):
    ranges.check(self)
    ranges.require(
      self,
      self.old_logp == 'trainer' or self.tis_cap is None,
      '{old_logp} puts the sampler into the ratio itself: {tis_cap} must be None',
    )
    ranges.require(
      self,
      self.aggregation != 'cispo' or (self.dual_clip is None and self.delta is None),
      '{aggregation} clips the detached ratio only, but {dual_clip}, {delta}: set both to None',
    )
    ranges.require(
      self,
      self.delta is None or self.delta > 1 + self.clip_high,
      '{delta} would cap ratios that {clip_high} lets through: take more than 1 + clip_high',
    )
    ranges.require(
      self,
      self.max_length is not None or not (self.aggregation == 'dr_grpo' or self.overlong_buffer),
      '{aggregation} with {overlong_buffer} needs the cap in tokens, {max_length}',
    )
    ranges.require(
      self,
      self.max_length is None or self.overlong_buffer <= self.max_length,
      '{overlong_buffer} is longer than {max_length}',
    )


def token_weights(length_B, cfg, microbatch_B=None):
  """Weights of a sequence's tokens, such that the mini-batch's loss is Σ weight x term.

  The normalisers come from the whole mini-batch, so packing, splitting and sharding change nothing.
  'bnpo' is the exception by definition: it depends on which sequences share a micro-batch.

  Args:
    length_B: [B] completion tokens (those with mask 1) of every sequence of the mini-batch; 0 is
      allowed, and such a sequence still counts in the number of sequences, as it does in TRL.
    cfg: `GrpoConfig`; uses aggregation and max_length.
    microbatch_B: [B] micro-batch of each sequence, which only 'bnpo' reads; None for a single one.

  Returns:
    [B] float32; give every token of sequence i the weight at i.
  """
  length_B = np.asarray(length_B)
  if length_B.ndim != 1 or not length_B.size or (length_B < 0).any():
    raise ValueError(f'expected [B] lengths >= 0 with B >= 1, got {length_B}')
  # The mean over sequences of means over tokens; a mean over none is 0, not NaN.
  if cfg.aggregation == 'grpo':
    divisor_B = length_B.size * np.maximum(length_B, 1)
  # A constant divisor: long completions are not favoured.
  elif cfg.aggregation == 'dr_grpo':
    divisor_B = np.full(length_B.shape, length_B.size * cfg.max_length)
  # Each micro-batch divides by its own tokens.
  elif cfg.aggregation == 'bnpo' and microbatch_B is not None:
    _, part_B = np.unique(np.asarray(microbatch_B), return_inverse=True)
    total = np.bincount(part_B, weights=length_B)
    divisor_B = total.size * np.maximum(total, 1)[part_B]
  else:
    # All tokens of the mini-batch alike.
    divisor_B = np.full(length_B.shape, max(length_B.sum(), 1))
  return (1.0 / divisor_B).astype(np.float32)


@flax.struct.dataclass
class Batch:
  """What the objective knows of a packed batch besides the policy's log-probabilities, all [B, T].

  Position t stands for the token at t (its log-probability, given what precedes it in its segment).
  Where mask is 0 the float arrays may hold anything, nan included.

  Attributes:
    mask_BT: bool or 0/1; 1 on the completion's tokens, its end-of-sequence token included.
    advantage_BT: the sequence's advantage, on each of its tokens.
    weight_BT: the sequence's `token_weights`, on each of its tokens.
    old_logp_BT: log p before this rollout's first update, by the trainer; not read where old_logp
      is 'sampler'. None: the policy itself, for a rollout that is used for one update only.
    ref_logp_BT: log p of the reference policy; needed where beta > 0.
    sampler_logp_BT: log p as the sampler computed it while sampling; needed where tis_cap is
      set or old_logp is 'sampler'.
    segment_BT: integers, equal within a sequence and different in neighbours; a sequence is
      contiguous. Needed where importance is 'sequence'.
  """

  mask_BT: jax.Array
  advantage_BT: jax.Array
  weight_BT: jax.Array
  old_logp_BT: jax.Array | None = None
  ref_logp_BT: jax.Array | None = None
  sampler_logp_BT: jax.Array | None = None
  segment_BT: jax.Array | None = None


def loss(cfg, batch, logp_BT, entropy_BT=None):
  """Objective to minimise, summed over the tokens of `batch` with the mini-batch's weights.

  Args:
    cfg: `GrpoConfig`, static under jit.
    batch: `Batch`, a whole mini-batch or any part of it that keeps sequences whole.
    logp_BT: [B, T] log p of each token under the policy, at the rollout temperature;
      differentiated.
    entropy_BT: [B, T] entropy in nats, for the metrics only; or None.

  Returns:
    (loss, tally): a scalar, float32 (float64 for float64 logp_BT), and a `tally.Tally` with
    grpo/kl, grpo/clip_low, grpo/clip_high, grpo/dual_clip (fractions outside the range on the side
    that the advantage pushes to; with 'cispo' on either side) and grpo/ratio, these four over
    tokens, or over sequences where importance is 'sequence'; grpo/ratio_max, grpo/old_kl (log p_old
    - log p), grpo/entropy, grpo/tis_weight, grpo/tis_capped, parity/logp_mean and parity/logp_max
    (|trainer - sampler| in nats), as far as their inputs are given.

  Raises:
    ValueError: an array that the configuration needs is None.
    AssertionError: an array of another shape than logp_BT.
  """
  parts, means, maxima, batch = _terms(cfg, batch, logp_BT, entropy_BT)
  # The weights hold all normalisers, so that parts of a mini-batch add up.
  tokens_BT = batch.mask_BT.astype(batch.weight_BT.dtype)
  total = jnp.sum(batch.weight_BT * tokens_BT * sum(parts.values()))
  return total, tally.measure(means, maxima, tokens_BT)


def terms(cfg, batch, logp_BT):
  """What each token adds to the loss, by part; arguments and errors as of `loss`.

  Returns:
    name -> [B, T]: `policy` and, where there is a reference, `kl`, weighted as in the loss: over
    all parts and tokens they sum to it. `ratio` is that of the policy to the one before updates.
  """
  parts, means, _, batch = _terms(cfg, batch, logp_BT, None)
  weight_BT = batch.weight_BT * batch.mask_BT
  weighted = {name: weight_BT * x_BT for name, x_BT in parts.items()}
  return weighted | {'ratio': jnp.where(batch.mask_BT, means['grpo/ratio'][0], 0)}


def _terms(cfg, batch, logp_BT, entropy_BT):
  """(parts of each token's loss, figures to average, figures to take the maximum of, batch).

  The batch is that of `_unmasked`.
  """
  _check_present(cfg, batch)
  chex.assert_rank(logp_BT, 2)
  # A [B, 1] advantage would broadcast over T, and with it the masked sums of all figures.
  chex.assert_equal_shape([logp_BT, *jax.tree.leaves((batch, entropy_BT))])
  batch, logp_BT = _unmasked(batch, logp_BT)
  # The ratio to the policy before the update; 1 with a gradient where the two are one.
  held_BT = jax.lax.stop_gradient(logp_BT)
  sampled = cfg.old_logp == 'sampler'
  old_BT = batch.sampler_logp_BT if sampled else batch.old_logp_BT
  old_BT = held_BT if old_BT is None else old_BT
  log_ratio_BT, unit_BT = _log_importance(cfg, batch, logp_BT - old_BT)
  ratio_BT = jnp.exp(_limited(log_ratio_BT, cfg.log_ratio_limit))
  # The policy term of each token, and the figures of what the clip did.
  parts = {'policy': _surrogate(cfg, ratio_BT, batch.advantage_BT, logp_BT)}
  means, maxima = _clip_figures(cfg, ratio_BT, batch.advantage_BT, unit_BT)
  means['grpo/old_kl'] = old_BT - logp_BT
  # How far sampler and trainer disagree, and the correction for it.
  if batch.sampler_logp_BT is not None and not sampled:
    gap_BT = old_BT - batch.sampler_logp_BT
    means['parity/logp_mean'] = maxima['parity/logp_max'] = jnp.abs(gap_BT)
    if cfg.tis_cap is not None:
      plain_BT = jnp.exp(_limited(gap_BT, cfg.log_ratio_limit))
      means['grpo/tis_capped'] = plain_BT > cfg.tis_cap
      means['grpo/tis_weight'] = jnp.minimum(plain_BT, cfg.tis_cap)
      parts['policy'] = parts['policy'] * means['grpo/tis_weight']
  # The KL term; without beta it is measured all the same where a reference is given.
  if batch.ref_logp_BT is not None:
    means['grpo/kl'] = _kl(cfg, batch.ref_logp_BT - logp_BT, ratio_BT)
    parts['kl'] = cfg.beta * means['grpo/kl']
  if entropy_BT is not None:
    means['grpo/entropy'] = entropy_BT
  return parts, means, maxima, batch


def _unmasked(batch, logp_BT):
  """The same with a boolean mask, one dtype, and 0 wherever the mask is 0."""
  mask_BT = batch.mask_BT.astype(bool)
  dtype = jnp.promote_types(logp_BT.dtype, jnp.float32)
  # Selecting before any arithmetic keeps junk under the mask out of values and gradients alike.
  only = lambda x: None if x is None else jnp.where(mask_BT, x.astype(dtype), 0)
  floats = {
    field.name: only(getattr(batch, field.name))
    for field in dataclasses.fields(batch)
    if field.name not in ('mask_BT', 'segment_BT')
  }
  return batch.replace(mask_BT=mask_BT, **floats), only(logp_BT)


def _log_importance(cfg, batch, log_ratio_BT):
  """Log-ratio of each token or of its sequence, and each token's share in an average over these."""
  unit_BT = batch.mask_BT.astype(log_ratio_BT.dtype)
  if cfg.importance == 'token':
    return log_ratio_BT, unit_BT
  # A sequence counts once in an average, so each of its tokens has 1 / length.
  length_BT = jnp.maximum(segments.total(unit_BT, batch.segment_BT), 1)
  mean_BT = segments.total(log_ratio_BT, batch.segment_BT) / length_BT
  return unit_BT * mean_BT, unit_BT / length_BT


def _surrogate(cfg, ratio_BT, advantage_BT, logp_BT):
  clipped_BT = jnp.clip(ratio_BT, 1 - cfg.clip_low, 1 + cfg.clip_high)
  if cfg.aggregation == 'cispo':
    return -jax.lax.stop_gradient(clipped_BT) * advantage_BT * logp_BT
  # The lower of two gains: for A < 0 it falls without end as the ratio grows, hence dual_clip.
  capped_BT = ratio_BT if cfg.delta is None else jnp.minimum(ratio_BT, cfg.delta)
  gain_BT = jnp.minimum(capped_BT * advantage_BT, clipped_BT * advantage_BT)
  if cfg.dual_clip is not None:
    floor_BT = cfg.dual_clip * advantage_BT
    gain_BT = jnp.where(advantage_BT < 0, jnp.maximum(gain_BT, floor_BT), gain_BT)
  return -gain_BT


def _clip_figures(cfg, ratio_BT, advantage_BT, unit_BT):
  low_BT, high_BT = ratio_BT < 1 - cfg.clip_low, ratio_BT > 1 + cfg.clip_high
  # CISPO clips the weight whatever A is. Else a token counts only where the clip stops its push:
  # beyond the bound that A drives towards.
  if cfg.aggregation != 'cispo':
    low_BT, high_BT = low_BT & (advantage_BT < 0), high_BT & (advantage_BT > 0)
  means = {'grpo/clip_low': low_BT, 'grpo/clip_high': high_BT, 'grpo/ratio': ratio_BT}
  if cfg.dual_clip is not None:
    means['grpo/dual_clip'] = (ratio_BT > cfg.dual_clip) & (advantage_BT < 0)
  return {name: (x_BT, unit_BT) for name, x_BT in means.items()}, {'grpo/ratio_max': ratio_BT}


def _kl(cfg, log_ref_ratio_BT, ratio_BT):
  """Each token's KL from log p_ref - log p, by one of the estimators that Schulman named."""
  log_ref_ratio_BT = _limited(log_ref_ratio_BT, cfg.log_ratio_limit)
  if cfg.kl_form == 'k1':
    kl_BT = -log_ref_ratio_BT
  elif cfg.kl_form == 'k2':
    kl_BT = jnp.square(log_ref_ratio_BT) / 2
  else:
    # expm1 keeps the digits of a small divergence that exp(x) - 1 - x would cancel.
    kl_BT = jnp.expm1(log_ref_ratio_BT) - log_ref_ratio_BT
  kl_BT = _limited(kl_BT, cfg.kl_limit)
  return kl_BT * ratio_BT if cfg.kl_form == 'k3_ratio_weighted' else kl_BT


def _limited(x, limit):
  return x if limit is None else jnp.clip(x, -limit, limit)


def _check_present(cfg, batch):
  needed = {
    'ref_logp_BT': (cfg.beta > 0, f'beta={cfg.beta}'),
    'sampler_logp_BT': (
      cfg.tis_cap is not None or cfg.old_logp == 'sampler',
      f'tis_cap={cfg.tis_cap} with old_logp={cfg.old_logp!r}',
    ),
    'segment_BT': (cfg.importance == 'sequence', "importance='sequence'"),
  }
  for name, (wanted, why) in needed.items():
    if wanted and getattr(batch, name) is None:
      raise ValueError(f'{why} needs Batch.{name}, which is None')
