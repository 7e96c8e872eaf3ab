"""Drawing the next token: temperature, top-k, top-p, by inversion of two uniform numbers."""

import jax
import jax.numpy as jnp

from r1jax import sharding

REMOVED = -jnp.inf


def uniforms(key, batch):
  """Two numbers in [0, 1] for each of `batch` draws, float32 [batch, 2], the same on every mesh.

  Each is made of 64 random bits, so that small ones have as many digits as large ones: a float32
  of `jax.random.uniform` is a multiple of 2^-23, which is more than the probability of most tokens.
  """
  high_B2, low_B2 = jnp.moveaxis(jax.random.bits(key, (batch, 2, 2), jnp.uint32), -1, 0)
  both_B2 = high_B2.astype(jnp.float32) * 2.0**-32 + low_B2.astype(jnp.float32) * 2.0**-64
  return jax.reshard(both_B2, sharding.act('batch', None))


def draw(logits_BV, uniform_B2, temperature, top_k=0, top_p=1.0):
  """Draws a token from each row; returns (token_B int32, logp_B float32).

  `logp` is the log-probability at the sampling temperature under the *whole* vocabulary, the
  quantity that the trainer computes; top-k and top-p narrow the choice only. Temperature 0 takes
  the most likely token and reports its log-probability at temperature 1.

  Args:
    logits_BV: logits of any float type; the vocabulary may be sharded.
    uniform_B2: as `uniforms` makes them.
    temperature: logits are divided by it; static, as are the two below.
    top_k: only so many of the most likely tokens are drawn from; 0 for all. Tokens as likely as the
      last of them are kept too, so that there may be more.
    top_p: only the smallest set of most likely tokens that hold this probability together is drawn
      from; here too, tokens as likely as the last kept one are all kept.
  """
  # Each device has its sequences' whole vocabulary from here on.
  x_BV = jax.reshard(logits_BV.astype(jnp.float32), sharding.act('batch', None))
  x_BV = x_BV / (temperature or 1.0)
  norm_B = jax.nn.logsumexp(x_BV, axis=-1)
  # Greedy: no uniform number is looked at.
  if temperature == 0:
    return jnp.argmax(x_BV, -1).astype(jnp.int32), x_BV.max(-1) - norm_B
  kept_BV = _top_p(_top_k(x_BV, top_k), top_p)
  # Weights relative to the largest: e^-88 of it is the smallest that float32 knows.
  token_B = invert(jnp.exp(kept_BV - kept_BV.max(-1, keepdims=True)), uniform_B2)
  # A masked sum, as a gather along the vocabulary has no sharding rule.
  hit_BV = jnp.arange(x_BV.shape[-1]) == token_B[:, None]
  return token_B, jnp.where(hit_BV, x_BV, 0).sum(-1) - norm_B


def invert(weight_BV, uniform_B2):
  """Index of one entry of each row, drawn in proportion to its weight; never one of weight 0.

  Two levels of about sqrt(V) entries, one uniform number each: the first chooses a block, the
  second an entry of it. That costs V exps and four words of random bits per draw, where a race of
  all entries would cost V random numbers.
  """
  B, V = weight_BV.shape
  # The power of two at or above sqrt(V).
  width = max(8, 1 << (max(V - 1, 1).bit_length() + 1) // 2)
  padded = jnp.pad(weight_BV, ((0, 0), (0, -V % width)))
  block_BCW = padded.reshape(B, -1, width)
  total_BC = block_BCW.sum(-1)
  block_B = _choose(total_BC, uniform_B2[:, 0])
  # The chosen block by a product with a one-hot: it reads the weights once more, in order.
  hot_BC = jax.nn.one_hot(block_B, total_BC.shape[1])
  chosen_BW = (hot_BC[:, :, None] * block_BCW).sum(1)
  within_B = _choose(chosen_BW, uniform_B2[:, 1])
  return (block_B * width + within_B).astype(jnp.int32)


def _choose(weight_BN, uniform_B):
  """Index of the entry that `uniform` falls on when they lie in a row, the lightest first.

  What lies before an entry is then at most N times as heavy as itself, so that rounding changes its
  share by N / 2^24 of it and no entry is too light to be drawn. In the order of the vocabulary a
  sum near 1 would swallow every weight below 2^-24.
  """
  index_BN = jax.lax.broadcasted_iota(
    jnp.int32, weight_BN.shape, 1, out_sharding=jax.typeof(weight_BN).sharding
  )
  weight_BN, index_BN = jax.lax.sort((weight_BN, index_BN), num_keys=1)
  end_BN = _cumulate(weight_BN)
  at_B = _first_above(end_BN, uniform_B * end_BN[:, -1])
  return jnp.where(jnp.arange(weight_BN.shape[1]) == at_B[:, None], index_BN, 0).sum(-1)


def _cumulate(weight_BN):
  """Running sums along the last axis: a matmul with a triangle is faster here than a scan."""
  upper = jnp.triu(jnp.ones((weight_BN.shape[1],) * 2, jnp.float32))
  return jnp.matmul(weight_BN, upper, precision=jax.lax.Precision.HIGHEST)


def _first_above(end_BN, target_B):
  """First entry whose end exceeds the target; where rounding leaves none, the last of weight."""
  # Ends rise, so the number of those at or below the target is the first one above it.
  above_B = (end_BN <= target_B[:, None]).sum(-1)
  last_B = (end_BN < end_BN[:, -1:]).sum(-1)
  return jnp.minimum(above_B, last_B)


def _top_k(x_BV, k):
  """Keeps the k most likely tokens, and those level with the last of them."""
  if not k or k >= x_BV.shape[-1]:
    return x_BV
  least_B1 = jax.lax.top_k(x_BV, k)[0][:, -1:]
  return jnp.where(x_BV >= least_B1, x_BV, REMOVED)


def _top_p(x_BV, p):
  """Keeps the smallest set of most likely tokens whose probability reaches p, and level ones."""
  if p >= 1:
    return x_BV
  prob_BV = jax.nn.softmax(x_BV, -1)
  # What is more likely than each; the first token is always kept, even above p.
  down_BV = -jnp.sort(-prob_BV, axis=-1)
  before_BV = jnp.cumsum(down_BV, -1) - down_BV
  least_B1 = jnp.where(before_BV < p, down_BV, 2.0).min(-1, keepdims=True)
  return jnp.where(prob_BV >= least_B1, x_BV, REMOVED)
