"""Times one GRPO step phase by phase, with the FLOPs it had to do and the share of the peak.

  python -m benchmarks.rl_step --preset=bench_qwen2

Presets: `bench_qwen2` and `bench_mla` (4 layers, width 256, 8 prompts x 8 samples, prompt 64,
exactly 192 new tokens), `tiny` (the default run's model and lengths, every completion at its cap),
`ragged` (bench_qwen2 with prompt 192 and replies of a geometric length, mean 48, cap 192) and
`smollm2` (its shape, 12 prompts x 8 samples, prompt 37, replies of 20 tokens on average). Prompts
are shared but in `bench_mla`. Weights are random and lengths are fixed lists, so every run does the
same work. Medians after a warm-up.
"""

import dataclasses
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
from absl import app, flags

from r1jax import kernels, sharding
from r1jax import params as params_lib
from r1jax.algorithms import grpo
from r1jax.model import config as model_config
from r1jax.model import presets, transformer
from r1jax.sampling import handover, rollout, sample
from r1jax.stages import packing
from r1jax.train import optimizer, steps
from r1jax.train import state as state_lib

PRESETS = ('bench_qwen2', 'bench_mla', 'tiny', 'ragged', 'smollm2')
_PRESET = flags.DEFINE_enum('preset', 'bench_qwen2', PRESETS, 'shapes')
_REPEATS = flags.DEFINE_integer('repeats', 5, 'timed steps')
_JSON = flags.DEFINE_string('json', None, 'also write the figures to this file')
_SLOTS = flags.DEFINE_integer(
  'slots', None, "sequences decoded at once; 0 for all; by default the preset's"
)
_GROWTH = flags.DEFINE_integer('cache_growth', 3, 'see SampleConfig.cache_growth')


@dataclasses.dataclass(frozen=True)
class Shapes:
  """What one step is made of."""

  cfg: model_config.ModelConfig
  prompts: int
  group: int
  prompt: int
  new: int
  rows: int
  mean: float = 0.0  # tokens of a reply; 0 where all run into the cap `new`
  capacity: int = 0  # of a row; 0 for a prompt and the longest reply
  shared: bool = False
  slots: int = 128  # see SampleConfig.slots

  @property
  def sequences(self):
    """Completions of a step."""
    return self.prompts * self.group

  @property
  def lengths(self):
    """Tokens of each completion: quantiles of a geometric law, in a fixed disorder."""
    if not self.mean:
      return np.full(self.sequences, self.new)
    share = (np.arange(self.sequences) + 0.5) / self.sequences
    length = np.ceil(np.log1p(-share) / np.log1p(-1 / self.mean))
    return np.random.default_rng(0).permutation(np.clip(length, 1, self.new).astype(int))


def shapes(preset):
  """The shapes of a preset."""
  fast = dict(compute_dtype='float32', param_dtype='float32', remat=False, scan_layers=False)
  fast['kernels'] = kernels.resolve('auto', jax.devices()[0])
  if preset == 'tiny':
    cfg = presets.tiny()
    cfg = dataclasses.replace(cfg, moe=dataclasses.replace(cfg.moe, dispatch='dense'), **fast)
    # Half a group to a row, as in bench_qwen2; where none ends early, refilled slots cost time.
    sizes = dict(rows=4, capacity=823, shared=True, slots=0)
    return Shapes(cfg, prompts=32, group=16, prompt=48, new=96, **sizes)
  cfg = dataclasses.replace(presets.bench_qwen2(), kernels=fast['kernels'])
  if preset == 'smollm2':
    sizes = dict(vocab=49_152, width=576, layers=30, dense_layers=30, heads=9, kv_heads=3, ffn=1536)
    shape = dict(head_rope=64, head_value=64, qkv_bias=False, scan_layers=True)
    cfg = dataclasses.replace(cfg, **sizes, **shape, unroll_sampling=True)
    return Shapes(cfg, 12, 8, prompt=37, new=96, rows=1, mean=20, capacity=512, shared=True)
  if preset == 'ragged':
    sizes = dict(prompt=192, new=192, rows=4, mean=48, capacity=640, shared=True)
    return Shapes(cfg, prompts=8, group=8, **sizes)
  if preset == 'bench_mla':
    latent = dict(attention='mla', q_latent=0, kv_latent=64, head_nope=32, head_rope=16)
    cfg = dataclasses.replace(cfg, kv_heads=0, qkv_bias=False, **latent)
    return Shapes(cfg, prompts=8, group=8, prompt=64, new=192, rows=16)
  # Half a group to a row, behind one prompt.
  return Shapes(cfg, prompts=8, group=8, prompt=64, new=192, rows=2, capacity=835, shared=True)


