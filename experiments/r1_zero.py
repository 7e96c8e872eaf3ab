"""DeepSeek-R1-Zero: GRPO on rule rewards, straight from a base model (reference §1.2, §1.3).

python -m r1jax.main --config=experiments/r1_zero.py
"""

from r1jax import config as config_lib
from r1jax.data.tasks import tiny_world
from r1jax.model import presets


def get_config(preset='tiny'):
  """`tiny`: the shipped base. `notebook`: that in a minute. `bilingual`: one that mixes languages.
  `smollm2`: a model of others, on two cores. `smollm2_ladder`: that, level by level. `hub`: your
  checkpoint. `gsm8k`: Qwen2.5-0.5B-Instruct. `small`: 105M. `qwen_1_5b`, `qwen_7b`, `qwen_32b`:
  Zero-Qwen-32B's recipe. `v3_671b`: the paper's.
  """
  if preset not in PRESETS:
    raise ValueError(
      f'experiments/r1_zero.py has no preset {preset!r}; it has {", ".join(PRESETS)}'
    )
  config = config_lib.default('reasoning_rl')
  config.workdir = f'runs/r1_zero_{preset}'
  PRESETS[preset](config)
  return config.lock()


def tiny(config):
  """The paper's mechanics at a scale where a step takes seconds on a laptop."""
  config.checkpoint = 'tiny'
  del config.model
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.data.max_prompt = 48
  config.data.levels = (1, 3)
  on_two_cores(config)
  config.rl.updates = 100
  # The paper's rate is constant; a run this short ends quieter when it falls.
  config.optimizer.update(lr=3e-4, schedule='cosine', steps=100, end_fraction=0.3)
  config.evaluation.update(every=25, few=256)
  config.loop.checkpoint_every = 20


def on_two_cores(section):
  """Sizes of an RL stage on a laptop, as in the other experiments too."""
  # 128 slots were 8 % faster than 64; most replies end in the first half of the cache.
  section.sample.update(group=16, max_new=96, slots=128, cache_growth=2)
  section.rl.update(prompts=32, mini_batches=2, rows=8, capacity=144, samples_every=20)
  # One cap all along: the paper's doubles only after 8,200 updates.
  section.rl.length_schedule = ((0, 96),)
  section.evaluation.update(temperature=1.0, top_p=1.0)


def notebook(config):
  """A run of a minute on two cores: the two easier levels, 24 updates of 16 questions x 8."""
  tiny(config)
  config.data.levels = (1, 2)
  config.sample.update(group=8, max_new=56, cache_growth=1)
  config.rl.update(prompts=16, mini_batches=1, updates=24, rows=16, capacity=104, samples_every=12)
  config.rl.length_schedule = ((0, 56),)
  config.optimizer.update(lr=5e-4, steps=24)
  config.evaluation.update(questions=16, few=16, samples=8, every=0)
  config.loop.checkpoint_every = 24


def bilingual(config):
  """Two languages, and a shipped base that mixes them, as its R1-Zero then does.

  --config.reward.language=1 rewards thoughts in the question's language.
  """
  tiny(config)
  config.checkpoint = 'tiny_bilingual'
  config.data.languages = tiny_world.BILINGUAL


def smollm2(config):
  """A model that others made, on two CPU cores: SmolLM2-135M-Instruct learns arithmetic in words.

  No SFT and no solved examples: its own chat, the last number is the answer, all weights learn.
  `r1jax fetch smollm2` brings it (98 MB).
  """
  config.checkpoint = 'smollm2'
  del config.model
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.runtime.scan_layers = True  # thirty layers unrolled take minutes to compile
  config.data.update(name='arithmetic', prompt='chat', system='Answer with the number only.')
  config.data.max_prompt = 48
  config.reward.update(answer='last_number', format=0.0)
  # Room for a sentence that works the answer out: with 24 most products in words are cut off.
  # All replies of a rollout at once: wider products run nearer the peak than refilled slots save.
  config.sample.update(group=8, max_new=32, slots=128)
  config.rl.update(prompts=12, mini_batches=1, updates=24, samples_every=6)
  # Two groups of eight replies fill a row behind their prompts.
  config.rl.update(rows=1, capacity=512, length_schedule=((0, 32),))
  # No reference: two dozen updates lead nowhere far, and its weights would take memory.
  config.grpo.beta = 0.0
  config.optimizer.update(lr=2e-5, moments='float32')
  config.evaluation.update(temperature=1.0, top_p=1.0, questions=256, samples=4)
  config.evaluation.update(every=12, few=64)
  config.loop.checkpoint_every = 6


def smollm2_ladder(config):
  """The same model goes on to problems of two and three steps, level by level; two hours.

  A level joins when a fifth of the last one's held-out replies are right: by then groups disagree,
  and replies are still tried in many forms. Replies have room to grow.
  """
  smollm2(config)
  kinds = {'one_digit': 0.5, 'products': 1.0, 'two_digits': 1.0, 'two_steps': 2.0}
  config.data.update(kinds=(*kinds.items(), ('three_steps', 1.0)), max_prompt=64)
  config.sample.max_new = 80
  config.rl.update(next_level=0.2, updates=96, samples_every=12)
  config.rl.update(capacity=704, length_schedule=((0, 80),))
  # Less than for the first levels alone, so that more is left to choose from; no other was tried
  # with this bound.
  config.optimizer.lr = 1.5e-5
  # Five levels share the questions: more of them, each asked twice, say more than draws of few.
  config.evaluation.update(questions=240, samples=2, every=3, few=120)
  config.loop.checkpoint_every = 12


