"""What a job is about to do, in numbers, before it does it."""

import jax
import rich.box
import rich.console
import rich.table

from r1jax import kernels, sharding
from r1jax import params as params_lib
from r1jax.model import dispatch, transformer

_GIB = 2**30


def table(title, rows):
  """A two-column table of (name, text) rows."""
  out = rich.table.Table(title=title, box=rich.box.SIMPLE, show_header=False, title_justify='left')
  out.add_column(style='bold')
  out.add_column()
  for name, text in rows:
    out.add_row(name, text)
  return out


def show(title, rows):
  """Prints the table, on the first process only."""
  if jax.process_index() == 0:
    rich.console.Console().print(table(title, rows))


def model_rows(cfg, mesh):
  """Architecture, parameters and mesh."""
  total = params_lib.count(transformer.specs(cfg))
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
    (
      'numbers',
      f'{cfg.param_dtype} weights, {cfg.compute_dtype} compute, float32 where it matters',
    ),
    ('kernels', kernels.describe(cfg.kernels, mesh.devices.flat[0].platform)),
    ('mesh', f'{sizes} on {mesh.size} {mesh.devices.flat[0].platform} device(s)'),
  ]


def rl_rows(job, cfg, mesh):
  """Batch arithmetic and memory of an RL job."""
  rl, group = job.rl, job.sample.group
  total = rl.prompts * group
  per_update = total // rl.mini_batches
  rollouts = -(-rl.updates // rl.mini_batches)
  caps = ', '.join(f'{length:,} from update {start:,}' for start, length in rl.length_schedule)
  worst = total * (job.data.max_prompt + job.sample.max_new)
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
    (
      'objective',
      f'clip -{job.grpo.clip_low:g}/+{job.grpo.clip_high:g}, beta {job.grpo.beta:g}, '
      f'{job.grpo.aggregation}, reference every {rl.reference_every} updates',
    ),
    *expert_rows(job, cfg, mesh),
    ('memory', memory(job, cfg, mesh)),
  ]


def expert_rows(job, cfg, mesh):
  """How tokens reach their experts in each phase; nothing where all experts are on each device."""
  if not cfg.moe_layers or sharding.ways(mesh, 'experts') == 1:
    return []
  chunk, shards = job.rl.rollout_chunk or job.rl.prompts, sharding.batch_shards(mesh)
  tokens = {
    'update': job.rl.rows * job.rl.capacity,
    'prefill': chunk * job.data.max_prompt,
    'decoding': chunk * job.sample.group,
  }
  where = sharding.expert_shards(mesh)
  said = [f'{name} {dispatch.describe(cfg, n // shards, *where)}' for name, n in tokens.items()]
  return [('experts', '; '.join(said))]


def _sampling(rl):
  """When and where rollouts are sampled."""
  if not rl.staleness:
    return 'and training take turns on the same devices'
  where = f'devices of its own, mesh {rl.rollout_mesh}' if rl.rollout_mesh else 'the same device'
  return f'{rl.staleness} rollout(s) ahead of training, on {where}, with as many sets of weights'


def preference_rows(job):
  """Batch arithmetic of a reward model."""
  rm = job.reward_model
  return [
    ('reward model', f'{rm.kind}, {rm.updates:,} updates of {rm.pairs} pairs'),
    ('rows', f'{rm.micro} micro-batches of {rm.pairs // rm.micro} pairs, {rm.capacity:,} tokens'),
  ]


def distill_rows(job, updates, size):
  """What a student learns, and for how long."""
  fine, kl = job.finetune, job.distill.kl
  more = f', {kl.weight:g} of the loss on its distribution' if kl.weight else ', samples only'
  return [
    ('teacher', f'{job.distill.teacher}{more}'),
    ('data', f'{size:,} examples from {fine.path}'),
    ('updates', f'{updates:,} of {fine.batch} examples = {fine.epochs:g} epochs'),
    ('rate', f'{job.optimizer.lr:g}, a cosine to {job.optimizer.end_fraction:g} of it'),
  ]


def memory(job, cfg, mesh):
  """Estimate of what must be resident, all devices together."""
  weights = params_lib.count(transformer.specs(cfg))
  size = 4 if cfg.param_dtype == 'float32' else 2
  copies = 3 if job.grpo.beta else 2  # policy, gradient, reference
  moments = 8 * weights
  row = cfg.kv_latent + cfg.head_rope if cfg.attention == 'mla' else 2 * cfg.kv_heads * cfg.head_qk
  width = 4 if cfg.compute_dtype == 'float32' else 2
  prompts = job.rl.rollout_chunk or job.rl.prompts
  slots = job.data.max_prompt + job.sample.max_new
  cache = prompts * job.sample.group * slots * row * cfg.layers * width
  state = copies * size * weights + moments
  parts = f'{_size(state)} weights, gradients and moments + {_size(cache)} cache'
  return f'{parts} over {mesh.size} device(s), activations beside it'


def _size(count):
  return f'{count / _GIB:,.2f} GiB' if count > _GIB / 10 else f'{count / 2**20:,.1f} MiB'
