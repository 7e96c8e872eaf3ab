"""Times the plain forms against others that compute the same, on the CPU of this machine.

  JAX_PLATFORMS=cpu python -m benchmarks.cpu_forms

For each op at the default run's shapes (the tiny model, rows of an update, 512 sequences of a
rollout): the form in use first, then what else was thought of. All forms of an op take turns, round
after round; printed are each one's median and the median of its ratio to the form in use in the
same round. Forms are checked to agree before they are timed. Random weights, seed 0.
"""

import dataclasses
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
from absl import app, flags

from r1jax.kernels import attention_cpu, decode_cpu, products, reference
from r1jax.model import presets

_ROUNDS = flags.DEFINE_integer('rounds', 15, 'rounds, in each of which every form runs once')
_CALLS = flags.DEFINE_integer('calls', 4, 'calls of a form in a round')
_ROWS, _LENGTH = 16, 144  # of a micro-batch of the tiny preset
_SEQUENCES, _SLOTS = 512, 144  # of its rollout


@dataclasses.dataclass(frozen=True)
class Op:
  """Forms of one op: (name, function), the one in use first, all of the same `operands`.

  Attributes:
    trained: gradients are timed too, in the float operands.
  """

  name: str
  forms: tuple[tuple[str, Callable], ...]
  operands: tuple
  trained: bool


def draw(*shapes):
  """Normal arrays of these shapes."""
  rng = np.random.default_rng(0)
  return tuple(jnp.asarray(rng.normal(0, 0.3, shape), jnp.float32) for shape in shapes)


def gate_and_up(tokens, trained):
  """A gated layer's first two products."""
  cfg = presets.tiny()

  def two(x, gate, up, down):
    return (jax.nn.silu(x @ gate) * (x @ up)) @ down

  def one(x, gate, up, down):
    gate, up = jnp.split(x @ jnp.concatenate([gate, up], 1), 2, 1)
    return (jax.nn.silu(gate) * up) @ down

  operands = draw((tokens, cfg.width), *[(cfg.width, cfg.ffn)] * 2, (cfg.ffn, cfg.width))
  forms = (('two matmuls', two), ('one matmul, weights joined in the call', one))
  return Op(f'gate and up, {tokens} tokens', forms, operands, trained)


def gate_and_up_stored(tokens, trained):
  """The same with weights that lie joined, as a checkpoint could hold them."""
  cfg = presets.tiny()

  def apart(x, both, down):
    gate, up = both[:, : cfg.ffn], both[:, cfg.ffn :]
    return (jax.nn.silu(x @ gate) * (x @ up)) @ down

  def one(x, both, down):
    gate, up = jnp.split(x @ both, 2, 1)
    return (jax.nn.silu(gate) * up) @ down

  operands = draw((tokens, cfg.width), (cfg.width, 2 * cfg.ffn), (cfg.ffn, cfg.width))
  forms = (('two matmuls, weights cut in the call', apart), ('one matmul', one))
  return Op(f'gate and up stored joined, {tokens} tokens', forms, operands, trained)


def query_key_value(tokens, trained):
  """The three projections of a grouped-query student."""
  cfg = presets.tiny_qwen2()
  wide, narrow = cfg.heads * cfg.head_qk, cfg.kv_heads * cfg.head_qk

  def three(x, q, k, v):
    return x @ q, x @ k, x @ v

  def one(x, q, k, v):
    return tuple(jnp.split(x @ jnp.concatenate([q, k, v], 1), [wide, wide + narrow], 1))

  columns = [(cfg.width, n) for n in (wide, narrow, narrow)]
  forms = (('three matmuls', three), ('one matmul, weights joined in the call', one))
  return Op(f'q, k, v, {tokens} tokens', forms, draw((tokens, cfg.width), *columns), trained)


def weight_gradient():
  """The gradient by a matrix of the tiny model's feed-forward layer, down to its width."""
  cfg = presets.tiny()

  def wider_first(d, x):
    return jnp.einsum('xf,xd->fd', d, x)

  def turned_before(d, x):
    # As rows of the narrower, which XLA:CPU gives to another library.
    narrow = jax.lax.optimization_barrier(x.T)
    return products.turned(narrow @ d)

  forms = (
    ('the narrower operand first', products.weight_gradient),
    ('the wider operand first', wider_first),
    ('the narrower turned beforehand', turned_before),
  )
  tokens = _ROWS * _LENGTH
  operands = draw((tokens, cfg.ffn), (tokens, cfg.width))
  return Op(f'gradient by weights, {tokens} tokens', forms, operands, False)


