"""RL against distillation on the same small model at equal compute (reference §1.10).

  python -m r1jax.main --config=experiments/rl_vs_distill.py --config.checkpoint=DIR

DIR is the teacher: the work directory of a run, such as runs/r1_zero_tiny, or a hub folder.
"""

from r1jax import config as config_lib
from r1jax.experiments import r1_zero, tiny_base
from r1jax.model import presets
from r1jax.runs import rl_vs_distill


def get_config(preset='tiny'):
  """`tiny`: a 0.5M student of Qwen2's architecture, two CPU cores."""
  if preset != 'tiny':
    raise ValueError(f"experiments/rl_vs_distill.py has no preset {preset!r}; it has 'tiny'")
  config = rl_vs_distill.default()
  config.workdir = f'runs/rl_vs_distill_{preset}'
  config.workers = 2
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.data.max_prompt = 48
  config.data.levels = (1, 3)
  config.loop.checkpoint_every = 50
  base(config.student, presets.tiny_qwen2())
  trained_by_rl(config.rl)
  # Two tries at each question, of which one that is right and readable is kept.
  config.curated.sample.update(group=2, max_new=96, cache_growth=2)
  config.curated.samples.update(questions=1024, batch=256)
  distilled(config.distill)
  config.report_card.sample.max_new = 96
  config.report_card.evaluation.update(questions=256, few=256)
  return config.lock()


def base(section, model):
  """The student's own pre-training: the teacher's corpus and tokenizer, a few minutes."""
  section.model = config_lib.architecture(model)
  tiny_base.documents(section.pretrain.corpus)
  section.pretrain.update(updates=700, rows=24, micro=6, capacity=128)
  section.optimizer.update(
    lr=4e-3, schedule='cosine', warmup=50, steps=700, end_fraction=0.05, weight_decay=0.1
  )
  section.evaluation.update(temperature=1.0, top_p=1.0, questions=128, samples=1, few=128)


def trained_by_rl(section):
  """R1-Zero's mechanics as in experiments/r1_zero.py, fewer updates."""
  r1_zero.on_two_cores(section)
  # What this takes is what distillation may spend, in counted operations.
  section.rl.updates = 24
  section.optimizer.update(lr=3e-4, schedule='cosine', steps=24, end_fraction=0.3)
  section.evaluation.update(questions=128, samples=1, few=128)


def distilled(section):
  """SFT of a pre-trained student on its teacher's samples."""
  section.sample.max_new = 96
  section.sft.update(batch=64, rows=4, capacity=192)  # few rows stay empty
  section.optimizer.update(lr=2e-3, warmup=20)
  section.evaluation.update(temperature=1.0, top_p=1.0, questions=128, samples=1, few=128)
