"""Where tests find the real files that are too large or too foreign to live in this repository."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent / 'shared' / 'data'


def path(name):
  """Path of `name` in the shared data folder; skips the test where the folder is absent."""
  found = ROOT / name
  if not found.exists():
    pytest.skip(f'needs {name} in a folder shared/data beside the checkout ({ROOT})')
  return found
