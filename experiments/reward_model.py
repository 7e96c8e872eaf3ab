"""A reward model on its own: a scalar head on a policy, trained on preference pairs.

  python -m r1jax.main --config=experiments/reward_model.py --config.reward_model.path=pairs.jsonl

The file holds {"question", "chosen", "rejected"} a line; for --config.reward_model.kind=harmless
`chosen` is the safe reply. `runs/reward_model_tiny/model` is what general_rl.py takes.
"""

from r1jax import config as config_lib

PRESETS = ('tiny', 'paper')


def get_config(preset='tiny'):
  """`tiny`: two CPU cores. `paper`: R1's batch, rate and length (reference §1.4)."""
  if preset not in PRESETS:
    raise ValueError(
      f'experiments/reward_model.py has no preset {preset!r}; it has {", ".join(PRESETS)}'
    )
  config = config_lib.default('reward_model')
  config.workdir = f'runs/reward_model_{preset}'
  if preset == 'tiny':
    tiny(config)
  return config.lock()


def tiny(config):
  """The shipped base learns from short pairs in a minute."""
  config.checkpoint = 'tiny'
  del config.model
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  on_two_cores(config)


def on_two_cores(section):
  """The stage's own settings, as in experiments/r1.py too."""
  # 240 tokens hold both texts of a pair of the tiny world.
  section.reward_model.update(updates=80, pairs=32, micro=8, capacity=240, heldout=256, every=20)
  section.optimizer.update(lr=1e-3, schedule='cosine', warmup=5, steps=80, end_fraction=0.1)
