"""The transformer: one function for training, scoring and prefill, one for a decoding step."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import ad_checkpoint

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.model import cache as cache_lib
from r1jax.model import gqa, layers, lora, mla, moe, mtp, rope
from r1jax.model.attention import Context
from r1jax.params import Param

ATTENTION = {'mla': mla, 'gqa': gqa}

# Of a rematerialised layer nothing is kept but its input; with `offload` that waits on the host.
_KEPT = 'layer input'
_TO_HOST = jax.checkpoint_policies.save_and_offload_only_these_names(
  names_which_can_be_saved=[],
  names_which_can_be_offloaded=[_KEPT],
  offload_src='device',
  offload_dst='pinned_host',
)

# What costs next to nothing to compute again: without `remat` all else of a layer is kept. Among it
# are weights gathered for a product, of which each layer would keep a second copy.
_CHEAP = {
  'add', 'broadcast_in_dim', 'concatenate', 'convert_element_type', 'div', 'exp', 'integer_pow',
  'log', 'logistic', 'max', 'mul', 'neg', 'reduce_max', 'reduce_sum', 'reshape', 'reshard', 'rsqrt',
  'select_n', 'slice', 'sqrt', 'square', 'squeeze', 'sub', 'transpose',
}  # fmt: skip


class Output(NamedTuple):
  """Result of `forward`.

  Attributes:
    hidden_XD: final, normalised hidden states; `logits` turns them into scores.
    entries: what each layer would put into a decoding cache, by kind of layer.
    router: `load_LE` and `balance` of the MoE layers ({} without).
  """

  hidden_XD: jax.Array
  entries: dict[str, Any]
  router: dict[str, jax.Array]


def specs(cfg):
  """The spec tree of a model; with adapters, all other weights are frozen in it."""
  tree = {
    'embed': Param((cfg.vocab, cfg.width), ('vocab', 'embed')),
    'norm': layers.rms_norm_params(cfg.width),
  }
  if not cfg.tied:
    tree['head'] = Param((cfg.vocab, cfg.width), ('vocab', 'embed'))
  if cfg.dense_layers:
    tree['dense'] = params_lib.stack(block_specs(cfg, 'dense'), cfg.dense_layers)
  if cfg.moe_layers:
    tree['moe'] = params_lib.stack(block_specs(cfg, 'moe'), cfg.moe_layers)
  if cfg.mtp_layers:
    tree['mtp'] = params_lib.stack(_mtp_specs(cfg), cfg.mtp_layers)
  return lora.freeze(tree) if cfg.lora.rank else tree


def with_adapters(cfg, settings):
  """The ModelConfig with adapters by a `lora.LoraConfig`, which may be of rank 0.

  Raises:
    ValueError: they do not fit the model; one line that names the key.
  """
  if not settings.rank:
    return cfg
  kinds = [('dense', cfg.dense_layers), ('moe', cfg.moe_layers)]
  blocks = [block_specs(lora.without(cfg), kind) for kind, count in kinds if count]
  lora.check(settings, cfg.width, blocks)
  return dataclasses.replace(cfg, lora=settings)


def block_specs(cfg, kind):
  """The specs of one layer; `kind` is 'dense' or 'moe'."""
  # Both norms stand before what they feed; the residual itself is never normalised.
  block = {
    'norm_attention': layers.rms_norm_params(cfg.width),
    'attention': ATTENTION[cfg.attention].params(cfg),
    'norm_ffn': layers.rms_norm_params(cfg.width),
    'ffn': moe.params(cfg) if kind == 'moe' else layers.swiglu_params(cfg.width, cfg.ffn),
  }
  return lora.adapt(cfg.lora, block)


def forward(params, cfg, token_BT, segment_BT, position_BT, prefix_BT=None):
  """Hidden states of packed rows, as `Output`.

  Tokens, segment ids (0 = padding) and positions are int32 [B, T]; tokens see the past of their own
  segment only, and of the segment that `prefix_BT` names (-1 for none), which lies before it in the
  row. A model with `scan_layers=False` also accepts layer stacks already cut by `unstack`.
  """
  ctx = _context(cfg, position_BT, segment_BT=segment_BT, prefix_BT=prefix_BT)
  x_XD = _embed(params, cfg, token_BT)
  x_XD, entries, router = _layers(params, cfg, x_XD, ctx)
  return Output(layers.rms_norm(params['norm'], x_XD, cfg.norm_eps), entries, router)


def predict_ahead(params, cfg, hidden_XD, next_BT, segment_BT, position_BT):
  """Hidden states of the MTP module: at position t they predict token t + 2 (reference §2.5).

  `hidden_XD` is the model's output after its last norm, where vLLM's module reads it; the paper
  leaves it open. `next_BT` is token t + 1 of its segment. Returns (hidden_XD, router).
  """
  # One module, the first: the paper trains with one (reference §2.5).
  module = params_lib.gather(unstack_one(params['mtp'])[0], _mtp_specs(cfg))
  x_XD = mtp.join(module, cfg, hidden_XD, _embed(params, cfg, next_BT))
  ctx = _context(cfg, position_BT, segment_BT=segment_BT)
  x_XD, _, router = _block(module['block'], cfg, _mtp_kind(cfg), x_XD, ctx, None)
  return layers.rms_norm(module['norm'], x_XD, cfg.norm_eps), router


def decode_step(params, cfg, token_B, position_B, cache):
  """One token a sequence, put into the cache's column of its position; returns (hidden_BD, cache).

  `token_B` and `position_B` are int32 and laid out as sequences are. A sequence reads the columns
  up to its position: what lies behind, of a prompt's padding or of a sequence before, is not seen.
  """
  keep_BS = jnp.arange(cache_lib.columns(cache)) <= position_B[:, None]
  ctx = _context(cfg, position_B, column_B=position_B, keep_BS=keep_BS)
  x_BD = _embed(params, cfg, token_B)
  x_BD, cache, _ = _layers(params, cfg, x_BD, ctx, cache)
  return layers.rms_norm(params['norm'], x_BD, cfg.norm_eps), cache


def logits(params, cfg, hidden_XD):
  """Float32 logits_XV of the next token; the vocabulary stays sharded."""
  return layers.head(head_weights(params, cfg), hidden_XD)


def head_weights(params, cfg):
  """The output head's w_VD: its own, or the embedding."""
  return params['embed' if cfg.tied else 'head']


