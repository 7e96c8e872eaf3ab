"""Sizes of an RL run that its config leaves to the machine ('auto'), chosen before it begins.

They decide memory and speed alone. What is learned (questions, samples, lengths, mini-batches)
stays as asked: where that fits in no size, the choice says what would.
"""

import dataclasses
import operator

from r1jax import config as config_lib
from r1jax import sharding
from r1jax.model import lora, transformer
from r1jax.planning import memory, resident
from r1jax.sampling import handover

ROOM = 0.9  # share of what is free that is planned with: formulas err, and memory has gaps
# Tokens of a micro-batch on one device above which nothing is gained: matrix products are at their
# best, and the last micro-batch of an update is half empty. A CPU is at its best with a row: four
# of 1,024 tokens in one micro-batch or in four took 6.7 s (8 layers of SmolLM2, two cores).
BUSY = 8192
# A step of decoding reads all weights and the cache of all slots: with a cache that is so many
# times the weights, twice the slots are a tenth faster. Fewer slots than these are always of use.
CACHE, SLOTS = 4, 32
_SHORTEST = 64  # new tokens below which no shorter reply is proposed
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Room:
  """Memory for a run.

  Attributes:
    free: bytes of a device, or of the machine that `here` devices share; None where nobody says.
    here: devices that share it with this process, as of `resident.shared`.
  """

  free: float | None
  here: int = 0

  def holds(self, need):
    """Whether so many bytes are planned with."""
    return self.free is not None and need <= ROOM * self.free

  def told(self, need):
    """'9.1 of 14.6 GiB'."""
    return f'{_gib(need)} of {_gib(ROOM * self.free)} GiB'


@dataclasses.dataclass(frozen=True)
class Choice:
  """What was chosen.

  Attributes:
    job: with numbers everywhere.
    told: (key, value and the reason) of each, for people.
    refused: why not even the smallest sizes fit, and what would; '' where they do.
  """

  job: config_lib.Job
  told: tuple = ()
  refused: str = ''

  @property
  def values(self):
    """Key -> number of what was chosen."""
    return {key: value_of(self.job, key) for key, _ in self.told if key in config_lib.SIZES}


def choose(job, cfg, mesh, room):
  """The `Choice` for a job on a mesh: the largest sizes that fit and are of use.

  What the config gives as a number stays, and the others are chosen around it.

  Args:
    job: `config.Job`; its `automatic` keys are chosen.
    cfg: `ModelConfig` of what is trained.
    mesh: where it trains and samples, of devices that need not exist.
    room: `Room`.
  """
  given, asked, job = job, job.automatic, least(job, mesh)
  told, refused = [], ''
  if 'rl.capacity' in asked:
    told.append(('rl.capacity', f'{job.rl.capacity}: a prompt and a reply at their longest'))
  held = memory.held(job, cfg, mesh)
  for key, sizes, need in (
    ('rl.rows', _rows(job, mesh, room), _update),
    ('sample.slots', _slots(job, cfg, mesh), _rollout),
  ):
    if key not in asked:
      continue
    needs = [need(put(job, key, size), cfg, mesh, held, room) for size in sizes]
    at, why = _first(sizes, needs, room)
    job = put(job, key, sizes[at])
    told.append((key, f'{sizes[at]}: {why}'))
    if room.free is not None and not room.holds(needs[at]):
      refused = refused or _refusal(given, cfg, mesh, room, (key, needs[at], held.state))
  return Choice(job, tuple(told), refused)


