"""One conversation at a time, token by token, for a terminal: the sampler's step without its loop.

Every token is written into the cache's column of its position, so the padding of a prompt is
overwritten as the reply grows. Widths and cache sizes are powers of two: few programs to compile.
"""

from functools import partial

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from r1jax import kernels, sharding
from r1jax import params as params_lib
from r1jax.model import cache as cache_lib
from r1jax.model import transformer
from r1jax.sampling import draw

SMALLEST = 64  # columns of the smallest cache
# Products of a prompt that take a small part of a second: the cache of a small model has as many
# columns from the start, up to `_ROOMY`, and one compilation serves a whole conversation.
_CHEAP, _ROOMY = 10**9, 1024
_BROKEN = -1  # in place of a token that was drawn from NaN


@flax.struct.dataclass
class _State:
  token_B: jax.Array
  position: jax.Array
  cache: dict


def prepare(params, cfg):
  """The weights as `tokens` wants them: layer stacks of an unrolled model are cut once, here."""
  return jax.jit(transformer.unstack, static_argnums=1)(params, cfg)


def tokens(params, cfg, scfg, prompt_ids, key, stop_ids=()):
  """Yields the ids of a reply one by one, a stopping id included.

  The next step is on its way while the caller looks at a token; what follows a stop is unseen.

  Args:
    params, cfg: the model, its weights from `prepare`; the mesh has no batch axes (one sequence).
    scfg: `sample.SampleConfig`: temperature, top_k, top_p, and max_new, the most tokens to yield.
    prompt_ids: list of int, at least one.
    key: PRNG key of this reply.
    stop_ids: ids that end it.

  Raises:
    ValueError: the prompt is empty or, with max_new, beyond `max_length`; the model computes NaN.
  """
  length = len(prompt_ids)
  if not length or length + scfg.max_new > cfg.max_length:
    raise ValueError(
      f'{length} prompt tokens and {scfg.max_new=} must be at least 1 and fit {cfg.max_length=}'
    )
  how = (scfg.temperature, scfg.top_k, scfg.top_p)
  # Prompt: padded to a power of two, as is the cache.
  width = _slots(max(length + 1, _roomy(cfg)), cfg.kernels)
  prompt_BT = np.zeros((1, width), np.int32)
  prompt_BT[0, :length] = prompt_ids
  prompt_BT = sharding.put(prompt_BT, sharding.act('batch', None))
  state = _prefill(params, cfg, how, prompt_BT, np.int32(length), key)
  # Reply: one step ahead of the caller.
  for number in range(scfg.max_new):
    token_B = jnp.copy(state.token_B)  # the state itself is given to the next step
    if number + 1 < scfg.max_new:
      if length + number + 1 > width:
        width = _slots(length + number + 1, cfg.kernels)
        state = state.replace(cache=_grow(state.cache, size=width))
      state = _step(params, cfg, how, state, key)
    token = int(token_B[0])
    if token == _BROKEN:
      raise ValueError(
        f'the model computes NaN for token {length + number + 1}: its weights are damaged, or '
        f'{cfg.compute_dtype} does not hold its values'
      )
    yield token
    if token in stop_ids:
      return


def _roomy(cfg):
  """Columns that a cache of the model may as well have at once."""
  columns = _CHEAP // params_lib.count(transformer.specs(cfg))
  # Down to a power of two; none where even the smallest cache has more.
  return 1 << (min(columns, _ROOMY, cfg.max_length) or 1).bit_length() - 1


def _slots(needed, form):
  """The smallest power of two that is enough, in blocks that the kernels read."""
  return kernels.whole_blocks(max(SMALLEST, 1 << (needed - 1).bit_length()), form)


@partial(jax.jit, static_argnames=('cfg', 'how'))
def _prefill(params, cfg, how, prompt_BT, length, key):
  B, T = prompt_BT.shape
  position_BT = jnp.broadcast_to(jnp.arange(T), (B, T))
  position_BT = jax.reshard(position_BT, sharding.act('batch', None))
  segment_BT = (position_BT < length).astype(jnp.int32)
  output = transformer.forward(params, cfg, prompt_BT, segment_BT, position_BT)
  # The prompt's last state, by a masked sum as it has a place that is not static.
  last_X1 = jnp.arange(T)[:, None] == length - 1
  hidden_BD = jnp.where(last_X1, output.hidden_XD, 0).sum(0)[None]
  token_B = _draw(params, cfg, hidden_BD, length, key, how)
  return _State(token_B, length, output.entries)


@partial(jax.jit, static_argnames=('cfg', 'how'), donate_argnames='state')
def _step(params, cfg, how, state, key):
  position_B = jax.reshard(state.position[None], sharding.act('batch'))
  hidden_BD, cache = transformer.decode_step(params, cfg, state.token_B, position_B, state.cache)
  position = state.position + 1
  token_B = _draw(params, cfg, hidden_BD, position, key, how)
  return _State(token_B, position, cache)


def _draw(params, cfg, hidden_BD, position, key, how):
  """The token for `position`, from the key of this reply and the position."""
  uniform_B2 = draw.uniforms(jax.random.fold_in(key, position)[None])
  hidden_BD = jax.reshard(hidden_BD, sharding.act('batch', None))
  logits_BV = transformer.logits(params, cfg, hidden_BD)
  token_B = draw.draw(logits_BV, uniform_B2, *how)[0]
  return jnp.where(jnp.isnan(logits_BV).any(-1), _BROKEN, token_B)


_grow = jax.jit(cache_lib.grow, static_argnames='size')
