"""Every knob of a run, once: ConfigDicts for people, frozen dataclasses for the code.

The dataclasses live with the modules that use them; this file assembles them. An experiment starts
from `default()`, changes it and returns it locked; `build` turns the result into a `Job`.
"""

import dataclasses
import operator
from typing import Annotated, Literal

import ml_collections
from ml_collections import config_dict

from r1jax import kernels, precision, programs, ranges
from r1jax.algorithms import filtering, grpo
from r1jax.data import source
from r1jax.data.tasks import general_files
from r1jax.evaluation import heldout
from r1jax.model import config as model_config
from r1jax.model import lora
from r1jax.rewards import service
from r1jax.sampling import sample
from r1jax.stages import (
  cold_start,
  distill,
  general_rl,
  pretrain,
  rejection,
  reward_model,
  rl_schedule,
  samples,
  sft,
)
from r1jax.train import loop, optimizer


@dataclasses.dataclass(frozen=True)
class RuntimeConfig:
  """How a model is computed, whatever its architecture.

  Attributes:
    compute_dtype: 'float32' or 'bfloat16'; a GPU without units for bfloat16 takes float32 instead.
    param_dtype: of the weights; float32 unless memory forbids it, as at RL's learning rates most
      updates are smaller than half a bfloat16 step and would be lost (V3 keeps float32 master
      weights, reference §2.6).
    remat: recompute each layer in the backward pass instead of keeping its activations.
    offload: keep the inputs of those layers in the host's memory until the backward pass.
    scan_layers: one compiled layer in a loop; False unrolls (fast on CPU, slow to compile).
    unroll_sampling: unroll where tokens are sampled, whatever `scan_layers` says: there a loop
      copies each layer's weights and cache at every token.
    dispatch: 'sorted' or 'dense' experts, see `model.config.MoeConfig`.
    kernels: 'auto', 'reference', 'cpu', 'tpu', 'gpu' or 'cudnn' (NVIDIA's attention on GPUs from
      Ampere on), see `kernels.resolve`; a form that does not exist where the run starts is refused.
    cache: folder in which compiled programs are kept for the next start; 'auto' for one in the
      user's cache, '' for none.
  """

  compute_dtype: ranges.Dtype = 'bfloat16'
  param_dtype: ranges.Dtype = 'float32'
  remat: bool = True
  offload: bool = False
  scan_layers: bool = True
  unroll_sampling: bool = False
  dispatch: Literal['sorted', 'dense'] = 'sorted'
  kernels: Literal['auto', 'reference', 'cpu', 'tpu', 'gpu', 'cudnn'] = 'auto'
  cache: str = programs.AUTO

  def __post_init__(self):
    ranges.check(self)
    ranges.require(
      self, self.remat or not self.offload, '{offload} moves what {remat} keeps: set remat too'
    )

  def of_model(self):
    """Name -> value of what decides how a model is computed, as `read_config` takes it."""
    return {name: value for name, value in dataclasses.asdict(self).items() if name != 'cache'}


_RL = ('reasoning_rl', 'general_rl')
# What decides memory and speed and not what is learned.
SIZES = ('rl.capacity', 'rl.rows', 'sample.slots')
# What is fast on XLA:CPU for a model of a few million parameters.
CPU_RUNTIME = RuntimeConfig('float32', 'float32', remat=False, scan_layers=False, dispatch='dense')


