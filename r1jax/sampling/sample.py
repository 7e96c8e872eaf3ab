"""The sampler's programs: `prefill` prompts, `admit` them to slots, `decode` some tokens.

A slot holds one sequence. Between calls the host hands out what has ended and admits the next
request to its slot (`rollout.run`). Each row of the cache has its own clock: a token lies in the
column of its position, behind the prompt's own, so that a slot can begin anew at any time. A draw
depends on its request and its place in the reply alone, not on slot, round or mesh.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from r1jax import kernels, ranges, sharding
from r1jax.model import cache as cache_lib
from r1jax.model import transformer
from r1jax.sampling import draw


@dataclasses.dataclass(frozen=True)
class SampleConfig:
  """How completions are drawn. R1: temperature 1 in RL, 0.6 and top-p 0.95 in evaluation.

  Attributes:
    group: samples per prompt (G).
    max_new: most new tokens; a call may ask for fewer.
    temperature: logits are divided by it; 0 takes the most likely token.
    top_k: only so many of the most likely tokens are drawn from; 0 for all. Tokens as likely as the
      last of them are kept too.
    top_p: only the most likely tokens that hold this probability together are drawn from, and those
      as likely as the last of them.
    slots: sequences that a shard of the batch (a device that has sequences of its own) decodes at
      once; 0 for as many as there are requests. The next request takes the slot of an ended one.
      Another number gives the same completions but for rounding; it decides memory and speed.
      'auto' takes as many as fit the machine.
    cache_growth: number of steps in which the cache grows to its full length. Attention reads the
      whole allocated cache: growing it in 3 steps saves a third of that, for 3 compiled programs.
  """

  group: ranges.Count = 16
  max_new: ranges.Count = 32_768
  temperature: ranges.Temperature = 1.0
  top_k: ranges.Size = 0
  top_p: ranges.Mass = 1.0
  slots: ranges.Size | ranges.Auto = 64
  cache_growth: ranges.Count = 1

  def __post_init__(self):
    ranges.check(self)

  @property
  def how(self):
    """What `decode` must know of it: temperature, top_k, top_p."""
    return self.temperature, self.top_k, self.top_p


@flax.struct.dataclass
class Slots:
  """B sequences on their way.

  Attributes:
    token_B, position_B: the newest token of each and its place; its keys are not in the cache yet.
    length_B: tokens drawn so far; cap_B: most tokens to draw.
    request_B: int32, the request's number, which seeds the sequence's draws.
    recent_BW: the latest tokens, which stop sequences are compared with.
    stopped_B: whether it has ended by itself.
    live_B: whether it goes on; False in a slot without a request too.
    cache: rows of the model's cache.
  """

  token_B: jax.Array
  position_B: jax.Array
  length_B: jax.Array
  cap_B: jax.Array
  request_B: jax.Array
  recent_BW: jax.Array
  stopped_B: jax.Array
  live_B: jax.Array
  cache: dict


class Requests(NamedTuple):
  """What `admit` puts into slots, one entry a slot.

  Attributes:
    source_B: int32, which of the prefilled prompts of the slot's own shard; -1 leaves a slot alone.
    row_B: int32, the shard's own slots, those that are filled before the others.
    token_B: the prompt's last token; length_B: the prompt's tokens.
    cap_B: most tokens to draw; request_B: names the draws.
  """

  source_B: jax.Array
  row_B: jax.Array
  token_B: jax.Array
  length_B: jax.Array
  cap_B: jax.Array
  request_B: jax.Array


class Drawn(NamedTuple):
  """What one call of `decode` has drawn.

  Attributes:
    token_BT, logp_BT: int32 and float32, a column for each step; 0 where a slot was not live.
    steps: number of columns that are used.
    length_B: tokens of each reply so far.
    live_B, stopped_B: of the slots after it.
  """

  token_BT: jax.Array
  logp_BT: jax.Array
  steps: jax.Array
  length_B: jax.Array
  live_B: jax.Array
  stopped_B: jax.Array


def decoding(cfg):
  """The `ModelConfig` by which these programs run the model."""
  return dataclasses.replace(cfg, scan_layers=False) if cfg.unroll_sampling else cfg


def prepare(params, cfg):
  """The weights as the programs want them: layer stacks of an unrolled model are cut once."""
  return params if cfg.scan_layers else unstack(params, cfg)


unstack = jax.jit(transformer.unstack, static_argnums=1)


@partial(jax.jit, static_argnames='cfg')
def prefill(params, cfg, prompt_PT, length_P):
  """The cache entries of prompts, int32 padded on the right; with what their padding leaves."""
  P, T = prompt_PT.shape
  # Prompts begin at position 0; what lies behind them is padding.
  position_PT = jnp.broadcast_to(jnp.arange(T), (P, T))
  position_PT = jax.reshard(position_PT, sharding.act('batch', None))
  segment_PT = (position_PT < length_P[:, None]).astype(jnp.int32)
  return transformer.forward(params, cfg, prompt_PT, segment_PT, position_PT).entries


@partial(jax.jit, static_argnames=('rows', 'columns', 'window'))
def empty(entries, *, rows, columns, window):
  """`Slots` without requests: `rows` of them, with a cache as wide as `columns`.

  `entries` are of `prefill`, whose types the cache takes; `window` is the width of `recent_BW`.
  """
  spec = sharding.act('batch')
  zeros = lambda dtype: jnp.zeros((rows,), dtype, out_sharding=spec)
  number = [zeros(jnp.int32) for _ in range(5)]
  recent_BW = jnp.zeros((rows, window), jnp.int32, out_sharding=sharding.act('batch', None))
  cache = cache_lib.empty(entries, rows, columns)
  return Slots(*number, recent_BW, zeros(bool), zeros(bool), cache)


@partial(jax.jit, donate_argnames='slots')
def admit(slots, entries, requests):
  """Puts requests into slots: the prompt's row of `entries`, of a `prefill`, and a clean record.

  The prompt's last token is drawn from by the first step of `decode`, which makes its keys again.
  """

  def local(slots, entries, requests):
    source_B, row_B, token_B, length_B, cap_B, request_B = requests
    new_B = source_B >= 0
    # Row by row: what is not new is not touched, and a cache may be larger than all the rest.
    copy = lambda i, cache: cache_lib.place(cache, row_B[i], entries, source_B[row_B[i]])
    # As many as there are slots at most, which a plan reads from the name.
    with jax.named_scope(f'expected_trips_{len(row_B)}'):
      cache = jax.lax.fori_loop(0, new_B.sum(), copy, slots.cache)
    put = lambda new, old: jnp.where(new_B, new, old)
    return Slots(
      token_B=put(token_B, slots.token_B),
      position_B=put(length_B - 1, slots.position_B),
      length_B=put(0, slots.length_B),
      cap_B=put(cap_B, slots.cap_B),
      request_B=put(request_B, slots.request_B),
      # -2 is no token and no wildcard, so that nothing stops before there are enough tokens.
      recent_BW=jnp.where(new_B[:, None], -2, slots.recent_BW),
      stopped_B=put(False, slots.stopped_B),
      live_B=put(True, slots.live_B),
      cache=cache,
    )

  return _on_shards(local, slots, entries, requests)


@jax.jit
def compact(slots, row_B):
  """The slots at `row_B`, counted within each shard: fewer of them, for the end of a rollout."""

  def local(slots, row_B):
    rest = jax.tree.map(lambda x: x[row_B], slots.replace(cache=None))
    return rest.replace(cache=cache_lib.take(slots.cache, row_B))

  return _on_shards(local, slots, row_B)


@partial(jax.jit, static_argnames='columns')
def widen(slots, columns):
  """The slots with a cache of `columns`."""
  return slots.replace(cache=cache_lib.grow(slots.cache, columns))


@partial(jax.jit, static_argnames=('cfg', 'how', 'most'), donate_argnames='slots')
def decode(params, cfg, how, slots, key, stop_KW, *, steps, enough, most):
  """Draws tokens until `steps` were drawn or at most `enough` slots are live: (slots, `Drawn`).

  Args:
    params, cfg: the model, of `prepare` and `decoding`.
    how: temperature, top_k and top_p, static.
    slots: `Slots`, given away.
    key: PRNG key of the rollout.
    stop_KW: int32 token sequences that end a completion, padded on the left with -1.
    steps: int32 scalar of at most `most`, which is static, and of what the cache has columns for.
    enough: int32 scalar.
  """
  key_B = jax.vmap(jax.random.fold_in, (None, 0))(key, slots.request_B)
  rows = lambda dtype: jnp.zeros(
    (len(slots.token_B), most), dtype, out_sharding=sharding.act('batch', None)
  )

  def unfinished(carry):
    slots, _, _, step = carry
    return (step < steps) & (slots.live_B.sum() > enough)

  def one(carry):
    slots, token_BT, logp_BT, step = carry
    hidden_BD, cache = transformer.decode_step(
      params, cfg, slots.token_B, slots.position_B, slots.cache
    )
    logits_BV = transformer.logits(params, cfg, hidden_BD)
    uniform_B2 = draw.uniforms(jax.vmap(jax.random.fold_in)(key_B, slots.length_B))
    token_B, logp_B = draw.draw(logits_BV, uniform_B2, *how)
    # A slot that is not live rides along and writes zeros.
    token_B, logp_B = (jnp.where(slots.live_B, x, 0) for x in (token_B, logp_B))
    put = lambda x_BT, new_B: jax.lax.dynamic_update_slice_in_dim(x_BT, new_B[:, None], step, 1)
    slots = _recorded(slots, token_B, stop_KW).replace(cache=cache)
    return slots, put(token_BT, token_B), put(logp_BT, logp_B), step + 1

  start = (slots, rows(jnp.int32), rows(jnp.float32), jnp.int32(0))
  slots, token_BT, logp_BT, step = jax.lax.while_loop(unfinished, one, start)
  return slots, Drawn(token_BT, logp_BT, step, slots.length_B, slots.live_B, slots.stopped_B)


@partial(jax.jit, static_argnames=('cfg', 'scfg', 'rows'))
def generate(params, cfg, scfg, prompt_PT, length_P, key, *, cap, stop_KW, rows=None):
  """A rollout of as many requests as there are slots, in one program.

  No run uses it: it stands in for `rollout.run` where a rollout is planned or tested.

  Args:
    params, cfg: the model.
    scfg: `SampleConfig`.
    prompt_PT: int32 tokens, padded on the right; length_P: their lengths (>= 1).
    key: PRNG key of the rollout; request b is sample b % G of prompt b // G.
    cap: int32 scalar <= scfg.max_new.
    stop_KW: as for `decode`.
    rows: slots of a shard, at most as many as its prompts have samples; None for so many.

  Returns:
    `Drawn`, max_new steps wide.
  """
  cfg = decoding(cfg)
  params = transformer.unstack(params, cfg)
  (P, T), G = prompt_PT.shape, scfg.group
  shards = sharding.batch_shards(jax.sharding.get_abstract_mesh())
  own = rows or P // shards * G
  entries = prefill(params, cfg, prompt_PT, length_P)
  columns = kernels.whole_blocks(T + scfg.max_new, cfg.kernels)
  slots = empty(entries, rows=own * shards, columns=columns, window=stop_KW.shape[1])
  # Each shard counts its own prompts and slots.
  number_SB = np.arange(shards)[:, None] * (P // shards * G) + np.arange(own)
  request_B = jax.reshard(jnp.int32(number_SB.reshape(-1)), sharding.act('batch'))
  source_B = request_B // G % (P // shards)
  row_B = jnp.int32(np.tile(np.arange(own), shards))
  row_B = jax.reshard(row_B, sharding.act('batch'))
  last = _ends(prompt_PT, length_P, source_B)
  requests = Requests(source_B, row_B, *last, 0 * request_B + cap, request_B)
  slots = admit(slots, entries, requests)
  until = {'steps': cap, 'enough': 0, 'most': scfg.max_new}
  return decode(params, cfg, scfg.how, slots, key, stop_KW, **until)[1]


def _ends(prompt_PT, length_P, source_B):
  """Last token and length of the prompt of each slot, from its own shard's."""

  def local(source_B, prompt_PT, length_P):
    length_B = length_P[source_B]
    return prompt_PT[source_B, length_B - 1], length_B

  spec = [jax.typeof(x).sharding.spec for x in (source_B, prompt_PT, length_P)]
  f = jax.shard_map(local, in_specs=tuple(spec), out_specs=(spec[0], spec[0]))
  return f(source_B, prompt_PT, length_P)


