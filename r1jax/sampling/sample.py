"""The sampler: one jitted program from prompts to completions.

Each prompt is prefilled once and its cache fanned out to G samples; a `while_loop` then decodes
until all have stopped. Prompts are padded on the right and all sequences write the same cache
column at a step, so the cache update is one slice whatever the prompts' lengths; the positions of a
sequence, and with them its rotary angles, stay contiguous.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from r1jax import kernels, ranges, sharding
from r1jax.model import cache as cache_lib
from r1jax.model import transformer
from r1jax.sampling import draw


@dataclasses.dataclass(frozen=True)
class SampleConfig:
  """How completions are drawn: R1 at temperature 1 in RL, 0.6 and top-p 0.95 when evaluated (§1.9).

  Attributes:
    group: samples a prompt (G).
    max_new: most new tokens, a static bound; `generate` takes a smaller cap at run time.
    temperature: logits are divided by it; 0 takes the most likely token.
    top_k: only so many of the most likely tokens are drawn from; 0 for all. Tokens as likely as the
      last of them are kept too.
    top_p: only the most likely tokens that hold this probability together are drawn from, and those
      as likely as the last of them.
    cache_growth: number of steps in which the cache grows to its full length. Attention reads the
      whole allocated cache: growing it in 3 steps saves a third of that, for 3 compiled loops.
  """

  group: ranges.Count = 16
  max_new: ranges.Count = 32_768
  temperature: ranges.Temperature = 1.0
  top_k: ranges.Size = 0
  top_p: ranges.Mass = 1.0
  cache_growth: ranges.Count = 1

  def __post_init__(self):
    ranges.check(self)


@flax.struct.dataclass
class Completions:
  """B = P * G completions, the samples of a prompt next to each other.

  Attributes:
    token_BT: int32, 0 beyond the length; the stopping token is included.
    logp_BT: float32 log-probabilities at the sampling temperature, 0 beyond the length.
    length_B: number of tokens.
    stopped_B: False where the cap cut the completion.
  """

  token_BT: jax.Array
  logp_BT: jax.Array
  length_B: jax.Array
  stopped_B: jax.Array


class _Request(NamedTuple):
  """What stays the same while a batch is decoded; `width` is that of the padded prompts."""

  length_B: jax.Array
  width: int
  key: jax.Array
  cap: jax.Array
  stop_KW: jax.Array


@flax.struct.dataclass
class _State:
  step: jax.Array
  token_B: jax.Array
  recent_BW: jax.Array
  stopped_B: jax.Array
  out: Completions
  cache: dict


@partial(jax.jit, static_argnames=('cfg', 'scfg'))
def generate(params, cfg, scfg, prompt_PT, length_P, key, *, cap, stop_KW):
  """Samples `scfg.group` completions of each prompt.

  Args:
    params, cfg: the model.
    scfg: static sampling settings.
    prompt_PT: int32 tokens, padded on the right; length_P: their lengths (>= 1).
    key: PRNG key of this call.
    cap: int32 scalar <= scfg.max_new: this call's limit of new tokens (no recompilation when it
      changes).
    stop_KW: int32 token sequences that end a completion, padded on the left with -1.

  Returns:
    `Completions`.
  """
  if cfg.unroll_sampling:
    cfg = dataclasses.replace(cfg, scan_layers=False)
  # Prefill: each prompt once.
  params = transformer.unstack(params, cfg)
  cache, logits_PV = _prefill(params, cfg, prompt_PT, length_P)
  # From P prompts to B = P * G sequences.
  logits_BV, length_B = _fan_out(logits_PV, scfg.group), _fan_out(length_P, scfg.group)
  axis = 1 if cfg.scan_layers else 0
  cache = jax.tree.map(lambda x: _fan_out(x, scfg.group, axis), cache)
  # Decode, in as many loops as the cache has sizes.
  state = _start(scfg, logits_BV, key, cache, stop_KW)
  request = _Request(length_B, prompt_PT.shape[1], key, cap, stop_KW)
  for end in _bounds(scfg):
    slots = kernels.whole_blocks(request.width + end, cfg.kernels)
    cache = cache_lib.grow(state.cache, slots)
    state = _decode(params, cfg, scfg, request, state.replace(cache=cache), end)
  return state.out.replace(stopped_B=state.stopped_B)


def _bounds(scfg):
  """Numbers of new tokens at which the cache grows, the last being `max_new`."""
  steps = range(1, scfg.cache_growth + 1)
  return sorted({-(-scfg.max_new * i // scfg.cache_growth) for i in steps})


def _prefill(params, cfg, prompt_PT, length_P):
  P, T = prompt_PT.shape
  # Prompts begin at position 0 and slot 0; what lies behind them is padding.
  position_PT = jnp.broadcast_to(jnp.arange(T), (P, T))
  position_PT = jax.reshard(position_PT, sharding.act('batch', None))
  segment_PT = (position_PT < length_P[:, None]).astype(jnp.int32)
  output = transformer.forward(params, cfg, prompt_PT, segment_PT, position_PT)
  hidden_PTD = sharding.in_rows(output.hidden_XD, prompt_PT)
  # The hidden state at each prompt's end says what comes first.
  last_PT1 = (position_PT == length_P[:, None] - 1)[:, :, None]
  hidden_PD = jnp.where(last_PT1, hidden_PTD, 0).sum(1)
  return output.entries, transformer.logits(params, cfg, hidden_PD)


def _fan_out(x, group, axis=0):
  """Repeats every prompt's entry `group` times along the batch axis."""
  return jnp.repeat(x, group, axis=axis, out_sharding=jax.typeof(x).sharding)


