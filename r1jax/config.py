"""Every knob of a run, once: ConfigDicts for people, frozen dataclasses for the code.

The dataclasses live with the modules that use them; this file assembles them. An experiment starts
from `default()`, changes it and returns it locked; `build` turns the result into a `Job`.
"""

import dataclasses
import types
import typing

import ml_collections
from ml_collections import config_dict

from r1jax import kernels
from r1jax.algorithms import filtering, grpo
from r1jax.data import source
from r1jax.data.tasks import preferences
from r1jax.evaluation import heldout
from r1jax.model import config as model_config
from r1jax.rewards import service
from r1jax.sampling import sample
from r1jax.stages import (
  cold_start,
  distill,
  general_rl,
  pretrain,
  reasoning_rl,
  rejection,
  reward_model,
  samples,
  sft,
)
from r1jax.train import loop, optimizer


@dataclasses.dataclass(frozen=True)
class RuntimeConfig:
  """How a model is computed, whatever its architecture.

  Attributes:
    compute_dtype: 'float32' or 'bfloat16'.
    param_dtype: of the weights; float32 unless memory forbids it, as at RL's learning rates most
      updates are smaller than half a bfloat16 step and would be lost (V3 keeps float32 master
      weights, reference §2.6).
    remat: recompute each layer in the backward pass instead of keeping its activations.
    offload: keep the inputs of those layers in the host's memory until the backward pass.
    scan_layers: one compiled layer in a loop; False unrolls (fast on CPU, slow to compile).
    dispatch: 'sorted' or 'dense' experts, see `model.config.MoeConfig`.
    kernels: 'auto', 'reference', 'tpu' or 'gpu', see `kernels.resolve`; a form that does not exist
      where the run starts is refused.
  """

  compute_dtype: str = 'bfloat16'
  param_dtype: str = 'float32'
  remat: bool = True
  offload: bool = False
  scan_layers: bool = True
  dispatch: str = 'sorted'
  kernels: str = 'auto'

  def __post_init__(self):
    for name in ('compute_dtype', 'param_dtype'):
      if getattr(self, name) not in ('float32', 'bfloat16'):
        raise ValueError(f"{name}={getattr(self, name)!r} is not 'float32' or 'bfloat16'")


# What is fast on XLA:CPU for a model of a few million parameters.
CPU_RUNTIME = RuntimeConfig('float32', 'float32', remat=False, scan_layers=False, dispatch='dense')


@dataclasses.dataclass(frozen=True)
class Job:
  """A run, typed. `model` is None where the architecture comes with `checkpoint`."""

  stage: str
  seed: int
  workdir: str
  mesh: tuple[int, ...]
  checkpoint: str
  model: model_config.ModelConfig | None
  runtime: RuntimeConfig
  data: source.DataConfig
  sample: sample.SampleConfig
  grpo: grpo.GrpoConfig
  optimizer: optimizer.OptimizerConfig
  reward: service.RewardConfig
  rl: reasoning_rl.RlConfig
  general: general_rl.GeneralConfig
  general_data: preferences.GeneralDataConfig
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


_WEIGHTS = ('helpful_weight', 'harmless_weight')  # of a reward's parts: scores stand alone
# Fields of ModelConfig that `runtime` decides.
_RUNTIME = {'compute_dtype', 'param_dtype', 'remat', 'offload', 'scan_layers', 'kernels'}