@dataclasses.dataclass(frozen=True)
class Job:
  """A run, typed.

  Attributes:
    stage: what is done; an experiment decides it.
    seed: of everything that is drawn; the same one gives the same run.
    workdir: folder of the run, which goes on where it was stopped.
    mesh: devices over data, fsdp, expert, tensor, and context if given; -1 takes what is left.
    checkpoint: hub folder, work directory of a run, or a shipped model, whose weights are the
      first; '' starts from random ones.
    model: the architecture; None where it comes with `checkpoint`.
    lora: adapters that are trained in place of the weights; rank 0 trains the weights.
  """

  stage: str
  seed: ranges.Seed
  workdir: str
  mesh: tuple[Annotated[int, ranges.Range(1, also=-1)], ...]
  checkpoint: str
  model: model_config.ModelConfig | None
  runtime: RuntimeConfig
  lora: lora.LoraConfig
  data: source.DataConfig
  sample: sample.SampleConfig
  grpo: grpo.GrpoConfig
  optimizer: optimizer.OptimizerConfig
  reward: service.RewardConfig
  rl: rl_schedule.RlConfig
  general: general_rl.GeneralConfig
  general_data: general_files.GeneralDataConfig
  reward_model: reward_model.RewardModelConfig
  sft: sft.SftConfig
  distill: distill.DistillConfig
  samples: samples.SamplesConfig
  filter: filtering.FilterConfig
  cold_start: cold_start.ColdStartConfig
  rejection: rejection.RejectionConfig
  pretrain: pretrain.PretrainConfig
  evaluation: heldout.EvaluationConfig
  loop: loop.LoopConfig

  def __post_init__(self):
    ranges.check(self)
    ranges.require(self, self.workdir.strip(), '{workdir} must be a folder for this run alone')
    ranges.require(
      self,
      self.stage not in _RL or self.sample.temperature > 0,
      '{sample.temperature} makes all samples of a group the same, from which {stage} learns '
      'nothing',
    )
    for name in self.automatic:
      ranges.require(
        self,
        self.stage == 'reasoning_rl' and not self.rl.staleness,
        f'{{{name}}}: only reasoning_rl without {{rl.staleness}} has sizes that the machine '
        'chooses; {stage} needs a number',
      )

    ranges.require(
      self,
      self.grpo.aggregation != 'bnpo' or not {'rl.rows', 'rl.capacity'} & set(self.automatic),
      '{grpo.aggregation} averages within micro-batches: {rl.rows} and {rl.capacity} decide what '
      'is learned and need numbers',
    )

  @property
  def automatic(self):
    """Keys whose value is chosen at the start of the run, by what the machine has."""
    return [key for key in SIZES if operator.attrgetter(key)(self) == ranges.AUTO]

  def on(self, device):
    """The job as a device computes it: by its kernels, and in float32 where it lacks bfloat16."""
    chosen = {'compute_dtype': precision.compute_dtype(self.runtime.compute_dtype, device)}
    # Other forms that the user named have been found, or refused, when the config was built.
    if self.runtime.kernels in ('auto', 'cpu'):
      chosen['kernels'] = kernels.resolve(self.runtime.kernels, device)
    change = lambda part: part and dataclasses.replace(part, **chosen)
    return dataclasses.replace(self, runtime=change(self.runtime), model=change(self.model))


@dataclasses.dataclass(frozen=True)
class GraphConfig:
  """What a graph of stages is told as a whole, beside a section for each.

  Attributes:
    until: stages to make, with commas between, and what they need; '' makes all.
    workers: processes that make stages side by side; an accelerator belongs to one.
    seeds: of the branches that are compared, one each.
  """

  until: str = ''
  workers: ranges.Count = 1
  seeds: tuple[ranges.Seed, ...] = (0,)

  def __post_init__(self):
    ranges.check(self)
    ranges.require(self, self.seeds, '{seeds} must hold one at least')


_WEIGHTS = ('helpful_weight', 'harmless_weight')  # of a reward's parts: scores stand alone
# Fields of ModelConfig that `runtime` decides.
_RUNTIME = {
  'compute_dtype', 'param_dtype', 'remat', 'offload', 'scan_layers', 'unroll_sampling', 'kernels',
}  # fmt: skip
# Stages that begin with a base and change it.
_ADAPTING = ('reasoning_rl', 'general_rl', 'sft', 'distill', 'reward_model')