def _start(scfg, logits_BV, key, cache, stop_KW):
  """State after the first token, which comes from the prompt's own logits."""
  batch = logits_BV.shape[0]
  token_B, logp_B = _draw(scfg, logits_BV, key, 0)
  two, one = sharding.act('batch', None), sharding.act('batch')
  # -2 is no token and no wildcard, so that nothing stops before there are enough tokens.
  recent_BW = jnp.full((batch, stop_KW.shape[1]), -2, jnp.int32, out_sharding=two)
  recent_BW = _push(recent_BW, token_B)
  empty = lambda dtype: jnp.zeros((batch, scfg.max_new), dtype, out_sharding=two)
  out = Completions(
    token_BT=empty(jnp.int32).at[:, 0].set(token_B),
    logp_BT=empty(jnp.float32).at[:, 0].set(logp_B),
    length_B=jnp.ones((batch,), jnp.int32, out_sharding=one),
    stopped_B=jnp.zeros((batch,), bool, out_sharding=one),
  )
  return _State(jnp.int32(0), token_B, recent_BW, _stops(recent_BW, stop_KW), out, cache)


def _decode(params, cfg, scfg, request, state, end):
  """Decodes until all have stopped, the cap is reached or `end` tokens fill the allocated cache."""
  length_B, width, key, cap, stop_KW = request
  slots = jnp.arange(cache_lib.slots(state.cache))
  # The padding behind a prompt is never read.
  prompt_BS = slots < length_B[:, None]

  def unfinished(s):
    return (s.step + 1 < jnp.minimum(cap, end)) & ~s.stopped_B.all()

  def step(s):
    # One column for all sequences, behind the widest prompt; positions go on from each one's end.
    slot = width + s.step
    keep_BS = prompt_BS | ((slots >= width) & (slots <= slot))
    position_B = length_B + s.step
    hidden_BD, cache = transformer.decode_step(
      params, cfg, s.token_B, position_B, slot, keep_BS, s.cache
    )
    logits_BV = transformer.logits(params, cfg, hidden_BD)
    token_B, logp_B = _draw(scfg, logits_BV, key, s.step + 1)
    return _record(s, token_B, logp_B, cache, stop_KW)

  return jax.lax.while_loop(unfinished, step, state)


def _draw(scfg, logits_BV, key, number):
  """The tokens of place `number` of all completions, from the key of this call and the place."""
  uniform_B2 = draw.uniforms(jax.random.fold_in(key, number), logits_BV.shape[0])
  return draw.draw(logits_BV, uniform_B2, scfg.temperature, scfg.top_k, scfg.top_p)


def _record(s, token_B, logp_B, cache, stop_KW):
  # A sequence that stopped rides along and writes zeros.
  token_B = jnp.where(s.stopped_B, 0, token_B)
  logp_B = jnp.where(s.stopped_B, 0, logp_B)
  at = s.step + 1
  put = lambda x_BT, new_B: jax.lax.dynamic_update_slice_in_dim(x_BT, new_B[:, None], at, 1)
  out = s.out.replace(
    token_BT=put(s.out.token_BT, token_B),
    logp_BT=put(s.out.logp_BT, logp_B),
    length_B=s.out.length_B + ~s.stopped_B,
  )
  recent_BW = _push(s.recent_BW, token_B)
  stopped_B = s.stopped_B | _stops(recent_BW, stop_KW)
  return _State(at, token_B, recent_BW, stopped_B, out, cache)


def _push(recent_BW, token_B):
  return jnp.concatenate([recent_BW[:, 1:], token_B[:, None]], axis=1)


def _stops(recent_BW, stop_KW):
  """Whether the latest tokens end in one of the stop sequences (-1 matches anything)."""
  match_BKW = (stop_KW == recent_BW[:, None]) | (stop_KW == -1)
  return match_BKW.all(-1).any(-1)