def widths(scfg, width, form):
  """Columns of the cache as it grows behind prompts of `width`, in blocks that `form` reads."""
  steps = range(1, scfg.cache_growth + 1)
  ends = sorted({-(-scfg.max_new * i // scfg.cache_growth) for i in steps})
  return [kernels.whole_blocks(width + end, form) for end in ends]


def _on_shards(f, *trees):
  """`f` of each shard's own slots, laid out as before."""
  specs = jax.tree.map(lambda x: jax.typeof(x).sharding.spec, trees)
  return jax.shard_map(f, in_specs=specs, out_specs=specs[0])(*trees)


def _recorded(slots, token_B, stop_KW):
  """The slots after a token each."""
  live_B = slots.live_B
  recent_BW = jnp.concatenate([slots.recent_BW[:, 1:], token_B[:, None]], axis=1)
  length_B = slots.length_B + live_B
  stopped_B = slots.stopped_B | (live_B & _stops(recent_BW, stop_KW))
  return slots.replace(
    token_B=jnp.where(live_B, token_B, slots.token_B),
    position_B=slots.position_B + live_B,
    length_B=length_B,
    recent_BW=recent_BW,
    stopped_B=stopped_B,
    live_B=live_B & ~stopped_B & (length_B < slots.cap_B),
  )


def _stops(recent_BW, stop_KW):
  """Whether the latest tokens end in one of the stop sequences (-1 matches anything)."""
  match_BKW = (stop_KW == recent_BW[:, None]) | (stop_KW == -1)
  return match_BKW.all(-1).any(-1)
