"""Tokens to the experts they chose, on whatever shard those are (reference §2.4). None is dropped.

Shapes are static and routing is data, so a buffer that always suffices would hold every token of
every shard. Two ways bound it; `stages` chooses by sizes alone:

- All tokens to all shards (`_gathered`), where a shard's experts can hold them at once: decoding.
- Rounds (`_in_rounds`): a shard sends at most C of its X tokens to each of S shards at a time, by
  all-to-all, until the fullest queue is empty: X/C rounds at most, h X / (S C) where routing is
  even and a token's experts lie on h shards (a token crosses to a shard once for all of them).

Memory of a round in values per device, M' being the part of the expert width that is here and
k = min(K, E/S): S C (3 D + k (2 D + 3 M')) forward, about double that backward, where the weights'
gradient is summed in float32 besides (3 E/S D M'). Without rounds S C becomes S X. A round receives
2 S C D values forward (tokens there, results back) and 3 S C D backward: h/S of what gathering
receives where routing is even, and never more, but for filling up the last round.

Where the shards are on several nodes (`sharding.make_mesh`), each of the `node` axis with as many
of the `expert` axis close to each other, rounds are nested: a token crosses to a node once for all
of its experts there, to the shard with its sender's place on that node, and rounds within the node
take it to those that hold them. Of V3's 8 experts of 4 groups on 8 nodes of 8 shards, the slow way
between nodes is crossed for 3.6 nodes instead of 7.3 shards a token.
"""

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp

from r1jax import kernels, sharding

# Bytes of token rows that a shard's experts see at once: for V3 on 64 shards 128 tokens a pair, so
# 2,048 rows per expert, enough to keep matrix units busy.
_ROWS = 2**29
# How much more than even routing brings a round within a node takes, or it would need a second one.
_SLACK = 1.25
_ALL = ('node', 'expert')


@dataclasses.dataclass(frozen=True)
class ExchangeLevel:
  """Rounds over one level of the machine.

  Attributes:
    axes: of the mesh, over which the shards exchange tokens.
    shards: how many those are.
    size: tokens that one sends to each of them at once.
    rounds: that routing takes where it is even.
    most: that it can take.
  """

  axes: tuple[str, ...]
  shards: int
  size: int
  rounds: int
  most: int


