"""Distillation into students of the Qwen2 architecture: SFT on the teacher's samples, no RL.

  python -m r1jax.main --config=experiments/distill_qwen.py \
      --config.distill.teacher=DIR --config.sft.path=DIR/data.array_record

The teacher is a hub folder or the work directory of a run; the data set is that of the pipeline's
rejection sampling, or conversations as for experiments/sft.py. `--config.distill.kl.weight=0.5`
learns the teacher's distribution too, where both have one tokenizer. The preset `traces` needs no
teacher: it learns published traces of R1 (OpenR1-Math's columns, or `--config.sft.columns=s1k`).
"""

from r1jax import config as config_lib
from r1jax.experiments import sft
from r1jax.model import presets

# Rates of the students on the hub (reference §1.8); their bases are --config.checkpoint=DIR.
RATES = {'1_5b': 1e-4, '7b': 8e-5, '14b': 7e-5, '32b': 6e-5}
PRESETS = ('tiny', *RATES, 'traces')


def get_config(preset='tiny'):
  """`tiny`: two CPU cores. `1_5b` (of Qwen2.5-Math-1.5B), `7b`, `14b`, `32b`: the paper's.
  `traces`: published traces of R1 into the 1.5B student, without a teacher.
  """
  if preset not in PRESETS:
    raise ValueError(
      f'experiments/distill_qwen.py has no preset {preset!r}; it has {", ".join(PRESETS)}'
    )
  config = config_lib.default('distill')
  config.workdir = f'runs/distill_qwen_{preset}'
  if preset == 'tiny':
    tiny(config, presets.tiny_qwen2())
  elif preset == 'traces':
    traces(config, RATES['1_5b'])
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


def traces(config, rate):
  """Published traces in the student's own chat, judged by the loss of those held out.

  Give it --config.checkpoint=DIR and --config.sft.path=DIR of the downloaded data set.
  """
  hub(config, rate)
  sft.conversations(config)
  config.sft.update(columns='openr1_math', heldout=0.01, loss_every=200)
