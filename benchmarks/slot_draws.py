"""How many replies another number of slots changes: draws that fall within rounding of a bound.

  JAX_PLATFORMS=cpu python -m benchmarks.slot_draws --config=r1_zero
  JAX_PLATFORMS=cpu python -m benchmarks.slot_draws --config=r1_zero:smollm2 --slots=8,32

A draw comes from its request and its place, so that only rounding can tell slots apart: sums of a
batch of another size go in another order. One rollout of the experiment's base is sampled with a
slot for each request, then again by each number of `--slots`, with the same key; a reply counts
once, at its first token that is another.
"""

import jax
import numpy as np
import rich.console
import rich.table
from absl import app, flags

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.cli import overrides
from r1jax.data import source
from r1jax.runs import model
from r1jax.sampling import rollout
from r1jax.stages import rollouts

_CONFIG = flags.DEFINE_string('config', 'r1_zero', 'an RL experiment')
_DTYPE = flags.DEFINE_enum('dtype', 'float32', ['float32', 'bfloat16'], 'of products')
_SLOTS = flags.DEFINE_list('slots', ['8', '32', '128'], 'sequences that are decoded at once')


def sampled(job):
  """(slots, `rollout.Rollout`) of a first rollout's questions: a slot each, then each of `--slots`.

  Needs a mesh that is set.
  """
  cfg, tokenizer = model.architecture(job)
  form = model.form(job, tokenizer)
  train, _ = source.problems(job.data, job.seed, form)
  asked = [form.put(one.question).ids for one in rollouts.Questions(train, job).take(0)]
  policy = rollout.Policy(model.weights(job, cfg), cfg, form)
  for slots in [0, *map(int, _SLOTS.value)]:
    limits = rollout.Limits(job.data.max_prompt, job.sample.max_new, slots)
    parts = rollout.run(policy, job.sample, asked, limits, jax.random.key(job.seed))
    yield slots, rollout.ordered(list(parts))


def row(slots, whole, other):
  """What the table says of one number of slots beside a slot for each."""
  other_BT = whole.token_BT != other.token_BT
  changed_B = other_BT.any(-1)
  same = ~changed_B[:, None] & (np.arange(whole.token_BT.shape[1]) < whole.length_B[:, None])
  apart = np.abs(whole.logp_BT - other.logp_BT)[same].max()
  # Behind its first other token a reply has another past: draws there are no longer comparable.
  drawn = np.where(changed_B, other_BT.argmax(-1) + 1, whole.length_B).sum()
  replies = f'{changed_B.sum()} of {len(changed_B)}'
  return str(slots), replies, f'{changed_B.sum()} of {drawn:,}', f'{apart:.1e}'


def main(argv):
  """Prints the table."""
  del argv
  config = overrides.experiment(_CONFIG.value).unlock()
  config.runtime.compute_dtype = _DTYPE.value
  job = config_lib.build(config)
  titles = ('slots', 'other replies', 'other draws', 'largest difference of log p in equal replies')
  table = rich.table.Table(*titles)
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
    runs = sampled(job)
    _, whole = next(runs)
    for slots, other in runs:
      table.add_row(*row(slots, whole, other))
  rich.console.Console().print(table)


if __name__ == '__main__':
  app.run(main)
