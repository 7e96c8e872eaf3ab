"""Distillation into students of the Llama architecture: SFT on the teacher's samples, no RL.

  python -m r1jax.main --config=experiments/distill_llama.py \
      --config.distill.teacher=DIR --config.sft.path=DIR/data.array_record

See experiments/distill_qwen.py.
"""

from r1jax import config as config_lib
from r1jax.experiments import distill_qwen
from r1jax.model import presets

# Llama-3.1-8B, a base, and Llama-3.3-70B-Instruct (reference §1.8).
RATES = {'8b': 5e-5, '70b': 2e-5}
PRESETS = ('tiny', *RATES, 'traces')


def get_config(preset='tiny'):
  """`tiny`: two CPU cores. `8b`, `70b`: the paper's. `traces`: published ones, no teacher."""
  if preset not in PRESETS:
    raise ValueError(
      f'experiments/distill_llama.py has no preset {preset!r}; it has {", ".join(PRESETS)}'
    )
  config = config_lib.default('distill')
  config.workdir = f'runs/distill_llama_{preset}'
  if preset == 'tiny':
    distill_qwen.tiny(config, presets.tiny_llama())
  elif preset == 'traces':
    distill_qwen.traces(config, RATES['8b'])
  else:
    distill_qwen.hub(config, RATES[preset])
  return config.lock()
