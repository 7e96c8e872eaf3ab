"""Rollouts that are sampled ahead of training, beside it, by weights of a fixed age.

With `rl.staleness` s, training on rollout i starts rollout i + s, sampled by the weights as they
are then; so rollout i comes from the weights before rollout i - s was trained on (the first s + 1
from those of the start). The age is a schedule, not a race: however long anything takes, the same
weights make the same rollout. That is why the rollouts in flight need not be saved. A checkpoint
holds the weights that make them, and they are made again.

Only one thread samples, in order, and it alone draws questions. It sleeps while a device or a
verifier works, so the main thread trains meanwhile.
"""

import concurrent.futures
import math

import jax

from r1jax import params as params_lib
from r1jax import sharding


def devices(rl):
  """(devices that train, devices that sample) of an `RlConfig`; both all of them by default.

  Raises:
    ValueError: `rollout_mesh` leaves none to train.
  """
  every = jax.devices()
  if not rl.rollout_mesh:
    return every, every
  wanted = math.prod(rl.rollout_mesh)
  if wanted >= len(every):
    raise ValueError(
      f'rl.rollout_mesh={rl.rollout_mesh} takes {wanted} of {len(every)} devices: none is left '
      'to train'
    )
  # The last ones sample: the mesh that trains begins at device 0, as in a run without this.
  return every[:-wanted], every[-wanted:]


def check(rl, mesh):
  """The mesh that samples; raises ValueError where it does not go with `mesh`, which trains."""
  if not rl.staleness:
    return mesh
  if jax.process_count() > 1:
    raise ValueError(
      f'{rl.staleness=} needs one process: two threads of several processes would start their '
      'collectives in different orders and wait for each other'
    )
  if not rl.rollout_mesh:
    if mesh.size > 1:
      raise ValueError(
        f'{rl.staleness=} on {mesh.size} shared devices would mix the collectives of two threads; '
        'give the rollouts devices of their own: rl.rollout_mesh=(1,2,1,1), say'
      )
    return mesh
  return sharding.make_mesh(rl.rollout_mesh, devices(rl)[1], 'config.rl.rollout_mesh')


class Schedule:
  """What is sampled in order, `staleness` of it in flight, each by weights of a fixed age."""

  def __init__(self, rl, mesh, specs, sample):
    """Nothing starts yet.

    Args:
      rl: `RlConfig`.
      mesh: where to sample; None is the mesh that is set.
      specs: spec tree of what is trained of the weights.
      sample: (number, weights) -> rollout `number`; called in the order of the numbers, `mesh` set.
    """
    self._staleness, self._count = rl.staleness, -(-rl.updates // rl.mini_batches)
    self._mesh, self._specs, self._sample = mesh, specs, sample
    self._thread, self._running, self._begun = None, {}, 0
    self.versions = []  # weights of the rollouts in flight, oldest first, the newest at the end

  def made_by(self, number):
    """How many rollouts the weights that sample rollout `number` have been trained on."""
    return max(0, number - self._staleness)

  def take(self, number, weights):
    """Rollout `number`; `weights` are those that have been trained on all rollouts before it."""
    # In turn, as in the paper: sampled here and now, in the caller's thread, by the newest weights.
    if not self._staleness:
      return self._sample(number, weights)
    # The rollouts up to `number + staleness` come from the last `staleness` weights: older ones are
    # let go, which bounds the memory.
    # Copied: training gives the originals' memory away.
    copied = self.placed(self._specs, weights, alias=False)
    self.versions = [*self.versions, copied][-self._staleness :]
    self._begin(number, number + self._staleness)
    return self._running.pop(number).result()

  def abstract(self, count, dtype):
    """Shapes of `versions` where there are `count` of them."""
    mesh = self.where
    return [params_lib.abstract(self._specs, dtype, mesh) for _ in range(count)]

  def restore(self, number, versions):
    """Starts what was in flight when rollout `number` was to be taken next."""
    self.versions, self._begun = list(versions), number
    if versions:
      # The newest weights of the checkpoint are those that rollout `number - 1` was taken with.
      self._begin(number - 1, number - 1 + self._staleness)

  def close(self):
    """Waits for the rollout that is being sampled, if any; drops the others."""
    if self._thread:
      self._thread.shutdown(cancel_futures=True)

  def _begin(self, newest, last):
    """Starts rollouts up to `last`; `versions` ends with the weights that take rollout `newest`."""
    self._thread = self._thread or concurrent.futures.ThreadPoolExecutor(1, 'rollouts')
    for number in range(self._begun, min(last + 1, self._count)):
      # Counted from the end: -1 is the newest, trained on `newest` rollouts.
      weights = self.versions[self.made_by(number) - newest - 1]
      self._running[number] = self._thread.submit(self._on, self.where, number, weights)
      self._begun = number + 1

  def _on(self, mesh, number, weights):
    # The mesh is a setting of each thread, so this one sets its own.
    with jax.set_mesh(mesh):
      return self._sample(number, weights)

  @property
  def where(self):
    """The mesh that samples."""
    return self._mesh or jax.sharding.get_mesh()

  def placed(self, specs, weights, alias=True):
    """Weights on the devices that sample; with `alias`, those that are there already are taken."""
    mesh = self.where

    def one(p, w):
      where = jax.sharding.NamedSharding(mesh, sharding.param(p.axes))
      return jax.device_put(w, where, may_alias=alias)

    return params_lib.tree_map(one, specs, weights)
