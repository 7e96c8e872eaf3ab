"""A run's figures: one row per step, whatever was killed and resumed."""

import json
import math
import multiprocessing.synchronize
import os
import resource
import subprocess
import sys
import threading
import time

import jax.numpy as jnp
import pytest

from r1jax import files
from r1jax.train import metrics


def _rows(folder):
  return [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]


def _events(folder):
  """(step, name, value) in all event files, as the format says: length, crc, record, crc."""
  from tensorboardX.proto import event_pb2

  found = []
  for path in sorted((folder / 'tensorboard').iterdir()):
    data = path.read_bytes()
    while data:
      length = int.from_bytes(data[:8], 'little')
      event = event_pb2.Event.FromString(data[12 : 12 + length])
      found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
      data = data[16 + length :]
  return found


def test_each_step_is_one_json_object_and_one_tensorboard_event_per_metric(tmp_path):
  with metrics.MetricsWriter(tmp_path) as writer:
    writer.write(1, {'reward/accuracy': 0.25, 'grpo/kl': jnp.float32(0.5)})
    writer.write(2, {'reward/accuracy': 0.5})
  assert _rows(tmp_path) == [
    {'step': 1, 'reward/accuracy': 0.25, 'grpo/kl': 0.5},
    {'step': 2, 'reward/accuracy': 0.5},
  ]
  assert files.read_rows(tmp_path / 'metrics.jsonl') == _rows(tmp_path)
  expected = [(1, 'grpo/kl', 0.5), (1, 'reward/accuracy', 0.25), (2, 'reward/accuracy', 0.5)]
  assert sorted(_events(tmp_path)) == expected


def test_a_row_is_on_disk_when_write_returns(tmp_path):
  writer = metrics.MetricsWriter(tmp_path)
  writer.write(1, {'a/b': 1})
  assert _rows(tmp_path) == [{'step': 1, 'a/b': 1.0}]
  writer.close()
  writer.close()


def test_what_json_cannot_say_becomes_null_and_is_counted(tmp_path):
  with metrics.MetricsWriter(tmp_path) as writer:
    writer.write(1, {'a/nan': math.nan, 'a/inf': -math.inf, 'a/fine': 2.0})
  assert _rows(tmp_path) == [
    {'step': 1, 'a/nan': None, 'a/inf': None, 'a/fine': 2.0, 'metrics/nonfinite': 2}
  ]
  assert _events(tmp_path) == [(1, 'a/fine', 2.0)]


@pytest.mark.parametrize('cut', [1, 5, 20])
def test_a_line_torn_by_a_kill_is_cut_when_the_run_resumes(tmp_path, cut):
  with metrics.MetricsWriter(tmp_path) as writer:
    for step in (1, 2, 3):
      writer.write(step, {'reward/accuracy': step / 4})
  path = tmp_path / 'metrics.jsonl'
  os.truncate(path, path.stat().st_size - cut)
  assert [row['step'] for row in files.read_rows(path)] == [1, 2]
  with metrics.MetricsWriter(tmp_path, resumed_from=3) as writer:
    writer.write(4, {'reward/accuracy': 1})
  assert [row['step'] for row in _rows(tmp_path)] == [1, 2, 4]


@pytest.mark.parametrize('resumed_from', [0, 1, 3, 5, 9])
def test_steps_that_run_again_are_never_there_twice(tmp_path, resumed_from):
  with metrics.MetricsWriter(tmp_path) as writer:
    for step in range(1, 6):
      writer.write(step, {'run/number': 1})
  before = (tmp_path / 'metrics.jsonl').read_bytes().splitlines()
  with metrics.MetricsWriter(tmp_path, resumed_from) as writer:
    for step in range(resumed_from + 1, 12):
      writer.write(step, {'run/number': 2})
  rows = _rows(tmp_path)
  assert [row['step'] for row in rows] == sorted({row['step'] for row in rows})
  kept = min(resumed_from, 5)
  assert [row['run/number'] for row in rows] == [1] * kept + [2] * (11 - resumed_from)
  assert (tmp_path / 'metrics.jsonl').read_bytes().splitlines()[:kept] == before[:kept]


