"""Supervised fine-tuning on conversations of your own, or that somebody has published.

  python -m r1jax.main --config=experiments/sft.py --config.sft.path=conversations.jsonl

JSONL or parquet of {"messages": [..]}, {"prompt", "completion"} or {"question", "reasoning",
"answer"}; `sft.columns` says what columns are called. Only what the assistant says is learned.
"""

from r1jax import config as config_lib


def get_config(preset='smollm2'):
  """`smollm2`: SmolLM2-135M-Instruct on two CPU cores. `hub`: your checkpoint, one large GPU."""
  if preset not in PRESETS:
    raise ValueError(f'experiments/sft.py has no preset {preset!r}; it has {", ".join(PRESETS)}')
  config = config_lib.default('sft')
  config.workdir = f'runs/sft_{preset}'
  PRESETS[preset](config)
  return config.lock()


def conversations(config):
  """The checkpoint's own chat, judged by the loss of held-out conversations."""
  config.data.update(name='none', prompt='chat')
  config.sft.update(heldout=0.05, loss_every=20, too_long='drop')
  config.sft.mtp_weight = 0.0  # models of the hub have no such module


def smollm2(config):
  """A model that others made, on two CPU cores; `r1jax fetch smollm2` brings it (98 MB)."""
  del config.model
  conversations(config)
  config.checkpoint = 'smollm2'
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.runtime.scan_layers = True  # thirty layers unrolled take minutes to compile
  config.sft.update(batch=16, rows=4, capacity=512)
  config.optimizer.update(lr=5e-5, warmup=5)
  config.loop.checkpoint_every = 20


def hub(config):
  """A model from a hub folder; sizes for 0.5B to 1.5B.

  Give it --config.checkpoint=DIR and --config.sft.path=FILE.
  """
  del config.model
  conversations(config)
  config.sft.update(batch=64, rows=4, capacity=4096)
  config.optimizer.update(lr=2e-5, warmup=20)


PRESETS = {'smollm2': smollm2, 'hub': hub}
