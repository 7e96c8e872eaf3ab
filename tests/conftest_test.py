"""What the tests share: made once, and handed out in an order that exists."""

import pytest

from tests import conftest


def test_the_files_that_come_first_exist():
  assert [name for name in conftest.LONGEST if not (conftest.TESTS / name).is_file()] == []


def test_what_is_made_once_is_kept_and_a_maker_that_failed_leaves_nothing(made_once):
  seen = []

  def make(folder):
    seen.append([path.name for path in folder.iterdir()])
    (folder / 'half').touch()
    if len(seen) == 1:
      raise RuntimeError('killed')
    return {'folder': folder}

  with pytest.raises(RuntimeError, match='killed'):
    made_once('probe', make)
  first, second = made_once('probe', make), made_once('probe', make)
  assert seen == [[], []]  # the second attempt found an empty folder, and there was no third
  assert first == second and (first['folder'] / 'half').exists()
