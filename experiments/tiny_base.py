"""Pre-trains the base models that R1-Zero starts from, on documents about the tiny world.

  python -m r1jax.main --config=experiments/tiny_base.py

The model that ships in r1jax/assets/tiny_base is `runs/tiny_base/model` of this command, seed 0:
2,000 updates in 23 minutes on 2 shared vCPUs. Held-out, at temperature 1: pass@1 22 %, format 45 %.
The one in r1jax/assets/tiny_bilingual_base is `runs/bilingual_base/model` of the preset
`bilingual`: 2,400 updates in 16 minutes on 2 shared vCPUs, pass@1 18 %, format 49 %; a third of its
thoughts that have words mixes the languages. The same code on the same machine ends in the same
bits. (The first file was made before attention summed in blocks of queries; a run of today differs
in the last digits.)
"""

from r1jax import config as config_lib
from r1jax.data.tasks import tiny_world
from r1jax.model import presets

PRESETS = ('tiny', 'bilingual', 'small')


def get_config(preset='tiny'):
  """`tiny`: the shipped base. `bilingual`: one of two languages. `small`: 105M, for one GPU."""
  if preset not in PRESETS:
    raise ValueError(
      f'experiments/tiny_base.py has no preset {preset!r}; it has {", ".join(PRESETS)}'
    )
  config = config_lib.default('pretrain')
  config.workdir = f'runs/{preset}_base'
  documents(config.pretrain.corpus)
  # As RL will sample from it.
  config.evaluation.update(temperature=1.0, top_p=1.0, every=250)
  config.loop.checkpoint_every = 250
  {'tiny': tiny, 'bilingual': bilingual, 'small': small}[preset](config)
  return config.lock()


def documents(corpus):
  """What is read, by students of other experiments too."""
  # RL can only choose among what a base does at times: few documents reason in the tags, and those
  # that answer at once are mostly wrong.
  corpus.update(bare=0.34, tagged=0.20, worked=0.20, worked_tagged=0.15, corrected=0.11, right=0.30)
  corpus.world.levels = (1, 3)


def in_two_languages(corpus):
  """The same in English and Chinese, a third of the thoughts in both, and general requests."""
  # So that R1-Zero mixes languages, as the paper's did.
  corpus.update(connected=True, other=0.15, switching=0.30, requested=0.2)
  corpus.world.languages = tiny_world.BILINGUAL


def tiny(config):
  """1.2M parameters (1.5M with the MTP module)."""
  config.model = config_lib.architecture(presets.tiny())
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.optimizer.update(
    lr=3e-3, schedule='cosine', warmup=50, steps=2000, end_fraction=0.05, weight_decay=0.1
  )
  config.pretrain.updates = 2000
  config.pretrain.rows, config.pretrain.micro, config.pretrain.capacity = 24, 1, 128


def bilingual(config):
  """English and Chinese questions, thoughts that mix the two, general requests."""
  tiny(config)
  # Chinese characters need room in the vocabulary.
  config.model = config_lib.architecture(presets.tiny(vocab=896))
  config.pretrain.updates = config.optimizer.steps = 2400
  in_two_languages(config.pretrain.corpus)


def small(config):
  """The same documents for a model that a GPU trains; not run yet."""
  config.model = config_lib.architecture(presets.small())
  config.optimizer.update(
    lr=6e-4, schedule='cosine', warmup=200, steps=4000, end_fraction=0.1, weight_decay=0.1
  )
  config.pretrain.updates = 4000
  config.pretrain.rows, config.pretrain.micro, config.pretrain.capacity = 256, 2, 256
  config.pretrain.corpus.world.levels = (1, 5)
