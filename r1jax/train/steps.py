"""The jitted steps: log-probabilities of packed rows, a GRPO update and a language-model update.

A batch is `[A, B, T]`: A micro-batches of B packed rows of T tokens. Only the first `count`
micro-batches hold anything; the loop over them has a dynamic length, so that a step costs what its
tokens cost and never recompiles.

Of `frozen` weights (`params.split`) an update holds no gradient: they are an argument of their own
that nothing is differentiated by, and not donated, as the next update needs them again.
"""

from functools import partial

import flax.struct
import jax
import jax.numpy as jnp

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.algorithms import distillation, grpo, logprobs, preference, sft, tally
from r1jax.model import moe, scalar_head, transformer
from r1jax.train import optimizer
from r1jax.train import state as state_lib


@flax.struct.dataclass
class Rows:
  """Packed rows, int32: tokens, segment ids (0 = padding) and positions, all [..., B, T].

  `prefix` is there where sequences share their beginnings: the segment that each token sees besides
  its own, -1 for none.
  """

  token: jax.Array
  segment: jax.Array
  position: jax.Array
  prefix: jax.Array | None = None


@flax.struct.dataclass
class Batch:
  """`count` micro-batches of rows and what the loss wants of each token, [A, B, T] throughout.

  `first`, a boolean, is there where a rollout has several updates: whether this is its first one,
  whose old policy is the policy itself. `old_logp_BT` is not read then, and need not be scored.
  """

  rows: Rows
  loss: grpo.Batch | sft.Batch | preference.Batch
  count: jax.Array
  first: jax.Array | None = None


def token_logp(params, cfg, rows, mask_BT, temperature):
  """Log-probability of each token given its segment's past, its entropy, and the model's output.

  Both are float32 [B, T], and 0 where `mask_BT` is: no loss reads those tokens, and the output head
  is not computed for them. The first token of a row has nothing before it and is always masked.
  """
  arrays = (rows.token, rows.segment, rows.position, rows.prefix)
  output = transformer.forward(params, cfg, *arrays)
  return *_aligned(params, cfg, output.hidden_XD, (rows.token, mask_BT), 1, temperature), output


def _aligned(params, cfg, hidden_XD, targets, ahead, temperature=1.0):
  """(logp_BT, entropy_BT) of token t by the hidden state at t - `ahead`; targets: token, mask."""
  # The state at t - ahead says something of the token at t: the tokens are rolled to the states,
  # and what comes out is rolled back to the tokens. What wraps round is a row's begin: masked.
  token_X, mask_X = (sharding.flat(jnp.roll(x_BT, -ahead, axis=1)) for x_BT in targets)
  head = transformer.head_weights(params, cfg)
  arguments = (hidden_XD, token_X, temperature, cfg.kernels, mask_X.astype(bool))
  scores = logprobs.token_logp(head, *arguments)
  in_rows = [sharding.in_rows(x, targets[0]) for x in scores]
  return tuple(jnp.roll(x_BT, ahead, axis=1) for x_BT in in_rows)


def _micro(tree, i):
  return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, 0, keepdims=False), tree)


@partial(jax.jit, static_argnames=('cfg', 'temperature'))
def score(params, cfg, rows, mask, count, temperature):
  """logp_ABT of all micro-batches under `params`, at the rollout temperature (reference §4.2).

  It is 0 where `mask` [A, B, T] is: only what a loss reads is worth the output head.
  """

  def one(i, logp_ABT):
    logp_BT, _, _ = token_logp(params, cfg, _micro(rows, i), _micro(mask, i), temperature)
    return jax.lax.dynamic_update_index_in_dim(logp_ABT, logp_BT, i, 0)

  # Micro-batches beyond `count` stay 0.
  empty = jnp.zeros_like(rows.token, jnp.float32)
  return jax.lax.fori_loop(0, count, one, empty)


