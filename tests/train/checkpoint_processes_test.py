"""Checkpoints survive killed processes and are written by several together."""

import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time

import jax
import numpy as np
import pytest

from r1jax import sharding
from r1jax.train import checkpoint


@pytest.fixture(autouse=True)
def one_device():
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1])):
    yield


_SAVER = """
  import sys
  import jax, numpy as np
  from r1jax import sharding
  from r1jax.train import checkpoint
  jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.devices()[:1]))
  with checkpoint.Checkpoints(sys.argv[1], keep=2) as saved:
    x = np.random.default_rng(0).normal(size=(400, 500)).astype('f4')
    found = saved.latest({'x': jax.ShapeDtypeStruct(x.shape, x.dtype), 'n': np.zeros(())})
    first = found[0] + 1 if found else 1
    for step in range(first, 10**6):
      state = {"x": sharding.put(x + step, jax.P(None, None)), "n": np.array(float(step))}
      saved.save(step, state, [step])
      print(step, flush=True)
"""


def test_kill_9_at_any_moment_leaves_a_usable_checkpoint(tmp_path):
  x = np.random.default_rng(0).normal(size=(400, 500)).astype('f4')
  rng, reached = random.Random(1), 0
  environment = {**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu'}
  for _ in range(3):
    command = [sys.executable, '-c', textwrap.dedent(_SAVER), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
      started = [process.stdout.readline() for _ in range(2)]  # save 2 began, so save 1 is on disk
      time.sleep(rng.uniform(0, 0.3))
      process.send_signal(signal.SIGKILL)
    assert int(started[0]) == reached + 1
    with checkpoint.Checkpoints(tmp_path, notify=pytest.fail) as saved:
      form = {'x': jax.ShapeDtypeStruct(x.shape, x.dtype), 'n': np.zeros(())}
      step, arrays, host = saved.latest(form)
    assert step >= int(started[0]) and host == [step] and arrays['n'] == step
    assert np.array_equal(np.asarray(arrays['x']), x + step)
    reached = step


_WORKER = """
  import sys
  import jax, numpy as np
  jax.config.update('jax_num_cpu_devices', 2)
  jax.distributed.initialize(sys.argv[2], 2, int(sys.argv[3]))
  from r1jax import sharding
  from r1jax.train import checkpoint
  jax.set_mesh(sharding.make_mesh((1, 2, 1, 2)))
  x = np.arange(64, dtype='f4').reshape(8, 8)
  state = {'x': sharding.put(x, jax.P('fsdp', 'tensor')), 'key': jax.random.key(1)}
  with checkpoint.Checkpoints(sys.argv[1]) as saved:
    assert saved.latest(jax.eval_shape(lambda: state)) is None
    for step in (1, 2, 3):
      saved.save(step, state, {'step': step})
    saved.wait()
    assert saved.steps() == [2, 3], saved.steps()
    step, arrays, host = saved.latest(jax.eval_shape(lambda: state))
    assert (step, host) == (3, {'step': 3})
    for shard in arrays['x'].addressable_shards:
      assert np.array_equal(np.asarray(shard.data), x[shard.index])
"""


def test_two_processes_save_together_and_one_process_restores(tmp_path):
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    address = f'localhost:{probe.getsockname()[1]}'
  environment = {**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu'}
  code = textwrap.dedent(_WORKER)
  workers = [
    subprocess.Popen(
      [sys.executable, '-c', code, str(tmp_path), address, str(n)],
      env=environment,
      stderr=subprocess.PIPE,
      text=True,
    )
    for n in range(2)
  ]
  errors = [worker.communicate(timeout=80)[1] for worker in workers]
  assert [worker.returncode for worker in workers] == [0, 0], errors
  with checkpoint.Checkpoints(tmp_path) as saved:
    form = {
      'x': jax.ShapeDtypeStruct((8, 8), 'f4'),
      'key': jax.eval_shape(lambda: jax.random.key(0)),
    }
    step, arrays, _ = saved.latest(form)
  assert step == 3
  assert np.array_equal(np.asarray(arrays['x']).ravel(), np.arange(64))
