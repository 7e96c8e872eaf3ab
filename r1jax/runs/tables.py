"""What a job is about to do, in numbers, before it does it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import rich.box
import rich.console
import rich.table
import rich.text

from r1jax import kernels, sharding, terminal
from r1jax import params as params_lib
from r1jax.interchange import exporting
from r1jax.model import lora, transformer
from r1jax.planning import disk, memory, phases, resident
from r1jax.stages import sft

_MOST = 240  # characters of a text that a plan shows


def excerpt(text):
  """A text as it is, on one line with its line ends visible, the middle of a long one left out."""
  shown = text.replace('\n', '⏎')
  return shown if len(shown) <= _MOST else f'{shown[: _MOST // 2]} ... {shown[-_MOST // 2 :]}'


def table(title, rows):
  """A two-column table of (name, text) rows."""
  out = rich.table.Table(title=title, box=rich.box.SIMPLE, show_header=False, title_justify='left')
  out.add_column(style='bold')
  out.add_column()
  for name, text in rows:
    # Paths and names of others: no escape sequence is obeyed, no `[x]` taken for a style.
    cells = (terminal.plain(cell) for cell in (name, text))
    out.add_row(*map(rich.text.Text, cells))
  return out


def show(title, rows):
  """Prints the table, on the first process only."""
  if jax.process_index() == 0:
    rich.console.Console().print(table(title, rows))


def model_rows(cfg, mesh):
  """Architecture, parameters and mesh."""
  total = params_lib.count(transformer.specs(lora.without(cfg)))
  ahead = params_lib.count(transformer.specs(cfg).get('mtp', {}))
  moe = f', {cfg.moe.experts} experts top-{cfg.moe.per_token}' if cfg.moe_layers else ''
  said = (n for n in mesh.shape.items() if n[0] in sharding.AXES or n[1] > 1)
  sizes = ', '.join(f'{name} {size}' for name, size in said)
  return [
    (
      'model',
      f'{cfg.attention} {cfg.layers} layers, width {cfg.width}{moe}, vocabulary {cfg.vocab}',
    ),
    (
      'parameters',
      f'{total - ahead:,}' + (f' + {ahead:,} for multi-token prediction' if ahead else ''),
    ),
    *_adapter_rows(cfg, total),
    (
      'numbers',
      f'{cfg.param_dtype} weights, {cfg.compute_dtype} compute, float32 where it matters',
    ),
    ('kernels', kernels.describe(cfg.kernels, mesh.devices.flat[0])),
    ('mesh', f'{sizes} on {mesh.size} {mesh.devices.flat[0].platform} device(s)'),
  ]


def _adapter_rows(cfg, total):
  """How much is trained in place of the weights."""
  if not cfg.lora.rank:
    return []
  count = params_lib.count(params_lib.trained(transformer.specs(cfg)))
  places = ', '.join(cfg.lora.targets)
  said = f'{count:,} trained ({count / total:.2%}), rank {cfg.lora.rank}, at {places}'
  return [('adapters', f'{said}; the weights are frozen')]


def export_rows(cfg, tok):
  """What the trained model cannot be exported as, said before anything is trained."""
  refused = {form: why for form, why in exporting.possible(cfg, tok).items() if why}
  return [(f'no {form} export', why) for form, why in refused.items()]


def rl_rows(job, cfg, mesh):
  """Batch arithmetic and memory of an RL job."""
  rl, group = job.rl, job.sample.group
  total = rl.prompts * group
  per_update = total // rl.mini_batches
  rollouts = -(-rl.updates // rl.mini_batches)
  caps = ', '.join(f'{length:,} from update {start:,}' for start, length in rl.length_schedule)
  worst = total * (job.data.max_prompt + job.sample.max_new)
  reference = f'reference every {rl.reference_every} updates' if job.grpo.beta else 'no reference'
  return [
    ('rollout', f'{rl.prompts:,} prompts x {group} samples = {total:,} sequences'),
    ('length', f'at most {job.data.max_prompt:,} + new tokens {caps}'),
    (
      'updates',
      f'{rl.mini_batches} mini-batches of {per_update:,} sequences, {rl.updates:,} in all '
      f'= {rollouts:,} rollouts',
    ),
    ('tokens', f'at most {worst:,} a rollout, {worst * rollouts:,} in all'),
    ('sampling', _sampling(rl)),
    ('prompts', _prompts(rl, cfg)),
    (
      'objective',
      f'clip -{job.grpo.clip_low:g}/+{job.grpo.clip_high:g}, beta {job.grpo.beta:g}, '
      f'{job.grpo.aggregation}, {reference}',
    ),
    *phases.expert_rows(job, cfg, mesh),
    *_memory(job, cfg, mesh),
  ]


def _sampling(rl):
  """When and where rollouts are sampled."""
  if not rl.staleness:
    return 'and training take turns on the same devices'
  where = f'devices of its own, mesh {rl.rollout_mesh}' if rl.rollout_mesh else 'the same device'
  return f'{rl.staleness} rollout(s) ahead of training, on {where}, with as many sets of weights'


def _prompts(rl, cfg):
  """How often a prompt is computed in an update."""
  if rl.share_prompts and cfg.kernels in kernels.SHARING:
    return 'computed once for all completions of a row, where that is less'
  why = f': no {cfg.kernels} kernel shares them yet' if rl.share_prompts else ''
  return f'computed for each completion{why}'


def preference_rows(job):
  """Batch arithmetic of a reward model."""
  rm = job.reward_model
  return [
    ('reward model', f'{rm.kind}, {rm.updates:,} updates of {rm.pairs} pairs'),
    ('rows', f'{rm.micro} micro-batches of {rm.pairs // rm.micro} pairs, {rm.capacity:,} tokens'),
  ]


def sft_rows(job, stage, size, mesh, tokenizer, beside=0.0):
  """What is learned, held out and left out, for how long, and what memory it takes.

  `beside`: bytes of weights that stay beside those that learn.
  """
  rate, data = job.optimizer, stage.encoded
  learned = sum(int(one.learned.sum()) for one in data.tokens)
  rows = [
    ('data', f'{size:,} examples from {job.sft.path}, {learned:,} tokens to learn per epoch'),
    ('updates', f'{stage.total:,} of {job.sft.batch} examples = {job.sft.epochs:g} epochs'),
    ('rate', f'{rate.lr:g}, a cosine to {rate.lr * rate.end_fraction:g}'),
    *_first_rows(data.tokens[0], tokenizer),
  ]
  if job.sft.heldout:
    held = len(stage.held.tokens)
    rows.append(('held out', f'{held:,} examples, by a hash of the question'))
  unread = sft.unread(job.sft)
  if unread:
    rows.append(('not read', f'columns {", ".join(unread)}'))
  if data.long:
    rows.append(('left out', data.told()))
  if data.rewritten:
    rows.append(
      (
        'turns',
        f'{data.rewritten:,} conversations are learned reply by reply: the chat template rewrites '
        'earlier replies',
      )
    )
  # There is no reference, and questions are asked now and then, with less than an update takes.
  alone = dataclasses.replace(job, grpo=dataclasses.replace(job.grpo, beta=0.0))
  held = dataclasses.replace(memory.held(alone, stage.cfg, mesh), cache=0.0, decoding=0.0)
  saves = stage.total > job.loop.checkpoint_every
  updates = resident.Updates('sft.rows', job.sft.rows, job.sft.capacity, beside, saves)
  kept = disk.row(alone, stage.cfg, mesh, stage.total)
  return rows + resident.row(stage.cfg, mesh, held, updates) + kept


def _first_rows(one, tokenizer):
  """The first example as the model sees it, control tokens with it; `…` where it goes on later."""

  def text(chosen):
    # Turns that are learned and turns that are not follow each other.
    cuts = np.flatnonzero(np.diff(chosen, prepend=~chosen[:1])).tolist()
    ends = [*cuts[1:], len(chosen)]
    spans = list(map(slice, cuts, ends))
    shown = [_marked(one.ids[span], tokenizer) for span in spans if chosen[span.start]]
    return f'{excerpt(" … ".join(shown))} ({int(chosen.sum()):,} tokens)'

  return [('given', text(~one.learned)), ('to learn', text(one.learned))]


def _marked(ids, tokenizer):
  """The text of ids, with control tokens, which decoding leaves out, by their names."""
  silent = [i for i, one in enumerate(ids) if not tokenizer.decode([one])]
  text, begin = '', 0
  for at in silent:
    text += tokenizer.decode(ids[begin:at]) + (tokenizer.text_of(int(ids[at])) or '')
    begin = at + 1
  return text + tokenizer.decode(ids[begin:])


def distill_rows(job, stage, size, mesh, tokenizer):
  """Who teaches, what a student learns, and for how long."""
  kl = job.distill.kl
  more = f', {kl.weight:g} of the loss on its distribution' if kl.weight else ', samples only'
  teacher = f'{job.distill.teacher}{more}' if job.distill.teacher else 'none: published samples'
  beside = 0.0
  # Its weights are there only where its distribution is learned.
  if stage.teacher:
    its = stage.teacher.cfg
    beside = params_lib.count(transformer.specs(its)) * jnp.dtype(its.param_dtype).itemsize
  return [('teacher', teacher), *sft_rows(job, stage, size, mesh, tokenizer, beside)]


def _memory(job, cfg, mesh):
  """What an update and a rollout hold on the fullest device, and of a CPU machine in all."""
  held, rl = memory.held(job, cfg, mesh), job.rl
  update = held.gradients + memory.activations(cfg, mesh, rl.rows, rl.capacity)
  parts = (
    f'{memory.size(held.state)} of weights, optimizer and reference per device',
    f'{memory.size(update)} more in an update (gradients, activations by a formula)',
    f'{memory.size(held.decoding + held.cache)} more in a rollout (cache)',
  )
  in_all = resident.row(cfg, mesh, held, resident.of_rl(job))
  kept = disk.row(job, cfg, mesh, rl.updates)
  return [('memory', '; '.join(parts)), *in_all, *kept]