class Step:
  """One step's programs and data, phase by phase."""

  def __init__(self, s):
    # Random weights: what is timed does not depend on them, as nothing stops early.
    self.s, specs = s, transformer.specs(s.cfg)
    self.gcfg = grpo.GrpoConfig()
    self.tx = state_lib.make_optimizer(optimizer.OptimizerConfig(lr=1e-6), specs)
    make = jax.jit(lambda k: params_lib.init(specs, k, s.cfg.init_std, s.cfg.param_dtype))
    self.state = state_lib.create(make(jax.random.key(0)), self.tx, True)
    self.scfg = sample.SampleConfig(group=s.group, max_new=s.new, cache_growth=_GROWTH.value)
    self.limits = rollout.Limits(s.prompt, tuple(s.lengths.tolist()), s.slots)
    rng = np.random.default_rng(0)
    self.prompts = rng.integers(4, s.cfg.vocab, (s.prompts, s.prompt), np.int32)
    self.layout = packing.Layout(s.sequences, s.rows, s.capacity or s.prompt + s.new, s.shared)

  def rollout(self, number):
    """Samples all completions; the host has them."""
    # As in a run: the weights are gathered once, not in each program.
    policy, _ = handover.take(rollout.Policy(self.state.params, self.s.cfg, None), 'decode')
    never = np.array([[self.s.cfg.vocab]], np.int32)  # no such token: nothing stops early
    prompts = [row.tolist() for row in self.prompts]
    parts = rollout.run(policy, self.scfg, prompts, self.limits, jax.random.key(number), never)
    out = rollout.ordered(list(parts))
    self.busy = out.useful / out.steps
    return out

  def pack(self, out):
    """Random advantages, packed rows."""
    advantage_B = np.random.default_rng(1).normal(size=self.s.sequences).astype(np.float32)
    # All completions in one mini-batch, in their own order.
    order = np.arange(self.s.sequences)
    return packing.for_grpo(out, order, advantage_B, self.layout, self.gcfg).batch

  def logprobs(self, batch):
    """The reference's log-probabilities."""
    rows, mask = packing.put((batch.rows, batch.loss.mask_BT))
    # As in a run: scored on the device, fetched, and sent again with the batch.
    logp = steps.score(self.state.reference, self.s.cfg, rows, mask, batch.count, 1.0)
    return batch.replace(loss=batch.loss.replace(ref_logp_BT=sharding.fetch(logp)))

  def update(self, batch):
    """One AdamW update."""
    self.state, found = steps.grpo_update(
      self.state,
      packing.put(batch),
      cfg=self.s.cfg,
      gcfg=self.gcfg,
      tx=self.tx,
      temperature=1.0,
      reference_every=400,
    )
    return jax.block_until_ready(found)


def measure(step, repeats):
  """Seconds of each phase, a list a phase; the first, compiling, step is left out."""
  seconds = {'rollout': [], 'pack': [], 'logprobs': [], 'update': [], 'whole': []}
  for number in range(repeats + 1):
    # Each phase ends with its result on the host or ready on the device.
    begin = mark = time.perf_counter()
    value = number
    for phase in ('rollout', 'pack', 'logprobs', 'update'):
      value = getattr(step, phase)(value)
      now = time.perf_counter()
      if number:
        seconds[phase].append(now - mark)
      mark = now
    if number:
      seconds['whole'].append(mark - begin)
  return {phase: float(np.median(times)) for phase, times in seconds.items()}