def training_attention():
  """Packed rows of the tiny model; two segments to a row."""
  cfg = presets.tiny()
  q, k, v = draw(
    *[(_ROWS, _LENGTH, cfg.heads, cfg.head_qk)] * 2, (_ROWS, _LENGTH, cfg.heads, cfg.head_value)
  )
  segment = jnp.tile(1 + jnp.arange(_LENGTH) // (_LENGTH // 2), (_ROWS, 1))

  def ours(q, k, v, segment):
    return attention_cpu.attention(q, k, v, segment, 0.1)

  def spans(q, k, v, segment):
    return reference.attention(q, k, v, segment, 0.1)

  def whole(q, k, v, segment):
    score = jnp.einsum('btnh,bsnh->bnts', q * 0.1, k)
    keep = (segment[:, :, None] == segment[:, None]) & jnp.tri(_LENGTH, dtype=bool)
    prob = jax.nn.softmax(jnp.where(keep[:, None], score, reference.MASKED), -1)
    return jnp.einsum('bnts,bsnu->btnu', prob, v)

  def library(q, k, v, segment):
    keep = (segment[:, :, None] == segment[:, None]) & jnp.tri(_LENGTH, dtype=bool)
    return jax.nn.dot_product_attention(q, k, v, mask=keep[:, None], scale=0.1)

  forms = (
    ('tiles that somebody sees', ours),
    ('spans of queries', spans),
    ('all scores at once', whole),
    ('jax.nn.dot_product_attention', library),  # wants values as wide as queries, as tiny's are
  )
  return Op('attention', forms, (q, k, v, segment), True)


def shared_attention():
  """Rows of `rl_step --preset=bench_qwen2`: a prompt and four completions that go on from it."""
  cfg, prompt, reply = presets.bench_qwen2(), 63, 193
  first = [1] * prompt + [number for number in range(2, 6) for _ in range(reply)]
  length, rows = len(first), 4
  wide, narrow = (rows, length, cfg.heads, cfg.head_qk), (rows, length, cfg.kv_heads, cfg.head_qk)
  segment = jnp.tile(jnp.array(first), (rows, 1))
  prefix = jnp.where(segment > 1, 1, -1)
  run = lambda form: lambda q, k, v: form.attention(q, k, v, segment, 0.1, prefix)
  forms = (
    ('tiles that somebody sees', run(attention_cpu)),
    ('spans of queries', run(reference)),
  )
  return Op(f'attention, shared prompt, {rows} x {length}', forms, draw(wide, narrow, narrow), True)


def latent_decoding():
  """One query a sequence over the latent cache of the tiny model."""
  cfg = presets.tiny()
  wide, values = cfg.kv_latent + cfg.head_rope, cfg.kv_latent
  # Queries in the latent space, as absorbed attention has them.
  q, cache = draw((_SEQUENCES, cfg.heads, wide), (_SEQUENCES, _SLOTS, wide))
  keep = jnp.arange(_SLOTS) < 100 + jnp.zeros((_SEQUENCES, 1), int)

  def ours(q, cache, keep):
    return decode_cpu.mla_decode(q, cache, keep, values, 0.1)

  def slots_first(q, cache, keep):
    return reference.mla_decode(q, cache, keep, values, 0.1)

  def heads_first(q, cache, keep):
    score = jnp.einsum('bna,bsa->bns', q, cache) * 0.1
    prob = jax.nn.softmax(jnp.where(keep[:, None], score, reference.MASKED), -1)
    return jnp.einsum('bns,bsc->bnc', prob, cache[..., :values])

  def products(q, cache, keep):
    score = (cache[:, :, None] * q[:, None]).sum(-1) * 0.1
    prob = jax.nn.softmax(jnp.where(keep[:, :, None], score, reference.MASKED), 1)
    return (prob[..., None] * cache[:, :, None, :values]).sum(1)

  forms = (
    ('scores turned between the products', ours),
    ('slots first', slots_first),
    ('heads first, values cut before', heads_first),
    ('sums of products', products),
  )
  return Op('MLA decode', forms, (q, cache, keep), False)


def grouped_decoding():
  """One query a sequence over a student's caches; each form has the layout that it reads."""
  cfg = presets.tiny_qwen2()
  Y, G, H = cfg.kv_heads, cfg.heads // cfg.kv_heads, cfg.head_qk
  q, k, v = draw((_SEQUENCES, cfg.heads, H), *[(_SEQUENCES, Y, _SLOTS, H)] * 2)
  # The same numbers in every layout, so that the forms must agree.
  across = [x.transpose(0, 2, 1, 3) for x in (k, v)]
  turned = k.transpose(0, 1, 3, 2)
  keep = jnp.arange(_SLOTS) < 100 + jnp.zeros((_SEQUENCES, 1), int)

  def ours(q, k, v, keep, k_BSYH, v_BSYH, k_BYHS):
    return reference.gqa_decode(q, k_BYHS, v, keep, 0.1)

  def slots_outside(q, k, v, keep, k_BSYH, v_BSYH, k_BYHS):
    score = jnp.einsum('bygh,bsyh->bygs', q.reshape(-1, Y, G, H), k_BSYH)
    return jnp.einsum('bygs,bsyu->bygu', _weights(score, keep), v_BSYH).reshape(q.shape)

  def slots_first(q, k, v, keep, *others):
    return _over_rows_of_keys(q, k, v, keep)

  forms = (
    ('keys [B, Y, H, S]', ours),
    ('keys [B, Y, S, H]', slots_first),
    ('caches [B, S, Y, H]', slots_outside),
  )
  return Op('GQA decode', forms, (q, k, v, keep, *across, turned), False)


def _weights(score_BYGS, keep):
  return jax.nn.softmax(jnp.where(keep[:, None, None], score_BYGS * 0.1, reference.MASKED), -1)


def _over_rows_of_keys(q, k_BYSH, v, keep):
  B, Y, _, H = k_BYSH.shape
  score = jnp.einsum('bygh,bysh->bygs', q.reshape(B, Y, -1, H), k_BYSH)
  return jnp.einsum('bygs,bysu->bygu', _weights(score, keep), v).reshape(q.shape)


def grouped_steps():
  """Eight steps of it as a rollout takes them: a token's key and value are written, then read."""
  cfg = presets.tiny_qwen2()
  Y, H = cfg.kv_heads, cfg.head_qk
  q, k, v = draw((_SEQUENCES, cfg.heads, H), *[(_SEQUENCES, Y, _SLOTS, H)] * 2)

  def steps(q, k, v, slot_axis, decode):
    def one(slot, carried):
      k, v, out = carried
      new = out.reshape(_SEQUENCES, Y, -1, H)[:, :, 0]
      # The write is timed with the read: a layout that reads fast may write slowly.
      k = jax.lax.dynamic_update_index_in_dim(k, new, slot, slot_axis)
      v = jax.lax.dynamic_update_index_in_dim(v, new, slot, 2)
      keep = jnp.arange(_SLOTS) <= slot + jnp.zeros((_SEQUENCES, 1), int)
      return k, v, decode(q, k, v, keep)

    return jax.lax.fori_loop(100, 108, one, (k, v, q))[2]

  def ours(q, k, v, k_BYHS):
    return steps(q, k_BYHS, v, 3, lambda q, k, v, keep: reference.gqa_decode(q, k, v, keep, 0.1))

  def slots_first(q, k, v, k_BYHS):
    return steps(q, k, v, 2, _over_rows_of_keys)

  forms = (('keys [B, Y, H, S]', ours), ('keys [B, Y, S, H]', slots_first))
  return Op('GQA write, decode x 8', forms, (q, k, v, k.transpose(0, 1, 3, 2)), False)


def gradient(form):
  """Gradients of the form's summed squares in its float operands."""

  def run(*operands):
    # Segments and masks have no gradient.
    floats = [i for i, x in enumerate(operands) if x.dtype == jnp.float32]
    loss = lambda *xs: sum((y**2).sum() for y in jax.tree.leaves(form(*xs)))
    return jax.grad(loss, floats)(*operands)

  return run


def agree(forms, operands):
  """Raises ValueError where two forms compute different things."""
  first, *others = [jax.tree.leaves(form(*operands)) for form in forms]
  for other in others:
    for a, b in zip(first, other, strict=True):
      worst, scale = float(jnp.abs(a - b).max()), float(jnp.abs(a).max())
      if worst > 1e-4 * scale:
        raise ValueError(f'two forms differ by {worst:.2e} where the largest value is {scale:.2e}')


def timed(forms, operands):
  """Seconds of a call [rounds, forms]."""
  seconds = np.zeros((_ROUNDS.value, len(forms)))
  # Turns within a round: a change of the clock rate hits all forms.
  for row in seconds:
    for number, form in enumerate(forms):
      began = time.perf_counter()
      for _ in range(_CALLS.value):
        # Waited for each time, or calls would queue up and overlap.
        jax.block_until_ready(form(*operands))
      row[number] = (time.perf_counter() - began) / _CALLS.value
  return seconds


def report(op, table):
  """Adds an op's rows."""
  for pass_name, wrap in (('forward', lambda f: f), ('gradient', gradient)):
    if pass_name == 'gradient' and not op.trained:
      continue
    forms = [jax.jit(wrap(form)) for _, form in op.forms]
    agree(forms, op.operands)
    seconds = timed(forms, op.operands)
    # The median of ratios, not the ratio of medians: rounds differ more than forms do.
    ratio = np.median(seconds / seconds[:, :1], axis=0)
    for (name, _), median, one in zip(op.forms, np.median(seconds, axis=0), ratio):
      table.add_row(op.name, pass_name, name, f'{median * 1e3:,.2f}', f'{one:.2f}')
    table.add_section()


def main(argv):
  """Prints the table."""
  del argv
  # At the tokens of an update, and at those of a decoding step.
  tokens = _ROWS * _LENGTH
  ops = [op(n, t) for op in (gate_and_up, query_key_value, gate_and_up_stored)
         for n, t in ((tokens, True), (_SEQUENCES, False))]  # fmt: skip
  ops += [
    weight_gradient(),
    training_attention(),
    shared_attention(),
    latent_decoding(),
    grouped_decoding(),
    grouped_steps(),
  ]
  table = rich.table.Table('op', 'pass', 'form', 'ms', 'times the first')
  for op in ops:
    report(op, table)
  rich.console.Console().print(table)


if __name__ == '__main__':
  app.run(main)