def _accumulate(loss_fn, params, frozen, batch):
  """Sum of gradients by `params`, merged tallies and kept per-token values over the micro-batches.

  `loss_fn(weights, rows, loss_inputs)` returns (loss, (tally, extra)): `extra` is summed too.
  """
  # The losses of the parts add up, so gradients do too, and nothing is divided here.
  of_trained = lambda trained, *inputs: loss_fn(params_lib.join(trained, frozen), *inputs)
  gradient = jax.grad(of_trained, has_aux=True)

  def inputs(i):
    return _micro(batch.rows, i), _micro(batch.loss, i)

  def one(i, total):
    grads, (figures, extra) = total
    new_grads, (new_figures, new_extra) = gradient(params, *inputs(i))
    grads, extra = jax.tree.map(jnp.add, (grads, extra), (new_grads, new_extra))
    return grads, (tally.merge(figures, new_figures), extra)

  # Zeros of the shapes that one micro-batch gives; they are neutral to `tally.merge`. The loss
  # alone tells them: to trace its gradient a second time would take as long as the first.
  _, shapes = jax.eval_shape(lambda: of_trained(params, *inputs(0)))
  start = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  zeros = jax.tree.map(jnp.zeros_like, params)
  return jax.lax.fori_loop(0, batch.count, one, (zeros, start))


@partial(
  jax.jit,
  static_argnames=('cfg', 'gcfg', 'temperature', 'reference_every'),
  donate_argnames=('state',),
)
def grpo_update(state, batch, frozen=None, *, cfg, gcfg, tx, temperature, reference_every):
  """One policy update of R1's RL (reference §1.2): returns (state, metrics of `grpo.loss`)."""

  def loss_fn(params, rows, inputs):
    logp_BT, entropy_BT, _ = token_logp(params, cfg, rows, inputs.mask_BT, temperature)
    if batch.first is not None:
      # One program for all updates of a rollout: which of them this is it reads on the device.
      own_BT = jax.lax.stop_gradient(logp_BT)
      inputs = inputs.replace(old_logp_BT=jnp.where(batch.first, own_BT, inputs.old_logp_BT))
    # Entropy is watched, not rewarded: its gradient would cost another pass over the vocabulary.
    value, figures = grpo.loss(gcfg, inputs, logp_BT, jax.lax.stop_gradient(entropy_BT))
    return value, (figures, value)

  grads, (figures, loss) = _accumulate(loss_fn, state.params, frozen, batch)
  state, metrics = _apply(state, grads, tx)
  # Without a KL term there is no reference.
  if gcfg.beta:
    state = state_lib.refresh_reference(state, reference_every)
  return state, metrics | tally.results(figures) | {'grpo/loss': loss}


@partial(
  jax.jit,
  static_argnames=('cfg', 'mtp_weight', 'balance', 'bias_speed'),
  donate_argnames=('state',),
)
def language_update(state, batch, frozen=None, *, cfg, mtp_weight, tx, balance, bias_speed):
  """One next-token update, with the MTP loss where the model has the module (reference §2.5).

  `mtp_weight` weighs the loss of that module, `balance` the sequence-wise loss, and `bias_speed` is
  the router bias's gamma (reference §2.4); with 0, and in a skipped update, the bias stays.
  """

  def loss_fn(params, rows, inputs):
    logp_BT, _, output = token_logp(params, cfg, rows, inputs.mask_BT, 1.0)
    routers, ahead = [output.router], ()
    # The module costs a layer and a head; where its loss counts nothing it isn't run.
    if cfg.mtp_layers and mtp_weight:
      ahead_BT, router = _ahead(params, cfg, rows, inputs.mask_BT, output.hidden_XD)
      routers, ahead = [*routers, router], (ahead_BT,)
    value, figures = sft.loss(inputs, logp_BT, ahead, mtp_weight)
    if cfg.moe_layers:
      total = sum(router['balance'].sum() for router in routers)
      # A mean over all rows of the mini-batch, as each micro-batch adds its own part.
      row_count = batch.count * rows.token.shape[0]
      value = value + balance * total / row_count
    # Summed over micro-batches with `extra`: the bias follows the loads of the whole mini-batch.
    loads = [router.get('load_LE', router.get('load_E')) for router in routers if router]
    return value, (figures, (value, loads))

  grads, (figures, (loss, loads)) = _accumulate(loss_fn, state.params, frozen, batch)
  state, metrics = _apply(state, grads, tx)
  if cfg.moe_layers:
    metrics |= _load_figures(loads[0])
    if bias_speed and cfg.moe.bias:
      # A skipped update leaves everything alone, the bias too.
      speed = jnp.where(metrics['optimizer/skipped_in_a_row'] > 0, 0, bias_speed)
      state = state.replace(params=_balanced(state.params, loads, speed))
  return state, metrics | tally.results(figures) | {'sft/loss': loss}