def unstack_one(stacked):
  """A stack of layers -> tuple of per-layer trees; its gradient is one concatenation."""
  leaves, structure = jax.tree.flatten(stacked)

  def cut(leaf):
    # One split, whose transpose is one concatenation; indexing would add L scattered gradients.
    parts = jax.lax.split(leaf, [1] * leaf.shape[0])
    return [jax.lax.squeeze(part, (0,)) for part in parts]

  return tuple(structure.unflatten(layer) for layer in zip(*(cut(leaf) for leaf in leaves)))


def unstack(params, cfg):
  """Layer stacks cut into layers where the model is unrolled: once, outside the loops."""
  if cfg.scan_layers:
    return params
  return params | {k: unstack_one(params[k]) for k in ('dense', 'moe') if k in params}


def _mtp_kind(cfg):
  return 'moe' if cfg.moe_layers else 'dense'


def _mtp_specs(cfg):
  # The module helps training and is left out of what other tools read: it has no adapters.
  return mtp.params(cfg, block_specs(lora.without(cfg), _mtp_kind(cfg)))


def _embed(params, cfg, token):
  return layers.embed(params['embed'], _tokens(token), jnp.dtype(cfg.compute_dtype))


def _context(cfg, position, **kwargs):
  tables = rope.tables(cfg.rope, cfg.head_rope, cfg.max_length, _tokens(position))
  return Context(*tables, **kwargs)


def _tokens(x):
  """Rows [B, T] flattened, or [B] of one token a sequence, each device with its share."""
  return sharding.flat(x) if x.ndim == 2 else jax.reshard(x, sharding.act('batch'))


def _block(params, cfg, kind, x_XD, ctx, cache):
  """Pre-norm attention and feed-forward, each added to the residual; decodes when given a cache."""
  attention = ATTENTION[cfg.attention]
  # Attention.
  y_XD = layers.rms_norm(params['norm_attention'], x_XD, cfg.norm_eps)
  if cache is None:
    y_XD, entry = attention.attend(params['attention'], cfg, y_XD, ctx)
  else:
    y_XD, entry = attention.decode(params['attention'], cfg, y_XD, ctx, cache)
  x_XD = x_XD + y_XD
  # Feed-forward.
  y_XD = layers.rms_norm(params['norm_ffn'], x_XD, cfg.norm_eps)
  if kind == 'dense':
    return x_XD + layers.swiglu(params['ffn'], y_XD), entry, {}
  # Padding takes no part in routing and its figures; a decoded token is never padding.
  mask_BT = ctx.segment_BT > 0 if cache is None else jnp.ones_like(ctx.keep_BS[:, :1])
  y_XD, router = moe.feed_forward(params['ffn'], cfg, y_XD, mask_BT)
  return x_XD + y_XD, entry, router