def default(stage):
  """The config of a stage with the paper's values, unlocked: change it, then `lock()` it.

  Sections that the stage never reads are absent, so setting them is an error.
  """
  # What all stages have, with the values of RL.
  config = ml_collections.ConfigDict()
  config.stage = stage
  config.seed = 0
  config.workdir = f'runs/{stage}'
  config.mesh = (1, -1, 1, 1)  # data, fsdp, expert, tensor, and context if given; -1: what is left
  config.checkpoint = ''
  config.model = architecture(model_config.ModelConfig())
  config.runtime = describe(RuntimeConfig())
  config.data = describe(source.DataConfig())
  config.loop = describe(loop.LoopConfig())
  config.optimizer = describe(optimizer.OptimizerConfig(lr=3e-6))  # RL, reference §1.3
  config.sample = describe(sample.SampleConfig())
  config.reward = describe(service.RewardConfig())
  config.evaluation = describe(heldout.EvaluationConfig())
  # What a stage has beside that, and where its values differ.
  if stage in _ADAPTING:
    config.lora = describe(lora.LoraConfig())
  if stage == 'reasoning_rl':
    config.grpo = describe(grpo.GrpoConfig())
    config.rl = describe(rl_schedule.RlConfig())
  if stage == 'sft':
    config.optimizer.lr = 5e-5  # falls to a tenth (reference §0.1, B.4.2)
    del config.optimizer.schedule, config.optimizer.steps  # a cosine over the data set's updates
    config.sft = describe(sft.SftConfig())
  if stage == 'general_rl':
    config.grpo = describe(grpo.GrpoConfig(clip_low=10.0, clip_high=10.0))
    config.rl = describe(rl_schedule.RlConfig(updates=1700, length_schedule=((0, 32_768),)))
    config.general = describe(general_rl.GeneralConfig())
    config.sample.temperature = 0.7  # higher gives incoherent replies (reference §1.3)
    config.reward.language = 1.0
  if stage == 'reward_model':
    del config.data, config.sample, config.reward, config.evaluation
    config.reward_model = describe(reward_model.RewardModelConfig())
    config.optimizer.lr = 6e-6  # reference §1.4
  if stage == 'distill':
    config.optimizer.lr = 1e-4  # of the 1.5B student; falls to a tenth (reference §1.8)
    del config.optimizer.schedule, config.optimizer.steps  # a cosine over the data set's updates
    config.sft = describe(sft.SftConfig(batch=64, mtp_weight=0.3))  # reference §1.8
    config.distill = describe(distill.DistillConfig())
  if stage == 'pretrain':
    del config.data, config.sample
    config.pretrain = describe(pretrain.PretrainConfig())
  _without_training(config, stage)
  return config


def _without_training(config, stage):
  """Sections of the stages that make data sets or examine a model."""
  if stage in ('cold_start', 'rejection'):
    del config.optimizer, config.loop, config.evaluation
    config.samples = describe(samples.SamplesConfig())
    config.filter = describe(filtering.FilterConfig())
  if stage == 'cold_start':
    config.cold_start = describe(cold_start.ColdStartConfig())
  if stage == 'rejection':
    config.rejection = describe(rejection.RejectionConfig())
  if stage == 'general_data':
    del config.model, config.runtime, config.data, config.loop, config.optimizer, config.sample
    del config.reward, config.evaluation
    config.general_data = describe(general_files.GeneralDataConfig())
  if stage in ('report_card', 'scenarios'):
    del config.optimizer, config.loop
  if stage == 'report_card':
    config.filter = describe(filtering.FilterConfig())
  if stage == 'scenarios':
    config.reward.language = 1.0  # for both, reasoning and general (reference §1.4)
    config.general = describe(general_rl.GeneralConfig())
    for name in ('preference_updates', 'share', 'window', 'tolerance', *_WEIGHTS):
      del config.general[name]
    for name in ('questions', 'samples', 'every', 'few'):
      del config.evaluation[name]


def architecture(cfg):
  """A ModelConfig's fields but those that `config.runtime` and `config.lora` decide."""
  section = describe(cfg)
  del section['lora']
  for name in _RUNTIME:
    del section[name]
  if cfg.moe:
    del section.moe['dispatch']
  return section


