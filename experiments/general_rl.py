"""RL for all scenarios on its own, the stage Dev3 -> R1 (reference §1.3, §1.4).

  python -m r1jax.main --config=experiments/general_rl.py --config.general.helpful=DIR \\
      --config.general.path=requests.jsonl

The file holds {"question", "kind"} a line, of the kind 'helpful' or 'harmless'. DIR is the work
directory of experiments/reward_model.py; `general.harmless` takes another.
"""

from r1jax import config as config_lib
from r1jax.experiments import r1_zero

PRESETS = ('tiny', 'paper')


def get_config(preset='tiny'):
  """`tiny`: two CPU cores. `paper`: 1,700 updates, preference in the last 400 (reference §1.3)."""
  if preset not in PRESETS:
    raise ValueError(
      f'experiments/general_rl.py has no preset {preset!r}; it has {", ".join(PRESETS)}'
    )
  config = config_lib.default('general_rl')
  config.workdir = f'runs/general_rl_{preset}'
  {'tiny': tiny, 'paper': paper}[preset](config)
  return config.lock()


def tiny(config):
  """The paper's mechanics at a scale where a step takes seconds on a laptop."""
  config.checkpoint = 'tiny'
  del config.model
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.data.max_prompt = 48
  config.data.levels = (1, 3)
  on_two_cores(config)
  config.evaluation.update(every=0, few=256)
  config.loop.checkpoint_every = 20


def on_two_cores(section):
  """The stage's own settings, as in experiments/r1.py too."""
  r1_zero.on_two_cores(section)
  # Half of them without preference, so that the watch for hacking has something to compare.
  section.rl.updates = 40
  section.general.update(preference_updates=20, rows=32, capacity=160, window=3)
  section.optimizer.update(lr=1e-4, schedule='cosine', steps=40, end_fraction=0.3)


def paper(config):
  """As published where it is published; share of general prompts and mesh are ours."""
  config.mesh = (1, -1, 64, 4)
  config.rl.rows = config.general.rows = 128
  config.sample.slots = 16
  # 1,700 updates begin their last 400 inside a rollout of 16; 25 rollouts are 400 updates.
  config.rl.updates = 1696
  config.grpo.tis_cap = 2.0  # bfloat16 sampler and trainer differ (reference §4.2)
  config.evaluation.update(every=400, few=128)