def test_a_damaged_line_is_refused_with_its_number(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text('{"step": 1}\n{"step": \n{"step": 3}\n')
  with pytest.raises(ValueError, match=r'metrics.jsonl:2: damaged'):
    metrics.MetricsWriter(tmp_path, resumed_from=3)


def test_no_file_means_no_rows(tmp_path):
  assert files.read_rows(tmp_path / 'metrics.jsonl') == []


def test_an_atomic_write_that_fails_leaves_the_old_content(tmp_path, monkeypatch):
  path = tmp_path / 'summary.json'
  files.write_atomically(path, 'old')

  def die(*_):
    raise OSError('killed')

  monkeypatch.setattr(metrics.os, 'fsync', die)
  with pytest.raises(OSError, match='killed'):
    files.write_atomically(path, 'new')
  assert path.read_text() == 'old'


def test_writing_metrics_imports_no_torch_or_tensorflow(tmp_path):
  code = (
    'import sys; from r1jax.train import metrics\n'
    'w = metrics.MetricsWriter(sys.argv[1]); w.write(1, {"a/b": 1.0}); w.close()\n'
    'assert not {"torch", "tensorflow", "transformers"} & set(sys.modules)'
  )
  subprocess.run([sys.executable, '-c', code, str(tmp_path)], check=True)


def test_a_clock_that_is_set_back_or_forward_stops_no_writing(tmp_path, monkeypatch):
  now = [1.8e9]
  monkeypatch.setattr(time, 'time', lambda: now[0])
  before = threading.active_count()
  with metrics.MetricsWriter(tmp_path) as writer:
    for step in range(1, 200):  # many more events than the queue of tensorboardX's thread holds
      now[0] += 30 * 86400 * (-1) ** step
      writer.write(step, {f'a/{number}': step for number in range(10)})
    assert threading.active_count() == before
  assert len(_rows(tmp_path)) == 199 and len(_events(tmp_path)) == 1990


@pytest.mark.parametrize('which', ['metrics.jsonl', 'tensorboard'])
def test_a_file_that_cannot_be_written_is_given_up_with_one_line(tmp_path, monkeypatch, which):
  told = []
  with metrics.MetricsWriter(tmp_path, notify=told.append) as writer:
    writer.write(1, {'a/b': 1})

    def full(*_):
      raise OSError(28, 'No space left on device')

    monkeypatch.setattr(writer._files[tmp_path / which], 'write', full)
    for step in (2, 3):
      writer.write(step, {'a/b': step})
  (line,) = told
  assert line.startswith(f'{tmp_path / which}: cannot be written any more (No space left on device')
  steps = [row['step'] for row in _rows(tmp_path)], [step for step, *_ in _events(tmp_path)]
  assert steps == (([1], [1, 2, 3]) if which == 'metrics.jsonl' else ([1, 2, 3], [1]))


def test_a_full_disk_takes_a_part_of_a_row_which_is_cut_later(tmp_path):
  told = []
  with metrics.MetricsWriter(tmp_path, notify=told.append) as writer:
    writer.write(1, {'a/b': 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / 'metrics.jsonl').stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, limits[1]))
    try:
      writer.write(2, {'a/b': 2})
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    writer.write(3, {'a/b': 3})
  assert any('metrics.jsonl: cannot be written any more' in line for line in told)
  assert [row['step'] for row in files.read_rows(tmp_path / 'metrics.jsonl')] == [1]


@pytest.mark.parametrize(
  'line, why',
  [
    ('[1]', r'\[1\] is no JSON object'),
    ('{"loss": 1}', "'step' is None"),
    ('{"step": "2"}', "'step' is '2'"),
    ('{"step": 2.5}', "'step' is 2.5"),
    ('{"step": 2, "a/b": "x"}', "'a/b' is 'x'"),
    ('{"step": 2, "a/b": [1]}', r"'a/b' is \[1\]"),
    ('null', 'None is no JSON object'),
    ('\x00\x00', 'damaged'),
  ],
)
def test_a_row_that_is_no_row_is_refused_with_its_number(tmp_path, line, why):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1}\n' + line + '\n')
  with pytest.raises(ValueError, match=f'metrics.jsonl:2: damaged .*{why}|metrics.jsonl:2: {why}'):
    metrics.MetricsWriter(tmp_path, resumed_from=3)


def test_a_write_that_finds_no_room_names_the_file(tmp_path, monkeypatch):
  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(files.os, 'fsync', full)
  with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/summary.json'"):
    files.write_json(tmp_path / 'summary.json', {})
  assert list(tmp_path.iterdir()) == []


def test_figures_need_no_shared_memory(tmp_path, monkeypatch):
  """tensorboardX's own writer has a queue in /dev/shm, which a container may have read-only."""

  def read_only(*_, **__):
    raise OSError(30, 'Read-only file system')

  monkeypatch.setattr(multiprocessing.synchronize.SemLock, '__init__', read_only)
  with metrics.MetricsWriter(tmp_path) as writer:
    writer.write(1, {'a/b': 1})
  assert _events(tmp_path) == [(1, 'a/b', 1.0)]