def hub(config):
  """A model from a hub folder on JSONL questions; its sizes are those that fit the machine.

  Give it --config.checkpoint=DIR and --config.data.path=train.jsonl (GSM8K as published).
  """
  del config.model
  config.data.name = 'jsonl'
  config.data.max_prompt = 512
  config.sample.group = 8
  config.sample.max_new = 1024
  config.rl.prompts = 32
  config.rl.mini_batches = 2
  config.rl.updates = 500
  config.rl.length_schedule = ()  # as sample.max_new says
  # What fits the machine, by `r1jax.planning.sizes`; a number is a flag like any other.
  config.rl.rows = config.rl.capacity = config.sample.slots = 'auto'
  config.rl.samples_every = 20
  config.optimizer.lr = 1e-6
  config.evaluation.update(questions=128, samples=1, few=128, every=50)


def gsm8k(config):
  """GSM8K on one GPU: Qwen2.5-0.5B-Instruct in its own chat, by the settings of a published run.

  That one (github.com/THUDM/slime, pull request 1835) took the test questions, greedily, from 43.6
  to 50.2 % in 1 h 11 min on one GB10. `hf download --repo-type=dataset openai/gsm8k --local-dir
  gsm8k` brings the questions. Not yet run here: no GPU was to be had.
  """
  del config.model
  config.checkpoint = 'Qwen/Qwen2.5-0.5B-Instruct'
  config.data.update(name='jsonl', path='gsm8k/main', heldout_path='gsm8k/main', prompt='chat')
  config.data.system = 'Please reason step by step, and put your final answer within \\boxed{}.'
  config.data.max_prompt = 512
  config.reward.update(answer='box', format=0.0)
  config.sample.update(group=8, max_new=1024)
  config.rl.update(prompts=20, mini_batches=1, updates=100, samples_every=10)
  config.rl.update(rows=4, capacity=1536, length_schedule=((0, 1024),))
  config.grpo.update(clip_low=0.2, clip_high=0.28, beta=0.0)
  config.optimizer.lr = 1e-6
  # All test questions, greedily, as they were counted there.
  config.evaluation.update(questions=1319, samples=1, temperature=0.0, every=25, few=256)
  config.loop.checkpoint_every = 25


def small(config):
  """One GPU: a 105M-parameter V3; its base comes from experiments/tiny_base.py:small."""
  config.model = config_lib.architecture(presets.small())
  config.data.max_prompt = 64
  config.sample.max_new = 448
  config.rl.prompts = 64
  config.rl.mini_batches = 4
  config.rl.updates = 1000
  # A cap that rises half-way, as R1-Zero's does.
  config.rl.length_schedule = ((0, 256), (500, 448))
  config.rl.rows, config.rl.capacity = 32, 512
  config.optimizer.lr = 1e-5
  config.evaluation.every = 100


def v3_671b(config):
  """R1-Zero as published; its clip range is not reported, R1's first RL stage uses 10 (§1.3)."""
  config.mesh = (1, -1, 64, 4)  # with 1,024 chips 256 batch shards, which divide all that follows
  config.sample.max_new = 65_536
  config.rl.rows = 256
  config.sample.slots = 16
  config.grpo.clip_low = config.grpo.clip_high = 10.0
  config.grpo.tis_cap = 2.0  # bfloat16 sampler and trainer differ (reference §4.2)
  config.data.max_prompt = 1024
  config.evaluation.update(every=400, few=256)


def qwen_1_5b(config):
  """The 32B recipe on the shape of R1-Distill-Qwen-1.5B."""
  _zero_qwen(config, presets.qwen_1_5b())


def qwen_7b(config):
  """The 32B recipe on the shape of R1-Distill-Qwen-7B."""
  _zero_qwen(config, presets.qwen_7b())


def qwen_32b(config):
  """Zero-Qwen-32B; give it --config.checkpoint=DIR to train rather than to plan."""
  _zero_qwen(config, presets.qwen_32b())


def _zero_qwen(config, model):
  """The paper's RL on a Qwen base: rate 2e-6, 32,768 tokens all along (reference §1.3)."""
  config.model = config_lib.architecture(model)
  # Over more devices than key heads attention would not divide.
  config.mesh = (1, -1, 1, model.kv_heads)
  config.optimizer.lr = 2e-6
  config.data.max_prompt = 1024
  config.sample.max_new = 32_768
  config.rl.length_schedule = ((0, 32_768),)
  config.rl.rows, config.rl.capacity = 64, 33_792
  config.grpo.tis_cap = 2.0  # bfloat16 sampler and trainer differ (reference §4.2)
  config.evaluation.update(every=400, questions=256, few=128)


PRESETS = {
  'tiny': tiny,
  'notebook': notebook,
  'bilingual': bilingual,
  'smollm2': smollm2,
  'smollm2_ladder': smollm2_ladder,
  'hub': hub,
  'gsm8k': gsm8k,
  'small': small,
  'qwen_1_5b': qwen_1_5b,
  'qwen_7b': qwen_7b,
  'qwen_32b': qwen_32b,
  'v3_671b': v3_671b,
}
