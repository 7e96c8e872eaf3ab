"""Traces drawn from a model itself: several replies per question, the right ones kept, for SFT.

  python -m r1jax.main --config=experiments/traces.py
  python -m r1jax.main --config=experiments/sft.py \
      --config.sft.path=runs/traces_smollm2/data.array_record

`--config.data.few_shot=FILE` shows solved examples, which SFT then does without.
"""

from r1jax import config as config_lib

PRESETS = ('smollm2', 'hub')


def get_config(preset='smollm2'):
  """`smollm2`: SmolLM2-135M-Instruct on arithmetic, two CPU cores. `hub`: your own model."""
  if preset not in PRESETS:
    raise ValueError(f'experiments/traces.py has no preset {preset!r}; it has {", ".join(PRESETS)}')
  config = config_lib.default('rejection')
  config.workdir = f'runs/traces_{preset}'
  del config.model
  config.rejection.general = 0.0  # only what the model says
  config.filter.tags = False
  config.data.prompt = 'chat'
  {'smollm2': smollm2, 'hub': hub}[preset](config)
  return config.lock()


def smollm2(config):
  """Arithmetic in words; `r1jax fetch smollm2` brings the model (98 MB)."""
  config.checkpoint = 'smollm2'
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.runtime.scan_layers = True  # thirty layers unrolled take minutes to compile
  config.data.update(name='arithmetic', system='Answer with the number only.', max_prompt=64)
  config.reward.update(answer='last_number', format=0.0)
  config.sample.update(group=4, max_new=32)
  config.samples.update(questions=64, batch=16, heldout=256, most_per_question=1)
  config.filter.ngram = 20  # all questions of a kind share more than ten words and signs


def hub(config):
  """A model from a hub folder on questions of yours, its answers in a box.

  Give it --config.checkpoint=DIR and --config.data.path=FILE.
  """
  config.data.name = 'jsonl'
  config.data.max_prompt = 512
  config.data.system = 'Reason step by step, and put the final answer within \\boxed{}.'
  config.reward.update(answer='box', format=0.0)
  config.sample.update(group=8, max_new=2048)
  config.samples.update(questions=4096, batch=64, most_per_question=2)
