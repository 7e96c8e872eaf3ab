"""Distillation into students of the Qwen2 architecture: SFT on the teacher's samples, no RL.

  python -m r1jax.main --config=experiments/distill_qwen.py \
      --config.distill.teacher=DIR --config.sft.path=DIR/data.array_record

The teacher is a hub folder or the work directory of a run; the data set is that of the pipeline's
rejection sampling, or any that `r1jax.data.examples.write` wrote. `--config.distill.kl.weight=0.5`
learns the teacher's distribution too, where both have one tokenizer.
"""

from r1jax import config as config_lib
from r1jax.model import presets

# Rates of the students on the hub (reference §1.8); their bases are --config.checkpoint=DIR.
RATES = {'1_5b': 1e-4, '7b': 8e-5, '14b': 7e-5, '32b': 6e-5}
PRESETS = ('tiny', *RATES)


def get_config(preset='tiny'):
  """`tiny`: two CPU cores. `1_5b` (of Qwen2.5-Math-1.5B), `7b`, `14b`, `32b`: the paper's."""
  if preset not in PRESETS:
    raise ValueError(
      f'experiments/distill_qwen.py has no preset {preset!r}; it has {", ".join(PRESETS)}'
    )
  config = config_lib.default('distill')
  config.workdir = f'runs/distill_qwen_{preset}'
  if preset == 'tiny':
    tiny(config, presets.tiny_qwen2())
  else:
    hub(config, RATES[preset])
  return config.lock()


def tiny(config, model):
  """A student of 0.5M parameters from random weights, with the teacher's tokenizer."""
  config.model = config_lib.architecture(model)
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.data.max_prompt = 48
  config.data.levels = (1, 3)
  config.sample.max_new = 96
  # A small student has to see the samples more often than the paper's two or three times.
  config.sft.update(epochs=6.0, batch=64, rows=4, capacity=192)
  config.optimizer.update(lr=4e-3, warmup=20)
  config.evaluation.update(temperature=1.0, top_p=1.0, few=256)
  config.loop.checkpoint_every = 100


def hub(config, rate):
  """As published: two epochs in batches of 64 at a context of 32,768 (reference §1.8)."""
  # The folder of the checkpoint says what the architecture is.
  del config.model
  config.data.name = 'jsonl'
  config.optimizer.lr = rate