def stages(cfg, tokens, nodes, near):
  """Stages of the way of a shard's `tokens` to experts on `nodes` x `near` shards, outermost first.

  There is none where all tokens are gathered.
  """
  shards = nodes * near
  hit, most = _hit(cfg, shards), _most_rows(cfg, shards)
  # All of them fit at once: gathering is one step, and no queue needs to be built.
  if most // shards >= tokens:
    return ()
  if 1 in (nodes, near):
    return (_stage(_ALL, shards, tokens, hit, _power(most // shards)),)
  # A token that came to a node goes to this many of its shards.
  inner = hit / _hit(cfg, nodes)
  power = _power(most / _SLACK / inner / nodes)
  across = _stage(('node',), nodes, tokens, _hit(cfg, nodes), power)
  came = nodes * across.size
  # With room for uneven routing, but never more than everything that came.
  size = min(math.ceil(_SLACK * came * inner / near), came)
  return across, _stage(('expert',), near, came, inner, size)


def _stage(axes, shards, tokens, hit, size):
  size = min(size, tokens)
  rounds = math.ceil(tokens * hit / shards / size)
  return ExchangeLevel(axes, shards, size, rounds, math.ceil(tokens / size))


def _most_rows(cfg, shards):
  """Tokens that a shard's experts may see at once."""
  # A token's row is there once per expert of its own that the shard holds.
  row = cfg.width * jnp.dtype(cfg.compute_dtype).itemsize * copies(cfg, shards)
  return max(_ROWS // row, shards)


def _power(n):
  """The power of two at or below n, at least 1."""
  return 1 << max(int(n), 1).bit_length() - 1


def _hit(cfg, parts):
  """How many of `parts` equal shares of the experts hold some of a token's, all being as likely."""
  moe = cfg.moe
  group, share = moe.experts // moe.groups, moe.experts // parts
  groups = max(moe.groups // parts, 1)  # that one share has experts of, so many of each:
  each, eligible = min(share, group), group * moe.top_groups
  # Hypergeometric: n of its groups chosen, and none of its experts among the eligible ones.
  missed = sum(
    math.comb(groups, n)
    * math.comb(moe.groups - groups, moe.top_groups - n)
    * math.comb(eligible - n * each, moe.per_token)
    for n in range(min(groups, moe.top_groups) + 1)
  )
  every = math.comb(moe.groups, moe.top_groups) * math.comb(eligible, moe.per_token)
  return parts * (1 - missed / every)


def copies(cfg, shards):
  """Most experts of one token on one of `shards`."""
  return min(cfg.moe.per_token, cfg.moe.experts // shards)


def rows(cfg, tokens, nodes, near):
  """Tokens that a shard's experts see at once."""
  last = stages(cfg, tokens, nodes, near)[-1:]
  return sum(s.shards * s.size for s in last) or tokens * nodes * near


def describe(cfg, tokens, nodes, near):
  """One phrase for the plan."""
  way = stages(cfg, tokens, nodes, near)
  if not way:
    return f'{tokens * nodes * near:,} tokens gathered'
  said = [
    f'{s.size:,} tokens a pair in {s.rounds:,} rounds if even, {s.most:,} at most' for s in way
  ]
  if len(way) == 1:
    return f'all-to-all of {said[0]}'
  return f'all-to-all between nodes of {said[0]}, in each of them within the node {said[1]}'


def to_experts(experts, cfg, x_XD, chosen_XK, gate_XK):
  """Sum of the chosen experts' outputs weighted by their gates, y_XD; a chosen -1 means none."""
  local = {'dense': _dense, 'sorted': partial(_sorted, form=cfg.kernels)}[cfg.moe.dispatch]
  rows = sharding.act('batch', None)
  up, down = sharding.act('experts', None, 'ffn'), sharding.act('experts', 'ffn', None)

  def shard(experts, *tokens):
    # Without these casts, the gradient of what is equal on several shards is summed wrongly.
    experts = jax.lax.pcast(experts, ('data', 'fsdp', 'context'), to='varying')
    tokens = jax.lax.pcast(tokens, 'tensor', to='varying')
    exchanges = stages(cfg, len(tokens[0]), *map(jax.lax.axis_size, _ALL))
    # From the inside out: the last stage hands its tokens to the experts themselves.
    way = local if exchanges else _gathered(local)
    for stage in reversed(exchanges):
      way = _in_rounds(way, stage)
    return jax.lax.psum(way(experts, *tokens), 'tensor')

  specs = ({'w_gate': up, 'w_up': up, 'w_down': down}, rows, rows, rows)
  experts = jax.tree.map(lambda w: w.astype(x_XD.dtype), experts)
  return jax.shard_map(shard, in_specs=specs, out_specs=rows)(experts, x_XD, chosen_XK, gate_XK)


def _gathered(local):
  """Every shard serves all tokens of those that share out the experts with it."""

  def serve(experts, *tokens):
    # Tokens of all shards that hold other experts; numbers of experts become this shard's own.
    x_RD, chosen_RK, gate_RK = (jax.lax.all_gather(a, _ALL, axis=0, tiled=True) for a in tokens)
    first = jax.lax.axis_index(_ALL) * _held(experts)
    y_RD = local(experts, x_RD, chosen_RK - first, gate_RK)
    return jax.lax.psum_scatter(y_RD, _ALL, scatter_dimension=0, tiled=True)

  return serve


def _in_rounds(way, stage):
  """`stage.size` tokens from each shard to each at a time, and there on their `way`.

  The backward pass makes the same rounds.
  The scope's name tells who reads the compiled program how often the loops are expected to run.
  """
  scope, size = partial(jax.named_scope, f'expected_trips_{stage.rounds}'), stage.size

  # A round: rows out to their shards, what those make of them, and the same way home.
  def serve(chosen_RK, experts, x_RD, gate_RK):
    x_RD, chosen_RK, gate_RK = (_exchange(a, stage) for a in (x_RD, chosen_RK, gate_RK))
    first = jax.lax.axis_index(stage.axes) * _share(experts, stage)
    return _exchange(way(experts, x_RD, chosen_RK - first, gate_RK), stage)

  @jax.custom_vjp
  # Forward. A loop of a dynamic length has no derivative of its own, hence the rule below.
  def rounds(experts, x_XD, chosen_XK, gate_XK):
    queue_SX, trips = _queues(experts, chosen_XK, stage)

    def one(r, y_XD):
      token_R = _turn(queue_SX, r, size)
      chosen_RK, x_RD, gate_RK = _rows(token_R, chosen_XK, x_XD, gate_XK)
      return _add(y_XD, token_R, serve(chosen_RK, experts, x_RD, gate_RK))

    with scope():
      return jax.lax.fori_loop(0, trips, one, jnp.zeros_like(x_XD))

  # Backward. Nothing of the rounds was kept: each is made again for its vector-Jacobian product.
  def backward(saved, dy_XD):
    experts, x_XD, chosen_XK, gate_XK = saved
    queue_SX, trips = _queues(experts, chosen_XK, stage)

    def one(r, total):
      dw, dx_XD, dgate_XK = total
      token_R = _turn(queue_SX, r, size)
      chosen_RK, x_RD, gate_RK, dy_RD = _rows(token_R, chosen_XK, x_XD, gate_XK, dy_XD)
      pull = jax.vjp(partial(serve, chosen_RK), experts, x_RD, gate_RK)[1]
      new, dx_RD, dgate_RK = pull(dy_RD)
      dw = jax.tree.map(lambda old, w: old + w.astype(old.dtype), dw, new)
      return dw, _add(dx_XD, token_R, dx_RD), _add(dgate_XK, token_R, dgate_RK)

    # Many small gradients of a weight are added up here: bfloat16 would lose the later ones.
    wide = lambda w: jnp.zeros_like(w, jnp.promote_types(w.dtype, jnp.float32))
    start = jax.tree.map(wide, experts), jnp.zeros_like(x_XD), jnp.zeros_like(gate_XK)
    with scope():
      dw, dx_XD, dgate_XK = jax.lax.fori_loop(0, trips, one, start)
    dw = jax.tree.map(lambda d, w: d.astype(w.dtype), dw, experts)
    return dw, dx_XD, None, dgate_XK

  rounds.defvjp(lambda *operands: (rounds(*operands), operands), backward)
  return rounds


def _held(experts):
  """Experts on this shard."""
  return experts['w_gate'].shape[0]


def _share(experts, stage):
  """Experts of each of the shards of a stage, all that are on a node for that between nodes."""
  near = jax.lax.axis_size('expert') if stage.axes == ('node',) else 1
  return _held(experts) * near


def _exchange(a, stage):
  """Piece s of this shard's rows to shard s, piece p of the result from shard p."""
  return jax.lax.all_to_all(a, stage.axes, split_axis=0, concat_axis=0, tiled=True)


def _queues(experts, chosen_XK, stage):
  """(the tokens for each shard in order, X behind them; rounds until all queues are empty).

  All devices make the same number of rounds, so that they stay one program.
  """
  tokens, size = len(chosen_XK), stage.size
  shard_XK = chosen_XK // _share(experts, stage)
  # Several experts on one shard make one entry: a token crosses to a shard once.
  hit_SX = (shard_XK == jnp.arange(stage.shards)[:, None, None]).any(-1)
  # Those that go come first, in their order; the number X stands for nobody.
  queue_SX = jax.lax.sort(jnp.where(hit_SX, jnp.arange(tokens), tokens))
  behind = (0, 0), (0, -tokens % size)
  queue_SX = jnp.pad(queue_SX, behind, constant_values=tokens)
  # The fullest queue of all devices decides.
  trips = (hit_SX.sum(1).max() + size - 1) // size
  return queue_SX, jax.lax.pmax(trips, sharding.MESH_AXES)


def _turn(queue_SX, r, size):
  """Tokens that go to every shard in round r, [S * size]."""
  return jax.lax.dynamic_slice_in_dim(queue_SX, r * size, size, 1).reshape(-1)


def _rows(token_R, chosen_XK, *arrays):
  """Rows of those tokens; where a queue is empty zeros, and no expert."""
  chosen_RK = chosen_XK.at[token_R].get(mode='fill', fill_value=-1)
  return chosen_RK, *(a.at[token_R].get(mode='fill', fill_value=0) for a in arrays)


def _add(total_XD, token_R, rows_RD):
  return total_XD.at[token_R].add(rows_RD, mode='drop')


def _dense(experts, x_XD, chosen_XK, gate_XK):
  """Every expert on every token, the experts side by side in two-dimensional matmuls."""
  E, D, M = experts['w_gate'].shape
  # A choice of -1 or of another shard's expert matches none, so its gate counts nowhere.
  hot_XKE = chosen_XK[:, :, None] == jnp.arange(E)
  gate_XE = jnp.where(hot_XKE, gate_XK[:, :, None], 0).sum(1)
  gate_XJ = jnp.repeat(gate_XE, M, axis=1)

  def side_by_side(w_EDM):
    return w_EDM.transpose(1, 0, 2).reshape(D, E * M)

  up_XJ = x_XD @ side_by_side(experts['w_up'])
  h_XJ = jax.nn.silu(x_XD @ side_by_side(experts['w_gate'])) * up_XJ
  return kernels.product(h_XJ * gate_XJ, experts['w_down'].reshape(E * M, D))


def _sorted(experts, x_XD, chosen_XK, gate_XK, form='reference'):
  """Tokens sorted by expert, one grouped matmul per weight; those of other shards lie behind."""
  E, (X, per_token) = experts['w_gate'].shape[0], chosen_XK.shape
  # Sort the pairs of token and choice by expert; the stable order keeps runs equal.
  chosen_J = chosen_XK.reshape(-1)
  bucket_J = jnp.where((chosen_J >= 0) & (chosen_J < E), chosen_J, E)
  order_J = jax.lax.iota(jnp.int32, bucket_J.size)
  bucket_J, order_J = jax.lax.sort((bucket_J, order_J), num_keys=1)
  size_E = (bucket_J[:, None] == jnp.arange(E)).sum(0, dtype=jnp.int32)
  most = X * min(per_token, E)  # a token's experts differ, so no more than these can be here
  bucket_J, order_J = bucket_J[:most], order_J[:most]
  x_JD = x_XD[order_J // per_token]
  up_JM = kernels.grouped_matmul(x_JD, experts['w_up'], size_E, form)
  h_JM = jax.nn.silu(kernels.grouped_matmul(x_JD, experts['w_gate'], size_E, form)) * up_JM
  y_JD = kernels.grouped_matmul(h_JM, experts['w_down'], size_E, form)
  weight_J = jnp.where(bucket_J < E, gate_XK.reshape(-1)[order_J], 0)
  return jnp.zeros_like(x_XD).at[order_J // per_token].add(y_JD * weight_J[:, None])
