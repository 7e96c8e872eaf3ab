"""Where tests find files that others made: the small ones in tests/oracles, the large elsewhere."""

import os
import pathlib

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
SHIPPED = TESTS / 'oracles'
# Tokenizers of 2 MB and data sets: too large, or too foreign, to live in this repository.
ROOT = TESTS.parent.parent / 'shared' / 'data'


def path(name):
  """Path of `name`; where an absent file is a large one, the test is skipped, or fails in CI."""
  for folder in (SHIPPED, ROOT):
    if (folder / name).exists():
      return folder / name
  why = f'needs {name} in a folder shared/data beside the checkout ({ROOT})'
  # CI that leaves out every comparison with the real files must not be green.
  if os.environ.get('CI', '').lower() in ('1', 'true'):
    pytest.fail(f'CI={os.environ["CI"]}: {why}', pytrace=False)
  return pytest.skip(why)