def describe(instance):
  """Frozen dataclass -> ConfigDict of its fields; what may be None or AUTO can become a number."""
  fields = {}
  for name, hint in ranges.hints(type(instance)).items():
    value = getattr(instance, name)
    if dataclasses.is_dataclass(value):
      value = describe(value)
    elif value is None:
      # A plain None would take no other value later; a placeholder takes those of its type.
      value = config_dict.placeholder(ranges.plain(hint)[0])
    elif ranges.takes(hint, ranges.AUTO) and ranges.plain(hint)[0] is not str:
      # Of either type: which values are taken says the annotation, when the job is built.
      value = config_dict.FieldReference(value, field_type=object)
    fields[name] = value
  return ml_collections.ConfigDict(fields)


def build(config, device=None, place=None):
  """ConfigDict -> `Job`; its kernels are those of `device` (default: JAX's first).

  Args:
    config: of one stage.
    device: what it is to run on.
    place: section -> what the user calls that in which it stands, where that is not 'config'.

  Raises:
    ValueError: the value of a key is not taken; the message begins with the key, written as it is
      on the command line behind `--`.
  """
  naming = lambda key: f'{(place or {}).get(key.partition(".")[0], "config")}.{key}'
  values = {}
  for name, hint in ranges.hints(Job).items():
    kind, _ = ranges.plain(hint)
    if name == 'model':
      values['model'] = _model(config, device, naming)
    elif dataclasses.is_dataclass(kind):
      section = config.get(name, None)
      # A Job has every section; one that the stage never reads holds its defaults.
      values[name] = absent(kind) if section is None else _typed(kind, section, naming(name))
    else:
      values[name] = _tuples(config[name])
  if not values['rl'].length_schedule:
    whole = ((0, values['sample'].max_new),)
    values['rl'] = dataclasses.replace(values['rl'], length_schedule=whole)
  return _made(Job, values, naming)


def absent(kind):
  """The defaults of a dataclass whose section a stage has not; that of `optimizer` needs a rate."""
  return kind(lr=0.0) if kind is optimizer.OptimizerConfig else kind()


def check_graph(config):
  """Raises ValueError where what a graph of stages is told as a whole is not taken."""
  names = [name for name in ranges.hints(GraphConfig) if name in config]
  _made(GraphConfig, {name: _tuples(config[name]) for name in names}, 'config.{}'.format)


def _model(config, device, naming):
  """The architecture in the config; None where the checkpoint brings its own, or none is used."""
  if config.checkpoint or 'runtime' not in config:
    return None
  section = config.get('model', None)
  if section is None:
    raise ValueError(f'{naming("checkpoint")} is empty: this preset needs a checkpoint folder')
  runtime = _typed(RuntimeConfig, config.runtime, naming('runtime'))
  section = ml_collections.ConfigDict(section.to_dict() | _runtime_fields(runtime, device))
  if section.get('moe', None):
    section.moe.dispatch = runtime.dispatch
  return _typed(model_config.ModelConfig, section, naming('model'))


def _runtime_fields(runtime, device):
  fields = {name: getattr(runtime, name) for name in _RUNTIME}
  return fields | {'kernels': kernels.resolve(runtime.kernels, device)}


def _typed(kind, section, where):
  """A ConfigDict's values as the dataclass `kind`; `where` is what the user calls the section."""
  values = {}
  for name, value in section.items():
    inner, _ = ranges.plain(ranges.hints(kind).get(name, object))
    if dataclasses.is_dataclass(inner) and isinstance(value, ml_collections.ConfigDict):
      value = _typed(inner, value, f'{where}.{name}')
    values[name] = _tuples(value)
  return _made(kind, values, lambda name: f'{where}.{name}')


def _made(kind, values, naming):
  """An instance of a dataclass; what it refuses is told with the user's names of its fields."""
  unknown = sorted(set(values) - set(ranges.hints(kind)))
  if unknown:
    raise ValueError(f'{naming(unknown[0])} is unknown; {kind.__name__} has no such field')
  try:
    return kind(**values)
  except ranges.RangeError as error:
    raise ValueError(error.told(naming)) from error
  except ValueError as error:  # of a dataclass that says in its own words what it refuses
    raise ValueError(f'{naming("")[:-1]}: {error}') from error


def _tuples(value):
  """Lists, as JSON has them, become tuples."""
  if isinstance(value, (list, tuple)):
    return tuple(_tuples(item) for item in value)
  return value