def _layers(params, cfg, x_XD, ctx, cache=None):
  """(x_XD, cache entries, router statistics) after all layers, the dense ones before the MoE."""
  entries, router = {}, {}
  for kind in ('dense', 'moe'):
    if kind not in params:
      continue
    # What a layer's weights are called and how they lie, for the gather inside the scan's body.
    cut = block_specs(cfg, kind)

    # Bound now: the loop goes on before a scan traces its body.
    def body(x_XD, layer, kind=kind, cut=cut):
      weights, rows = layer
      # The name that the policy below looks for.
      x_XD = ad_checkpoint.checkpoint_name(x_XD, _KEPT)
      # Weights become whole here, a layer at a time, and again in the backward pass.
      weights = params_lib.gather(weights, cut)
      x_XD, entry, stats = _block(weights, cfg, kind, x_XD, ctx, rows)
      return x_XD, (entry, stats)

    # Decoding has no backward pass.
    body = body if cache is not None else _rematerialised(cfg, body)
    rows = None if cache is None else cache[kind]
    # XLA:TPU turns the whole cache round for the write behind the loop: 9.5 GiB in place of 2.8,
    # for a cache of 1 GiB.
    decoding = partial(_written_behind, ctx.column_B) if cfg.kernels == 'cpu' else _written_within
    run = _unrolled if not cfg.scan_layers else _scanned if cache is None else decoding
    x_XD, entries[kind], stats = run(body, x_XD, params[kind], rows)
    router = stats if kind == 'moe' else router
  # A layer's `load_E` is `load_LE` in the stack of them.
  return x_XD, entries, {f'{k[:-2]}_LE' if k.endswith('_E') else k: v for k, v in router.items()}


def _rematerialised(cfg, body):
  """The layer, which computes anew in the backward pass what it does not keep."""
  if cfg.remat:
    return jax.checkpoint(body, policy=_TO_HOST if cfg.offload else None)
  # Unrolled, a model is small, and XLA fuses across its layers: there is nothing to win.
  if not cfg.scan_layers:
    return body
  kept = lambda primitive, *_, **__: primitive.name not in _CHEAP
  return jax.checkpoint(body, policy=kept, prevent_cse=False)


def _scanned(body, x_XD, stack, rows):
  x_XD, (entries, stats) = jax.lax.scan(body, x_XD, (stack, rows))
  return x_XD, entries, stats


def _written_within(body, x_XD, stack, cache):
  """Carries the cache of all layers: as a scan's input and output XLA:GPU would hold it twice."""

  def step(carry, layer):
    (x_XD, cache), (weights, i) = carry, layer
    rows = jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, i, keepdims=False), cache)
    x_XD, (entry, stats) = body(x_XD, (weights, rows))
    put = lambda a, new: jax.lax.dynamic_update_index_in_dim(a, new, i, 0)
    return (x_XD, jax.tree.map(put, cache, entry)), stats

  # The number of layers is the first axis of every array of the cache.
  number = jnp.arange(len(jax.tree.leaves(cache)[0]))
  (x_XD, cache), stats = jax.lax.scan(step, (x_XD, cache), (stack, number))
  return x_XD, cache, stats


def _written_behind(column_B, body, x_XD, stack, cache):
  """A scan that gives each layer's new entries; the cache takes those of all at once, behind it.

  A layer reads a copy of its part, which XLA:CPU, written within, copies back once more.
  """

  def step(x_XD, layer):
    x_XD, (written, stats) = body(x_XD, layer)
    return x_XD, (cache_lib.read(written, column_B), stats)

  x_XD, (entries, stats) = jax.lax.scan(step, x_XD, (stack, cache))
  return x_XD, cache_lib.write_all(cache, entries, column_B), stats


def _unrolled(body, x_XD, stack, rows):
  weights = stack if isinstance(stack, tuple) else unstack_one(stack)
  rows = [None] * len(weights) if rows is None else rows
  # Equal layers are traced once; inlined, they are the same program.
  body, out = jax.jit(body, inline=True), []
  for layer in zip(weights, rows):
    x_XD, step = body(x_XD, layer)
    out.append(step)
  entries, stats = zip(*out)
  return x_XD, entries, jax.tree.map(lambda *leaves: jnp.stack(leaves), *stats)
