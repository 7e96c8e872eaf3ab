"""DeepSeek-R1 whole: R1-Zero, cold start, reasoning RL, rejection sampling, SFT, RL for all
scenarios, and students (reference §1.6, §1.8, §1.10).

  python -m r1jax.main --config=experiments/r1.py

Seeds 0, 1, 2 on two vCPUs: R1-Zero 91, 88 and 90 % right in mixed languages (63 % consistent), R1
91 % each in one (100 %), in about 40 minutes. docs/results.md has the tables.
"""

from r1jax import config as config_lib
from r1jax.data.tasks import tiny_world
from r1jax.experiments import general_rl, r1_zero, reward_model, rl_vs_distill, tiny_base
from r1jax.model import presets
from r1jax.runs import r1

PRESETS = ('tiny', 'hub')
_SFT = ('dev1', 'dev3')


def get_config(preset='tiny'):
  """`tiny`: the shipped base, two CPU cores. `hub`: your model, your questions, paper's values."""
  if preset not in PRESETS:
    raise ValueError(f'experiments/r1.py has no preset {preset!r}; it has {", ".join(PRESETS)}')
  config = r1.default()
  config.workdir = f'runs/r1_{preset}'
  {'tiny': tiny, 'hub': hub}[preset](config)
  return config.lock()


def tiny(config):
  """Two languages and a base that mixes them; a step takes seconds on a laptop."""
  config.checkpoint = 'tiny_bilingual'
  config.workers = 2
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.data.max_prompt = 48
  config.data.levels = (1, 3)
  config.data.languages = tiny_world.BILINGUAL
  config.loop.checkpoint_every = 10
  general_rl.on_two_cores(config.r1)
  for name, updates in (('r1_zero', 100), ('dev2', 60), ('r1', 60)):
    section = config[name]
    r1_zero.on_two_cores(section)
    section.rl.updates = updates
    section.evaluation.update(questions=128, few=128)
  for name, rate, end in (('r1_zero', 3e-4, 0.3), ('dev2', 1e-4, 0.1)):
    schedule = {'schedule': 'cosine', 'steps': config[name].rl.updates, 'end_fraction': end}
    config[name].optimizer.update(lr=rate, **schedule)
  # What has been fine-tuned loses more than it wins by larger steps; at R1's temperature of 0.7
  # three quarters of the groups agree and teach nothing.
  config.r1.optimizer.update(lr=4e-5, schedule='constant')
  config.r1.sample.temperature = 1.0
  config.r1.general.preference_updates = 24
  for name in _SFT:
    section = config[name]
    section.optimizer.lr = 3e-4
    section.sft.mtp_weight = 0.0  # the sampler drafts nothing here
    section.sft.update(epochs=3.0, batch=32, rows=4, capacity=144)
    section.sample.max_new = 96
    section.evaluation.update(temperature=1.0, top_p=1.0, questions=128, few=128)
  for name, group in (('cold_start', 8), ('rejection', 4)):
    config[name].sample.update(group=group, max_new=96, cache_growth=2)
    config[name].filter.ngram = 20  # all questions of a kind share more than ten words and signs
  config.cold_start.samples.update(questions=2048, batch=256)
  config.cold_start.cold_start.update(examples=1536, handwritten=2)
  config.rejection.samples.update(questions=4096, batch=256)
  config.report_card.sample.max_new = 96
  config.report_card.evaluation.update(questions=512, few=512)
  config.scenarios.sample.max_new = 96
  config.scenarios.general.update(questions=256, rows=32, capacity=160)
  for name in ('helpful', 'harmless'):
    reward_model.on_two_cores(config[name])
  config.helpful.reward_model.capacity = 144  # it reads the summaries alone
  students(config)


def students(config):
  """Two students of 0.5M parameters, pre-trained on the base's corpus as the paper's are bases."""
  rl_vs_distill.base(config.base_qwen, presets.tiny_qwen2())
  rl_vs_distill.base(config.base_llama, presets.tiny_llama())
  for name in r1.BASES:
    config[name].pretrain.updates = config[name].optimizer.steps = 1400
    tiny_base.in_two_languages(config[name].pretrain.corpus)
  rl_vs_distill.trained_by_rl(config.rl_qwen)
  config.rl_qwen.rl.updates = config.rl_qwen.optimizer.steps = 60
  for name in ('distill_qwen', 'distill_llama', 'matched_qwen'):
    rl_vs_distill.distilled(config[name])
  for name in ('distill_qwen', 'distill_llama'):
    config[name].sft.epochs = 14.0


def hub(config):
  """A model from a hub folder on JSONL questions; the paper's values but for sizes one GPU takes.

  Give it --config.checkpoint=DIR and --config.data.path=train.jsonl (GSM8K as published), and
  files of general data: rejection.rejection.path, helpful.reward_model.path,
  harmless.reward_model.path, r1.general.path; and students' bases:
  --config.base_qwen.checkpoint=DIR --config.base_llama.checkpoint=DIR.
  """
  del config.general_data  # that is the tiny world's
  config.cold_start.cold_start.handwritten = 0  # these too
  config.data.name = 'jsonl'
  config.data.max_prompt = 512
  for name in ('r1_zero', 'dev2', 'r1', 'rl_qwen'):
    section = config[name]
    section.sample.max_new = 1024
    section.rl.update(prompts=32, mini_batches=2, rows=4, capacity=1536, updates=500)
    section.rl.length_schedule = ((0, 1024),)
    if name != 'rl_qwen':  # which has Zero-Qwen-32B's rate
      section.optimizer.lr = 1e-6
  config.r1.general.update(preference_updates=120, capacity=2048)
  config.scenarios.general.capacity = 2048
  config.scenarios.sample.max_new = 1024
  for name in _SFT:
    config[name].sft.update(rows=4, capacity=2048)
    config[name].sample.max_new = 1024
  for name in ('cold_start', 'rejection'):
    config[name].sample.max_new = 1024
    config[name].samples.update(questions=4096, batch=64)
  config.rejection.samples.most_per_question = 4
  config.report_card.sample.max_new = 1024
  for name in ('helpful', 'harmless'):
    config[name].reward_model.update(pairs=32, micro=8, capacity=2048, updates=2000)
  hub_students(config)


def hub_students(config):
  """Students from bases of the user's; their rates are the paper's of 1.5B and 8B."""
  for name in ('distill_qwen', 'distill_llama', 'matched_qwen'):
    config[name].sft.update(rows=4, capacity=2048)
    config[name].sample.max_new = 1024
