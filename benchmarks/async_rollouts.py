"""Wall time of RL that samples ahead of training against RL that takes turns, with slow rewards.

  JAX_PLATFORMS=cpu python -m benchmarks.async_rollouts

The tiny model on its world; every rollout's rewards arrive `--reward_seconds` after they were asked
for, as those of a code judge or of a reward model elsewhere do. Turns: one device, which on CPU has
all cores. Ahead: one device samples, another trains, one rollout apart, on the same cores. Paired
segments A B A B ..., each of `--rollouts` rollouts sampled and trained on, with the last rollout in
flight waited for; medians after a warm-up that compiles.
"""

import os

# Before JAX is imported, or it has one device.
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=2'
)

import concurrent.futures
import pathlib
import tempfile
import time

import jax
import numpy as np
from absl import app, flags

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.data import source
from r1jax.experiments import r1_zero
from r1jax.rewards import service
from r1jax.runs import model
from r1jax.stages import ahead, reasoning_rl, rollouts

_SECONDS = flags.DEFINE_float('reward_seconds', 2.0, 'from asking for rewards to having them')
_ROLLOUTS = flags.DEFINE_integer('rollouts', 4, 'rollouts of a segment')
_PAIRS = flags.DEFINE_integer('pairs', 3, 'segments of each kind')


class SlowRewards(service.RewardService):
  """Rewards that come late."""

  def submit(self, items):
    """The same batch, whose result waits."""
    # The rules' workers judge at once; only the answer is held back.
    batch, due = super().submit(items), time.monotonic() + _SECONDS.value
    now = batch.result

    def late():
      time.sleep(max(0.0, due - time.monotonic()))
      return now()

    batch.result = late
    return batch


class Run:
  """A run that goes on for some rollouts at a time."""

  def __init__(self, staleness, folder):
    config = r1_zero.get_config('tiny').unlock()
    # Never finished, and nothing written, within the segments that are timed.
    config.rl.update(updates=10_000, samples_every=10_000, staleness=staleness)
    config.grpo.tis_cap = 2.0
    if staleness:
      config.rl.rollout_mesh = (1, 1, 1, 1)
    self.job = config_lib.build(config)
    # Trains on the first device; where rollouts are ahead, the second samples.
    self.mesh = sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])
    self.rewards, self.step = SlowRewards(self.job.reward), 0
    with jax.set_mesh(self.mesh):
      cfg, tok = model.architecture(self.job)
      form = model.form(self.job, tok)
      problems, _ = source.problems(self.job.data, self.job.seed, form)
      questions = rollouts.Questions(problems, self.job)
      where = ahead.check(self.job.rl, self.mesh)
      self.stage = reasoning_rl.Stage(
        self.job, cfg, form, questions, self.rewards, folder, rollout_mesh=where
      )
      self.stage.initial = model.weights(self.job, cfg)
      self.stage.start()

  def segment(self, rollouts):
    """Seconds of so many rollouts and the updates on them."""
    began = time.perf_counter()
    with jax.set_mesh(self.mesh):
      for _ in range(rollouts * self.job.rl.mini_batches):
        found = self.stage.update(self.step)
        self.step += 1
      # The last update, then the rollout that it left in flight.
      jax.block_until_ready(found)
    concurrent.futures.wait(self.stage.rollouts._running.values())
    return time.perf_counter() - began

  def close(self):
    """Ends its threads."""
    self.stage.close()
    self.rewards.close()


def main(argv):
  """Prints the pairs and the ratio of their medians."""
  del argv
  with tempfile.TemporaryDirectory() as folder:
    both = [Run(staleness, pathlib.Path(folder)) for staleness in (0, 1)]
    for run in both:
      # Two rollouts compile everything that a later one runs.
      run.segment(2)
    seconds = np.array([[r.segment(_ROLLOUTS.value) for r in both] for _ in range(_PAIRS.value)])
    for turns, beside in seconds:
      print(f'in turns {turns:6.2f} s   ahead {beside:6.2f} s   {beside / turns:.2f}')
    # The machine's other work hits both of a pair alike, hence the pairs.
    turns, beside = np.median(seconds, axis=0)
    spent = both[0].stage.ledger.seconds()
    parts = ', '.join(f'{name} {spent[name]:.1f} s' for name in ('rollouts', 'scoring', 'updates'))
    print(f'in turns, all of it: {parts} (rewards, within rollouts: {_SECONDS.value} s each)')
    print(f'medians: in turns {turns:.2f} s, ahead {beside:.2f} s, ratio {beside / turns:.2f}')
    for run in both:
      run.close()


if __name__ == '__main__':
  app.run(main)
