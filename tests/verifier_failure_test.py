"""A run whose verifiers fail stops with the reason instead of learning from wrong zeros."""

import json

from r1jax.data.tasks import tiny_world
from tests import small_runs

UNREADABLE = '3 +* 4'  # what only the reader of formulas finds, when a reply is judged


def _write(path, problems, answer=None):
  """A JSONL file of the problems, all with the same answer where one is given."""
  lines = [{'question': p.question, 'answer': answer or p.answer} for p in problems]
  path.write_text('\n'.join(map(json.dumps, lines)))
  return path


def test_answers_that_cannot_be_read_end_a_run_with_the_reason(tmp_path):
  world = tiny_world.WorldConfig(levels=(1, 1))
  train = list(tiny_world.World(0, 16, world))
  held = list(tiny_world.World(0, 8, world, tiny_world.HELDOUT))
  data = {
    'data__name': 'jsonl',
    'data__path': _write(tmp_path / 'train.jsonl', train, UNREADABLE),
    'data__heldout_path': _write(tmp_path / 'heldout.jsonl', held),
  }
  folder = tmp_path / 'run'
  run = small_runs.end(small_runs.start(folder, **data), folder)
  assert run.status == 1
  assert run.stderr.count('\n') == 1, run.stderr
  assert run.stderr.startswith('error: verifiers failed on ')
  why = f'the gold answer {UNREADABLE!r} cannot be read: not a formula: {UNREADABLE!r}'
  assert run.stderr.endswith(f'over the limit of 2.0%; most often accuracy: {why}\n')
  # It fell in the first rollout: the start is saved, no update has been made of it.
  assert [path.name for path in small_runs.checkpoints(folder)] == ['step_00000000']
  assert not (folder / 'metrics.jsonl').exists() or run.rows == []
