"""Digests of code follow its imports; digests of folders follow names and contents."""

import sys

import pytest

from r1jax.runs import kinds
from r1jax.runs.graph import fingerprint


@pytest.fixture
def package(tmp_path, monkeypatch):
  """A package whose `top` imports `middle`, which imports `low` inside a function."""
  folder = tmp_path / 'towers'
  folder.mkdir()
  (folder / '__init__.py').write_text('')
  (folder / 'top.py').write_text('import os\nfrom towers import middle\n')
  (folder / 'middle.py').write_text('def f():\n  from towers.low import g\n')
  (folder / 'low.py').write_text('def g(): pass\n')
  (folder / 'beside.py').write_text('')
  monkeypatch.syspath_prepend(tmp_path)
  yield folder
  for name in [n for n in sys.modules if n.startswith('towers')]:
    del sys.modules[name]
  _forget()


def _forget():
  for function in (fingerprint.code, fingerprint._imports, fingerprint._source):
    function.cache_clear()


def _code():
  _forget()
  return fingerprint.code('towers.top')


@pytest.mark.parametrize('name', ['top', 'middle', 'low'])
def test_a_change_anywhere_below_changes_the_digest(package, name):
  before = _code()
  assert _code() == before
  path = package / f'{name}.py'
  path.write_text(path.read_text() + '# more\n')
  assert _code() != before


def test_a_module_that_is_not_imported_has_no_part_in_it(package):
  before = _code()
  (package / 'beside.py').write_text('x = 1\n')
  assert _code() == before


def test_the_digest_of_a_stage_reaches_the_model_but_not_the_commands():
  found = fingerprint._closure(kinds.KINDS['reasoning_rl'].code)
  assert {'r1jax.model.transformer', 'r1jax.algorithms.grpo', 'r1jax.rewards.language'} <= set(
    found
  )
  assert 'r1jax.main' not in found and 'r1jax.runs.curation' not in found


def test_a_folder_is_its_names_and_contents(tmp_path):
  (tmp_path / 'a').write_text('1')
  first = fingerprint.digest(tmp_path)
  (tmp_path / 'a').rename(tmp_path / 'b')
  second = fingerprint.digest(tmp_path)
  (tmp_path / 'b').write_text('2')
  assert len({first, second, fingerprint.digest(tmp_path)}) == 3
