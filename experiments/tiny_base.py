"""Pre-trains the tiny DeepSeek-V3 base that ships with r1jax, on documents about the tiny world."""

from r1jax import config as config_lib
from r1jax.model import presets


def get_config(preset='tiny'):
  """The only preset is 'tiny'."""
  if preset != 'tiny':
    raise ValueError(f"experiments/tiny_base.py has no preset {preset!r}; it has 'tiny'")
  config = config_lib.default('pretrain')
  config.workdir = 'runs/tiny_base'
  config.model = config_lib.architecture(presets.tiny())
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.optimizer.update(
    lr=3e-3, schedule='cosine', warmup=50, steps=2000, end_fraction=0.05, weight_decay=0.1
  )
  config.pretrain.updates = 2000
  config.pretrain.rows, config.pretrain.micro, config.pretrain.capacity = 24, 1, 128
  config.pretrain.corpus.update(
    bare=0.34, tagged=0.20, worked=0.20, worked_tagged=0.15, corrected=0.11, right=0.30
  )
  config.pretrain.corpus.world.levels = (1, 3)
  config.evaluation.every = 250
  config.data.max_prompt = 48
  config.sample.max_new = 96
  config.loop.checkpoint_every = 250
  return config.lock()
