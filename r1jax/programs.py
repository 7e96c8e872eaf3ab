"""Compiled programs: kept on disk for the next start, counted, named while they are compiled."""

import collections
import dataclasses
import functools
import hashlib
import pathlib
import platform
import re
import time
import warnings

import jax
import jaxlib.version

from r1jax import files

AUTO = 'auto'
_MOST = 2 << 30  # bytes kept: the programs of a few hundred runs of small models
_MINUTE = 60.0
_COMPILED = '/jax/core/compile/backend_compile_duration'
_LOWERED = '/jax/core/compile/jaxpr_to_mlir_module_duration'
_TRACED = '/jax/core/compile/jaxpr_trace_duration'
_LOADED = '/jax/compilation_cache/cache_hits'
_NESTED = 10_000
# What JAX warns of at each program that it cannot write: on a full disk at every one.
_UNWRITTEN = 'Error writing persistent compilation cache entry'
_NAME = re.compile(r'\w+\((\w+)\)')  # 'jit(generate)', but not 'generate'


def keep(folder=AUTO):
  """Lets JAX keep compiled programs in a folder; to be called before anything is compiled.

  What the user has told JAX itself (JAX_COMPILATION_CACHE_DIR, JAX_ENABLE_COMPILATION_CACHE) goes
  before. An entry that cannot be read is compiled anew, with JAX's warning. Of those that cannot be
  written the first is told of.

  Args:
    folder: where; AUTO for `home`, '' for nowhere.
  """
  if not folder or jax.config.jax_compilation_cache_dir:
    return
  place = home() if folder == AUTO else pathlib.Path(folder).expanduser()
  try:
    # What lies there is run: nobody else may write it.
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    _drop_torn(place)
  except OSError as error:
    print(f'compiled programs are not kept: {place} cannot be written ({error.strerror})')
    return
  _tell_once()
  jax.config.update('jax_compilation_cache_dir', str(place))
  jax.config.update('jax_compilation_cache_max_size', _MOST)
  # Hundreds of small programs take longer together than one that is large.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


def home():
  """The folder of the programs of this build of XLA for this kind of processor."""
  # A program may use every instruction of the processor it was compiled for: a home folder that
  # two machines share must not hand it to one that lacks some.
  told = (jax.__version__, jaxlib.version.__version__, platform.machine(), _processor())
  digest = hashlib.sha256('\n'.join(told).encode()).hexdigest()
  return files.cache() / 'programs' / digest[:16]


@functools.cache
def _tell_once():
  told, show = [], warnings.showwarning

  def showwarning(message, *args, **kwargs):
    if not str(message).startswith(_UNWRITTEN):
      show(message, *args, **kwargs)
    elif not told:
      told.append(message)
      print(f'compiled programs are not all kept: {" ".join(str(message).split())}')

  warnings.showwarning = showwarning


@dataclasses.dataclass(frozen=True)
class Program:
  """A program that a run needs; two of them are one where function and key are equal.

  Attributes:
    function: name of the jitted function.
    key: hashable, what tells it from other programs of that function: sizes, configs, the mesh.
    part: of the run that runs it first, for people.
  """

  function: str
  key: tuple = ()
  part: str = dataclasses.field(default='', compare=False)


@functools.cache
def watch():
  """The process's `Watch`, which begins with the first call."""
  return Watch()


class Watch:
  """Counts the programs of this process and knows the one that is being compiled.

  Attributes:
    count: programs compiled or loaded.
    loaded: those of them that came from the folder.
    seconds: that tracing, lowering and compiling have taken, or loading in place of it.
  """

  def __init__(self):
    self.count, self.loaded, self.seconds = 0, 0, 0.0
    self._name, self._since = '', 0.0
    self._known, self._needed, self._done = set(), [], 0
    # (begin, seconds) of the latest stretches in `seconds`; no more lie in one that ends later.
    self._counted = collections.deque(maxlen=_NESTED)
    jax.monitoring.register_event_duration_secs_listener(self._passed)
    jax.monitoring.register_event_listener(self._happened)

  def expect(self, needed):
    """Hears which `Program`s are run next, in this order: of these `compiling` counts which it is.

    What the process has heard of before is not counted again: it has been compiled, or will be.
    """
    new = [one for one in dict.fromkeys(needed) if one not in self._known]
    if new:
      self._known.update(new)
      self._needed, self._done = new, 0

  def compiling(self):
    """(name, seconds so far) of the function that XLA compiles now; None where it does not.

    The name of an expected program says which of how many it is: "rollout's decode (3 of 9)".
    """
    name = self._name
    return (name, time.monotonic() - self._since) if name else None

  def _passed(self, event, duration, fun_name='', **kwargs):
    if event in (_TRACED, _LOWERED, _COMPILED):
      self._count(duration)
    # A program is lowered just before it is compiled: no event tells the beginning of that.
    if event == _LOWERED:
      named = _NAME.fullmatch(fun_name)
      self._begin(named[1] if named else fun_name)
    elif event == _COMPILED:
      self._name, self.count = '', self.count + 1

  def _begin(self, name):
    """Takes note of what is compiled from now on."""
    self._since = time.monotonic()
    ahead = range(self._done, len(self._needed))
    place = next((i for i in ahead if self._needed[i].function == name), None)
    if place is not None:
      # Those before it are done, even where they had been compiled or loaded already.
      self._done, part = place + 1, self._needed[place].part
      whose = f"{part}'s {name}" if part else name
      name = f'{whose} ({self._done} of {len(self._needed)})'
    self._name = name

  def _happened(self, event, **kwargs):
    self.loaded += event == _LOADED

  def _count(self, duration):
    """Adds a stretch that ends now, without those that lie in it: functions trace others."""
    began, inside = time.monotonic() - duration, 0.0
    while self._counted and self._counted[-1][0] >= began:
      inside += self._counted.pop()[1]
    self._counted.append((began, duration))
    self.seconds += max(0.0, duration - inside)


def _processor():
  """What tells one kind of CPU from another: its model and the instructions it has."""
  try:
    text = pathlib.Path('/proc/cpuinfo').read_text()
  except OSError:
    return platform.processor()
  first = text.split('\n\n')[0]
  rows = dict(re.split(r'\s*:\s*', line, maxsplit=1) for line in first.splitlines() if ':' in line)
  return '\n'.join(rows.get(name, '') for name in ('model name', 'flags', 'Features'))


def _drop_torn(place):
  """Deletes entries whose writer was killed: JAX would complain of each at every start."""
  for entry in place.glob('*-cache'):
    # JAX notes its time of use right after it has written an entry.
    written = entry.with_name(f'{entry.name.removesuffix("-cache")}-atime').exists()
    if not written and time.time() - entry.stat().st_mtime > _MINUTE:
      entry.unlink(missing_ok=True)
