"""Drawing the next token: temperature, top-k, top-p, by inversion of two uniform numbers."""

import jax
import jax.numpy as jnp

from r1jax import sharding

REMOVED = -jnp.inf
# Bounds of classes of weights, relative to the heaviest: they are laid in a row class by class.
_CLASSES = (0.0, 2.0**-40, 2.0**-32, 2.0**-24, 2.0**-16, 2.0**-8, 1.0)


def uniforms(key_B):
  """Two numbers in [0, 1] for each of B keys, float32 [B, 2], the same on every mesh.

  Each is made of 64 random bits, so that small ones have as many digits as large ones: a float32
  of `jax.random.uniform` is a multiple of 2^-23, which is more than the probability of most tokens.
  """
  bits = lambda key: jax.random.bits(key, (2, 2), jnp.uint32)
  bits_B22 = jax.vmap(bits)(key_B)
  high_B2, low_B2 = jnp.moveaxis(bits_B22.astype(jnp.float32), -1, 0)
  uniform_B2 = high_B2 * 2.0**-32 + low_B2 * 2.0**-64
  return jax.reshard(uniform_B2, sharding.act('batch', None))


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
  bits = max(V - 1, 1).bit_length()
  width = max(8, 1 << (bits + 1) // 2)
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
  """Index of the entry that `uniform` falls on when they lie in a row, the lightest class first.

  In the order of the vocabulary a sum near 1 would swallow every weight below 2^-24. Here what lies
  before an entry is at most N * 2^8 times as heavy (but for those of less than 2^-40 of the
  heaviest), so that rounding changes its share by at most N * 2^-16 of it.
  """
  top_B1 = weight_BN.max(-1, keepdims=True)
  end_BN, before_B1 = jnp.zeros_like(weight_BN), 0.0
  for low, high in zip(_CLASSES, _CLASSES[1:]):
    member_BN = (weight_BN > low * top_B1) & (weight_BN <= high * top_B1)
    run_BN = before_B1 + _cumulate(jnp.where(member_BN, weight_BN, 0))
    # Entries of weight 0 are in no class: theirs stays 0, which exceeds no target.
    end_BN = jnp.where(member_BN, run_BN, end_BN)
    before_B1 = run_BN[:, -1:]
  above_BN = end_BN > uniform_B[:, None] * before_B1
  first_B = jnp.where(above_BN, end_BN, jnp.inf).argmin(-1)
  # A number that rounds to 1 lies behind all ends.
  return jnp.where(above_BN.any(-1), first_B, weight_BN.argmax(-1))


def _cumulate(weight_BN):
  """Running sums along the last axis: a matmul with a triangle is faster here than a scan."""
  N = weight_BN.shape[1]
  upper = jnp.triu(jnp.ones((N, N), jnp.float32))
  return jnp.matmul(weight_BN, upper, precision=jax.lax.Precision.HIGHEST)


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