def least(job, mesh):
  """The job with the smallest sizes that can run on the mesh where the config leaves them open."""
  shards, context = sharding.row_shards(mesh), sharding.row_devices(mesh)
  longest = job.data.max_prompt + job.sample.max_new
  smallest = {
    # The devices that share a row have equal parts of it.
    'rl.capacity': -(-longest // context) * context,
    'rl.rows': shards,
    'sample.slots': 1,
  }
  for key in job.automatic:
    job = put(job, key, smallest[key])
  return job


def told(room):
  """What there is, for people."""
  if room.free is None:
    return 'nobody says how much there is'
  whose = 'free on this machine' if room.here else 'free on each device'
  return f'{_gib(room.free)} GiB {whose}; {ROOM:.0%} of it to plan with'


def _gib(count):
  """Bytes in GiB, so exact that sizes next to each other differ."""
  return f'{count / _GIB:.{1 if count >= 10 * _GIB else 2}f}'


def put(job, key, value):
  """The job with another value of a dotted key of one of its sections."""
  section, name = key.split('.')
  return dataclasses.replace(
    job, **{section: dataclasses.replace(getattr(job, section), **{name: value})}
  )


def value_of(job, key):
  """The value of a dotted key."""
  return operator.attrgetter(key)(job)


def _rows(job, mesh, room):
  """Rows of a micro-batch that are of use, most first, by halves: a power of two for each shard, as
  a run may go on with them on another mesh.
  """
  shards, row = sharding.row_shards(mesh), job.rl.capacity / sharding.row_devices(mesh)
  sequences = job.rl.prompts * job.sample.group // job.rl.mini_batches
  sizes = [1]
  while not room.here and sizes[0] * row < BUSY and 2 * sizes[0] * shards <= sequences:
    sizes.insert(0, 2 * sizes[0])
  return [size * shards for size in sizes]


def _slots(job, cfg, mesh):
  """Slots of a shard that are of use, most first, by halves."""
  sizes = [-(-job.rl.prompts // sharding.batch_shards(mesh)) * job.sample.group]
  while sizes[-1] > 1:
    sizes.append(-(-sizes[-1] // 2))
  most = CACHE * handover.held(cfg, mesh)
  useful = lambda size: memory.cache(put(job, 'sample.slots', size), cfg, mesh) <= most
  return [size for size in sizes if size <= SLOTS or useful(size)]


def _update(job, cfg, mesh, held, room):
  return resident.in_update(cfg, mesh, held, resident.of_rl(job), room.here)


def _rollout(job, cfg, mesh, held, room):
  held = dataclasses.replace(held, cache=memory.cache(job, cfg, mesh))
  return resident.in_rollout(cfg, mesh, held, resident.of_rl(job), room.here)


def _first(sizes, needs, room):
  """(place of the first of `sizes` that fits, or of the last, why that one)."""
  if room.free is None:
    return len(sizes) - 1, 'the smallest, as nobody says how much memory there is'
  at = next((at for at, need in enumerate(needs) if room.holds(need)), None)
  if at is None:
    return len(sizes) - 1, f'the smallest, and still about {room.told(needs[-1])}'
  if at == 0:
    return at, f'more would gain little; about {room.told(needs[at])}'
  more = f'{sizes[at - 1]} would need {_gib(needs[at - 1])}'
  return at, f'about {room.told(needs[at])}; {more}'


def _refusal(job, cfg, mesh, room, found):
  """Why the smallest sizes do not fit, and which changes of the `job` that was asked for would."""
  key, need, state = found
  whose = 'of this machine' if room.here else 'per device'
  what = 'adapters and frozen weights' if cfg.lora.rank else 'all weights'
  fitting = _fitting(job, cfg, mesh, room)
  fits = [f'{flags} (about {_gib(size)} GiB)' for flags, size in fitting]
  nothing = 'no smaller types, shorter replies or adapters: take a smaller model, or more devices'
  return (
    f'{what} do not fit: at the smallest sizes a run needs about {_gib(need)} GiB {whose}, '
    f'{_gib(state)} of it weights, optimizer and reference; {_gib(ROOM * room.free)} are '
    f'there to plan with. What fits: {"; or ".join(fits) or nothing}. A number for config.{key} in '
    'place of auto starts it all the same'
  )


def _fitting(job, cfg, mesh, room):
  """Yields (flags, bytes needed at the smallest sizes): of each kind of change the least."""
  for kind in (_types, _lengths, _adapters):
    for flags, other, model in kind(job, cfg):
      other = least(other, mesh)
      held = memory.held(other, model, mesh)
      need = max(ask(other, model, mesh, held, room) for ask in (_update, _rollout))
      if room.holds(need):
        yield ' '.join(f'--config.{flag}' for flag in flags), need
        break


def _types(job, cfg):
  """Yields (flags, job, ModelConfig) that keep less, ever less of it: no layout of the weights for
  decoding, then smaller types.
  """
  flags = []
  # What a device of its own has none of changes nothing there.
  less = {'rl.rollout_layout': 'same', 'optimizer.moments': 'bfloat16'}
  less |= {'rl.reference_dtype': 'bfloat16'} if job.grpo.beta else {}
  for key, value in less.items():
    if value_of(job, key) != value:
      job, flags = put(job, key, value), [*flags, f'{key}={value}']
      yield flags, job, cfg


def _lengths(job, cfg):
  """The same with ever shorter replies."""
  new, old = job.sample.max_new // 2, job.rl.length_schedule
  while new >= _SHORTEST:
    schedule, flags = tuple((at, min(cap, new)) for at, cap in old), [f'sample.max_new={new}']
    # One cap all along follows the longest reply by itself.
    if old != ((0, job.sample.max_new),):
      flags.append(f"rl.length_schedule='{schedule}'")
    yield flags, put(put(job, 'sample.max_new', new), 'rl.length_schedule', schedule), cfg
    new //= 2


def _adapters(job, cfg):
  """The same with adapters in place of all weights, then with smaller frozen weights too."""
  flags = ['lora.rank=16']
  if not cfg.lora.rank:
    try:
      cfg = transformer.with_adapters(cfg, lora.LoraConfig(rank=16))
    except ValueError:  # a model narrower than that
      return
    yield flags, job, cfg
  if cfg.param_dtype != 'bfloat16':
    flags = [*([] if job.lora.rank else flags), 'runtime.param_dtype=bfloat16']
    yield flags, job, dataclasses.replace(cfg, param_dtype='bfloat16')