def default(stage):
  """The config of a stage with the paper's values, unlocked: change it, then `lock()` it.

  Sections that the stage never reads are absent, so setting them is an error.
  """
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
  if stage == 'reasoning_rl':
    config.grpo = describe(grpo.GrpoConfig())
    config.rl = describe(reasoning_rl.RlConfig())
  if stage == 'sft':
    config.optimizer.lr = 5e-5  # falls to a tenth (reference §0.1, B.4.2)
    del config.optimizer.schedule, config.optimizer.steps  # a cosine over the data set's updates
    config.sft = describe(sft.SftConfig())
  if stage == 'general_rl':
    config.grpo = describe(grpo.GrpoConfig(clip_low=10.0, clip_high=10.0))
    config.rl = describe(reasoning_rl.RlConfig(updates=1700, length_schedule=((0, 32_768),)))
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
    config.general_data = describe(preferences.GeneralDataConfig())
  if stage in ('report_card', 'scenarios'):
    del config.optimizer, config.loop
  if stage == 'report_card':
    config.filter = describe(filtering.FilterConfig())
  if stage == 'scenarios':
    config.reward.language = 1.0  # for both, reasoning and general (reference §1.4)
    config.general = describe(general_rl.GeneralConfig())
    for name in ('preference_updates', 'share', 'window', 'tolerance', *_WEIGHTS):
      del config.general[name]
    for name in ('questions', 'samples', 'every', 'few', 'chunk'):
      del config.evaluation[name]


def architecture(cfg):
  """A ModelConfig's fields but those that `config.runtime` decides."""
  section = describe(cfg)
  for name in _RUNTIME:
    del section[name]
  if cfg.moe:
    del section.moe['dispatch']
  return section


def describe(instance):
  """Frozen dataclass -> ConfigDict of its fields; optional ones become typed placeholders."""
  fields = {}
  for field in dataclasses.fields(instance):
    value = getattr(instance, field.name)
    if dataclasses.is_dataclass(value):
      value = describe(value)
    elif value is None:
      value = config_dict.placeholder(_unwrap(_hints(type(instance))[field.name]))
    fields[field.name] = value
  return ml_collections.ConfigDict(fields)


def build(config, device=None):
  """ConfigDict -> `Job`; its kernels are those of `device` (default: JAX's first).

  Raises:
    ValueError: what a module's dataclass refuses, with the section it stands in.
  """
  values = {}
  for field in dataclasses.fields(Job):
    kind = _unwrap(_hints(Job)[field.name])
    if field.name == 'model':
      values['model'] = _model(config, device)
    elif dataclasses.is_dataclass(kind):
      values[field.name] = _typed(kind, config.get(field.name, None), field.name)
    else:
      values[field.name] = config[field.name]
  if not 0 <= values['seed'] < 2**32:
    raise ValueError(f'config.seed={values["seed"]} is not within 0..{2**32 - 1}')
  return Job(**values)


def _model(config, device):
  """The architecture in the config; None where the checkpoint brings its own, or none is used."""
  if config.checkpoint or 'runtime' not in config:
    return None
  section = config.get('model', None)
  if section is None:
    raise ValueError('config.checkpoint is empty: this preset needs a checkpoint folder')
  section = ml_collections.ConfigDict(section.to_dict() | _runtime_fields(config.runtime, device))
  if section.get('moe', None):
    section.moe.dispatch = config.runtime.dispatch
  return _typed(model_config.ModelConfig, section, 'model')


def _runtime_fields(runtime, device):
  fields = {name: runtime[name] for name in _RUNTIME}
  return fields | {'kernels': kernels.resolve(runtime.kernels, device)}


def _typed(kind, section, where):
  """A ConfigDict's values as the dataclass `kind`; a section that is absent has its defaults."""
  if section is None:
    return kind() if kind is not optimizer.OptimizerConfig else kind(lr=0.0)
  hints, values = _hints(kind), {}
  for name, value in section.items():
    inner = _unwrap(hints[name])
    if dataclasses.is_dataclass(inner) and value is not None:
      value = _typed(inner, value, f'{where}.{name}')
    elif isinstance(value, list):
      value = tuple(value)
    values[name] = value
  try:
    return kind(**values)
  except (ValueError, TypeError) as error:
    raise ValueError(f'config.{where}: {error}') from error


def _hints(kind):
  return typing.get_type_hints(kind)


def _unwrap(hint):
  """`X | None` -> `X`; generic aliases -> their origin."""
  if isinstance(hint, types.UnionType):
    hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
  return typing.get_origin(hint) or hint
