"""The accelerator's check rehearsed on a CPU: every kind of part runs, what is there is not done
again, and a part that fails costs only itself.
"""

import dataclasses
import json

import pytest
from absl import flags
from absl.testing import flagsaver

from benchmarks import device_check
from r1jax.kernels import cudnn


@pytest.fixture
def folder(tmp_path):
  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()
  with flagsaver.flagsaver(toy=True, out=str(tmp_path), rounds=1):
    yield tmp_path


def test_a_rehearsal_measures_a_part_of_each_kind_and_is_not_done_twice(folder, monkeypatch):
  ran = []

  def here(name, seconds):
    ran.append(name)
    device_check.run_part(name, folder / f'{name.replace(" ", "_")}.json')
    return ''

  monkeypatch.setattr(device_check, '_in_a_process', here)
  results = device_check.run_all(folder, budget=1e4)
  assert ran == list(results) == device_check.parts()
  assert max(results['errors']['relative_error'].values()) < 0.02
  model = results['model 0.1B']
  assert model['parity_max'] < 0.05 and model['update_tokens_per_s'] > 0
  assert model['planned_gib'] > 0
  assert json.loads((folder / 'device_check.json').read_text()) == results
  told = (folder / 'device_check.md').read_text()
  assert '| model 0.1B |' in told and '| error against float64 |' in told
  # Again: nothing is missing.
  assert device_check.run_all(folder, budget=1e4) == results and len(ran) == len(results)


def test_what_fails_or_has_no_time_left_is_said_and_the_rest_goes_on(folder, monkeypatch):
  fails = {'device': 'status 1: ValueError: no such thing', 'errors': 'not done after 3 s'}
  monkeypatch.setattr(device_check, '_in_a_process', lambda name, seconds: fails.get(name, ''))
  monkeypatch.setattr(device_check, '_FEWEST', -1.0)
  (folder / 'model_0.1B.json').write_text('{"parity_max": 0.5}')
  results = device_check.run_all(folder, budget=0.0)
  assert results['model 0.1B'] == {'parity_max': 0.5}
  told = (folder / 'device_check.md').read_text()
  assert '- device: status 1: ValueError: no such thing' in told
  assert '- errors: not done after 3 s' in told
  monkeypatch.setattr(device_check, '_FEWEST', 20.0)
  assert device_check.run_all(folder, budget=1.0)['errors'] == {'failed': 'no time was left'}


def test_cudnns_attention_is_a_part_of_its_own_and_refused_where_there_is_none(folder, monkeypatch):
  """JAX's plain form of the same function stands in for cuDNN, here only."""
  with pytest.raises(ValueError, match="kernels='cudnn' runs on a gpu only; this is a cpu"):
    device_check.PARTS['errors cudnn']()
  assert not any('cudnn' in name for name in device_check.parts())  # of a rehearsal
  plain = lambda *operands: cudnn._attention(*operands, None, 'xla')
  monkeypatch.setattr(cudnn, 'attention', plain)
  monkeypatch.setattr(device_check.kernels_lib, 'resolve', lambda form, device: form)
  monkeypatch.setattr(device_check, '_CUDNN', ((2, 33, 4, 2, 24, 16),))
  case = device_check.kernel_cases.attention(2, 1, 16, 16, 64)
  rival = lambda q, k, v, segment: plain(q, k, v, segment, 0.1)
  case = dataclasses.replace(case, rivals=dict.fromkeys(case.rivals, rival))
  wide = device_check.kernel_cases.attention(1, 1, 192, 128, 64)
  monkeypatch.setattr(device_check.kernel_cases, 'real', lambda tokens: [wide, case])
  results = {
    'errors cudnn': device_check.PARTS['errors cudnn'](),
    'times cudnn 4096': device_check.PARTS['times cudnn 4096'](),
  }
  assert max(results['errors cudnn']['relative_error'].values()) < 0.15  # bfloat16, lone tokens
  (row,) = results['times cudnn 4096']['milliseconds'].values()
  assert list(row) == ['cudnn', 'reference', 'cudnn causal']
  told = device_check.markdown(results)
  assert '| attention dq (cudnn, bfloat16) |' in told and '| times cudnn 4096 tokens, ms |' in told


def test_the_models_are_those_that_their_sizes_say(folder):
  with flagsaver.flagsaver(toy=False):
    shapes = {name: device_check._shapes(name).cfg for name in ('0.1B', '0.5B', '1.5B')}
  for name, cfg in shapes.items():
    count = device_check.params_lib.count(device_check.transformer.specs(cfg))
    assert count / 1e9 == pytest.approx(float(name[:-1]), rel=0.35)
    assert cfg.heads % cfg.kv_heads == 0 and cfg.compute_dtype == 'bfloat16'