def flops(s):
  """Floating-point operations of each phase: two a weight and token, and attention's own."""
  specs = transformer.specs(dataclasses.replace(s.cfg, mtp_layers=0))
  # An embedding of its own is looked up, not multiplied.
  weights = params_lib.count(specs) - (0 if s.cfg.tied else s.cfg.vocab * s.cfg.width)
  pair = 2 * s.cfg.layers * s.cfg.heads * (s.cfg.head_qk + s.cfg.head_value)  # a query-key pair
  work = lambda n: 2 * weights * n + pair * n * (n + 1) / 2
  prompt, whole = work(s.prompt), work(s.prompt + s.lengths).sum()
  # A completion costs a whole sequence less its prompt, which its group shares in a rollout.
  own = whole - s.sequences * prompt
  forward = own + (s.prompts if s.shared else s.sequences) * prompt
  rollout_ = own + s.prompts * prompt
  found = {'rollout': rollout_, 'pack': 0.0, 'logprobs': forward, 'update': 3 * forward}
  return found | {'whole': sum(found.values())}


def peak(rows=2048, inner=2048, columns=2048):
  """Float32 FLOP/s of all devices, by the best of five products of that size on one of them."""
  a, b = jnp.ones((rows, inner), jnp.float32), jnp.ones((inner, columns), jnp.float32)
  product = jax.jit(lambda a, b: a @ b)
  product(a, b).block_until_ready()
  best = 1e9
  for _ in range(5):
    begin = time.perf_counter()
    product(a, b).block_until_ready()
    best = min(best, time.perf_counter() - begin)
  return 2 * rows * inner * columns / best * jax.device_count()


def own_products(s):
  """(rows, inner, columns) of the model's largest products, by name: in an update, in a step."""
  tokens, slots = s.rows * (s.capacity or s.prompt + s.new), s.slots or s.sequences
  return {'update': (tokens, s.cfg.width, s.cfg.ffn), 'decoding': (slots, s.cfg.width, s.cfg.ffn)}


def vectors():
  """The widest float32 vectors of this CPU, for the record; '' where the system does not say."""
  try:
    flags_ = pathlib.Path('/proc/cpuinfo').read_text()
  except OSError:
    return ''
  kinds = ('avx512f', 'avx2', 'asimd')
  return next((name for name in kinds if f' {name} ' in flags_.replace('\n', ' ')), '')


def main(argv):
  """Prints the table."""
  del argv
  jax.set_mesh(sharding.make_mesh((1, -1, 1, 1)))
  s = shapes(_PRESET.value)
  s = s if _SLOTS.value is None else dataclasses.replace(s, slots=_SLOTS.value)
  top, need = peak(), flops(s)
  step = Step(s)
  took = measure(step, _REPEATS.value)
  table = rich.table.Table(title=f'{_PRESET.value}: medians of {_REPEATS.value} steps')
  for column in ('phase', 'seconds', 'GFLOP', 'limit at peak, s', 'share of peak'):
    table.add_column(column, justify='right')
  for phase, seconds in took.items():
    share = need[phase] / seconds / top
    limit = need[phase] / top
    table.add_row(
      phase, f'{seconds:.3f}', f'{need[phase] / 1e9:.0f}', f'{limit:.2f}', f'{share:.0%}'
    )
  console = rich.console.Console()
  console.print(table)
  speed = s.lengths.sum() / took['rollout']
  console.print(
    f'rollout {speed:,.0f} new tokens/s, {step.busy:.0%} of the slots busy; '
    f'matmul peak {top / 1e9:.0f} GFLOP/s (float32, {vectors()})'
  )
  own = {name: (shape, peak(*shape)) for name, shape in own_products(s).items()}
  for name, (shape, rate) in own.items():
    size = ' x '.join(map(str, shape))
    console.print(f'the largest product in {name}, {size}: {rate / 1e9:.0f} GFLOP/s')
  if _JSON.value:
    figures = {'seconds': took, 'flops': need, 'peak': top, 'rollout_tokens_per_s': speed}
    figures |= {'products': own, 'vectors': vectors()}
    pathlib.Path(_JSON.value).write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
  app.run(main)