@partial(jax.jit, static_argnames=('cfg', 'teacher_cfg', 'kcfg'), donate_argnames=('state',))
def distill_update(state, teacher, batch, frozen=None, *, cfg, teacher_cfg, kcfg, tx):
  """One update of a student on samples and on its teacher's distribution over their tokens.

  `teacher` are the weights of a model of `teacher_cfg`; returns (state, metrics).
  """

  def loss_fn(params, rows, inputs):
    arrays = (rows.token, rows.segment, rows.position)
    # Hidden states first; the two heads meet in `chunked`, a chunk of positions at a time.
    own = transformer.forward(params, cfg, *arrays).hidden_XD
    given = transformer.forward(jax.lax.stop_gradient(teacher), teacher_cfg, *arrays).hidden_XD
    of_tokens = distillation.chunked(
      lambda x_XD: transformer.logits(teacher, teacher_cfg, x_XD),
      lambda x_XD: transformer.logits(params, cfg, x_XD),
      (given, own),
      jnp.roll(rows.token, -1, axis=1),
      jnp.roll(inputs.mask_BT.astype(bool), -1, axis=1),
      kcfg.chunk,
    )
    back = [jnp.roll(x_BT, 1, axis=1) for x_BT in of_tokens]
    value, figures = distillation.loss(kcfg, inputs, *back)
    return value, (figures, value)

  grads, (figures, total) = _accumulate(loss_fn, state.params, frozen, batch)
  state, metrics = _apply(state, grads, tx)
  return state, metrics | tally.results(figures) | {'sft/loss': total}


@partial(jax.jit, static_argnames=('cfg', 'objective'), donate_argnames=('state',))
def preference_update(state, batch, frozen=None, *, cfg, objective, tx):
  """One update of a reward model (reference §1.4): (state, metrics of `preference.loss`)."""

  def loss_fn(params, rows, inputs):
    arrays = (rows.token, rows.segment, rows.position)
    score_BK = scalar_head.scores(params, cfg, *arrays, inputs.weight_BK.shape[-1])
    value, figures = preference.loss(objective, inputs, score_BK)
    return value, (figures, value)

  grads, (figures, _) = _accumulate(loss_fn, state.params, frozen, batch)
  state, metrics = _apply(state, grads, tx)
  return state, metrics | tally.results(figures)


@partial(jax.jit, static_argnames=('cfg', 'texts'))
def preference_scores(params, cfg, rows, texts):
  """score_BK of one micro-batch of rows under a reward model."""
  arrays = (rows.token, rows.segment, rows.position)
  return scalar_head.scores(params, cfg, *arrays, texts)


def _ahead(params, cfg, rows, mask_BT, hidden_XD):
  """logp_BT of each token by the MTP module, two positions ahead, and the module's router."""
  # What wraps round stands at a row's end, where no target two ahead exists.
  next_BT = jnp.roll(rows.token, -1, axis=1)
  hidden_XD, router = transformer.predict_ahead(
    params, cfg, hidden_XD, next_BT, rows.segment, rows.position
  )
  return _aligned(params, cfg, hidden_XD, (rows.token, mask_BT), 2)[0], router


def _apply(state, grads, tx):
  params, opt, metrics = optimizer.step(tx, grads, state.optimizer, state.params)
  return state.replace(params=params, optimizer=opt, step=state.step + 1), metrics


def _load_figures(load_LE):
  """How uneven the experts' loads are: the busiest over the mean; 1 is even."""
  over_mean_L = load_LE.max(-1) / jnp.maximum(load_LE.mean(-1), 1)
  return {'router/load_max': over_mean_L.max()}


def _balanced(params, loads, speed):
  """The weights with every router's bias moved by the sign rule."""
  params = dict(params)
  bias = moe.updated_bias(_bias(params['moe']), loads[0], speed)
  params['moe'] = _with_bias(params['moe'], bias)
  # The extra module has experts and a bias of its own.
  if len(loads) > 1:
    block = params['mtp']['block']
    block = _with_bias(block, moe.updated_bias(_bias(block), loads[1][None], speed))
    params['mtp'] = params['mtp'] | {'block': block}
  return params


def _bias(block):
  return block['ffn']['router_bias']


def _with_bias(block, bias):
  return block | {'ffn': block['ffn'] | {'router_bias': bias}}
