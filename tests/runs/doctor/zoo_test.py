"""The doctor names what was broken on purpose, and finds nothing where nothing is."""

import pytest

from tests.runs.doctor import zoo

pytestmark = pytest.mark.slow


@pytest.mark.parametrize('name', zoo.BROKEN)
def test_a_broken_run_is_named(tmp_path, name):
  diff, wanted = zoo.BROKEN[name]
  found = zoo.findings(tmp_path / 'run', diff)
  assert wanted & found.keys(), found


@pytest.mark.parametrize('name', zoo.HEALTHY)
def test_a_healthy_run_has_no_finding(tmp_path, name):
  assert zoo.findings(tmp_path / 'run', zoo.HEALTHY[name]) == {}
