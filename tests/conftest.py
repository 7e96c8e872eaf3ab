"""Eight CPU devices for every test, so that meshes are real; what tests and workers share."""

import atexit
import fcntl
import gc
import os
import pathlib
import pickle
import shutil
import signal
import tempfile

os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# A suite that is started in the background ignores Ctrl-C, and so would all commands of its tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
  signal.signal(signal.SIGINT, signal.default_int_handler)

import jax
import pytest

from r1jax import sharding
from tests import small_base, small_runs

_PROGRAMS = 'R1JAX_TEST_PROGRAMS'
_MAPS = 20_000  # mappings of a worker above which a file's programs are dropped at its end
TESTS = pathlib.Path(__file__).resolve().parent
# A worker that is handed one of these last keeps all the others waiting, so they go first.
LONGEST = (
  'processes_test.py',
  'resume_test.py',
  'docs_test.py',
  'notebooks_test.py',
  'stages/general_rl_test.py',
  'end_to_end_test.py',
  'stages/distill_test.py',
  'stages/ahead_test.py',
  'kernels/gpu_decode_test.py',
  'kernels/gpu_attention_test.py',
  'planning/planner_test.py',
  'runs/graph/workers_test.py',
  'runs/graph/graph_test.py',
  'runs/opening_test.py',
  'stages/reward_model_test.py',
  'stages/sft_test.py',
  'algorithms/grpo_test.py',
  'kernels/oracle_test.py',
  'train/steps_test.py',
  'model/dispatch_test.py',
  'bad_input_test.py',
  'algorithms/distillation_test.py',
  'cli/commands_test.py',
  'interchange/exporting_test.py',
  'interchange/parity_test.py',
)


@pytest.fixture
def one_device():
  """The mesh of a single device, set for the test."""
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])) as mesh:
    yield mesh


@pytest.fixture
def heeds_hangup():
  """SIGHUP is not ignored, here and in processes that are started: under nohup it would be."""
  before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
  yield
  signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope='module', autouse=True)
def few_programs():
  """Drops a worker's compiled programs before they take all mappings that Linux gives a process.

  Each has about ten of 65,530; the compiler that gets no more ends the worker, and names no reason.
  """
  yield
  maps = pathlib.Path('/proc/self/maps')
  if maps.exists() and maps.read_bytes().count(b'\n') > _MAPS:
    jax.clear_caches()
    gc.collect()


@pytest.fixture(scope='session')
def made_once(tmp_path_factory):
  """`made_once(name, make)` is what `make(folder)` returns, made by the first worker that asks.

  The other workers of the suite wait for it, so that a run that several files read is made once.
  """
  folder = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    folder = folder.parent  # the workers' own folders stand side by side in the suite's

  def get(name, make):
    kept = folder / f'{name}.pickle'
    with (folder / f'{name}.lock').open('w') as lock:
      fcntl.flock(lock, fcntl.LOCK_EX)
      if not kept.exists():
        shutil.rmtree(folder / name, ignore_errors=True)  # of a maker that failed
        (folder / name).mkdir()
        kept.write_bytes(pickle.dumps(make(folder / name)))
    return pickle.loads(kept.read_bytes())

  return get


@pytest.fixture(scope='session')
def reference(made_once):
  """A small finished R1-Zero run on two devices, every checkpoint kept: `small_runs.Run`."""
  return made_once('reference', lambda folder: small_runs.finish(folder / 'run'))


@pytest.fixture(scope='session')
def small(made_once):
  """Overrides of a run of a model of two layers, for tests that start many runs."""
  base = made_once('base', lambda folder: small_base.write(folder / 'model'))
  # A model of two layers gives no right answer: shorter replies are what its groups differ by.
  length = {'grpo__max_length': 24, 'grpo__overlong_buffer': 16}
  # With one growth of the cache, examinations and rollouts are the same program.
  return {'checkpoint': base, 'sample__cache_growth': 1} | length


@pytest.fixture(scope='session')
def small_one(small, made_once):
  """A finished run of it on one device, every checkpoint kept: `small_runs.Run`."""
  return made_once('one', lambda folder: small_runs.finish(folder / 'run', devices=1, **small))


@pytest.fixture(scope='session')
def small_eight(small, made_once):
  """The same run on a mesh of eight devices."""
  settings = {'devices': 8, 'mesh': '(1,2,2,1,2)'} | small
  return made_once('eight', lambda folder: small_runs.finish(folder / 'run', **settings))


def pytest_addoption(parser):
  """Adds --heavy, for what takes most of the suite's time, and --slow, for what takes longer."""
  parser.addoption('--heavy', action='store_true', help='also run the tests marked heavy, as CI')
  parser.addoption('--slow', action='store_true', help='also run the tests marked slow')


def _programs():
  """The folder of the suite's compiled programs, which xdist's workers find by a variable.

  It lives as long as the suite, so no program of another machine or another XLA is ever loaded.
  """
  if _PROGRAMS not in os.environ:
    os.environ[_PROGRAMS] = tempfile.mkdtemp(prefix='programs')
    atexit.register(shutil.rmtree, os.environ[_PROGRAMS], ignore_errors=True)
  return os.environ[_PROGRAMS]


def pytest_configure(config):
  """Sets up what all workers share: compiled programs, and the order of the files."""
  # What a program computes is the same, and most of the suite's time is compilation. With --heavy,
  # as in CI, programs are compiled as those of users are.
  if not config.getoption('heavy'):
    os.environ['XLA_FLAGS'] += ' --xla_backend_optimization_level=0'
    # Three quarters of what compilation takes; later versions do not know it, and abort.
    if jax.version.__version_info__ < (0, 11):
      os.environ['XLA_FLAGS'] += ' --xla_cpu_use_fusion_emitters=false'
  # Not for the commands that tests start (`small_runs.environment`): JAX writes an entry bit by
  # bit, and a command that is killed or reads at that moment leaves a warning where none may be.
  jax.config.update('jax_compilation_cache_dir', _programs())
  # Small programs as well: the suite compiles thousands, and few of them take a second.
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)
  # xdist would sort files by their number of tests, which leaves the whole runs to the end.
  config.option.loadscopereorder = False


def pytest_collection_modifyitems(config, items):
  """Leaves out the heavy and the slow tests unless asked for; the longest files come first."""
  last = len(LONGEST)
  place = {name: n for n, name in enumerate(LONGEST)}
  items.sort(key=lambda item: place.get(item.path.relative_to(TESTS).as_posix(), last))
  for name, why in (('heavy', 'half of the suite is these'), ('slow', 'takes minutes')):
    if config.getoption(f'--{name}'):
      continue
    for item in items:
      if name in item.keywords:
        item.add_marker(pytest.mark.skip(reason=f'{why}: run pytest with --{name}'))
