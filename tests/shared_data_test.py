"""Files that tests compare with: small ones are here, the absence of a large one is seen."""

import pytest

from tests import shared_data


@pytest.mark.parametrize('name', ['grpo_loss_reference.json', 'qwen2/encode_cases.inp'])
def test_small_oracles_need_nothing_beside_the_checkout(name, monkeypatch, tmp_path):
  monkeypatch.setattr(shared_data, 'ROOT', tmp_path)
  assert shared_data.path(name).is_relative_to(shared_data.SHIPPED)


@pytest.mark.parametrize(
  'ci, outcome', [(None, pytest.skip.Exception), ('false', pytest.skip.Exception),
                  ('true', pytest.fail.Exception), ('1', pytest.fail.Exception)]
)  # fmt: skip
def test_a_large_file_that_is_absent_skips_the_test_and_in_ci_fails_it(
  ci, outcome, monkeypatch, tmp_path
):
  monkeypatch.setattr(shared_data, 'ROOT', tmp_path)
  monkeypatch.delenv('CI', raising=False)
  if ci is not None:
    monkeypatch.setenv('CI', ci)
  with pytest.raises(outcome, match='needs gsm8k/test.jsonl in a folder shared/data'):
    shared_data.path('gsm8k/test.jsonl')
