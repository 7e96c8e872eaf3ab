"""Sizes of an examination work out, and a fingerprint changes with all that it stands for only."""

import jax
import pytest

from r1jax import sharding
from r1jax.data import prompts
from r1jax.data.problem import Problem
from r1jax.evaluation.exam import protocol


def asked(*lengths):
  return [prompts.Prompt(f'prompt {n}', (1,) * length, '') for n, length in enumerate(lengths)]


@pytest.fixture
def mesh(one_device):
  return jax.sharding.get_mesh()


def test_the_defaults_are_the_papers(mesh):
  proto = protocol.Protocol()
  shape = protocol.shape(proto, asked(100), 131_072, mesh)
  assert (proto.temperature, proto.top_p, shape.new) == (0.6, 0.95, 32_768)
  scfg = protocol.sampling(proto, shape)
  assert (scfg.temperature, scfg.top_p, scfg.top_k, scfg.max_new) == (0.6, 0.95, 0, 32_768)


@pytest.mark.parametrize('samples, batch', [(1, 1), (4, 32), (64, 24), (7, 4), (16, 16)])
def test_every_sample_of_every_question_is_drawn_once_in_calls_of_one_size(mesh, samples, batch):
  proto = protocol.Protocol(samples=samples, batch=batch)
  shape = protocol.shape(proto, asked(*[5] * 11), 64, mesh)
  assert shape.group * shape.questions <= batch and shape.group * shape.rounds == samples
  drawn = [
    (i, number * shape.group + j)
    for part, number in shape.calls
    for i in part
    for j in range(shape.group)
  ]
  assert sorted(drawn) == [(i, j) for i in range(11) for j in range(samples)]


def test_prompts_that_leave_no_room_are_not_asked(mesh):
  shape = protocol.shape(protocol.Protocol(), asked(10, 60, 90), 100, mesh)
  assert (shape.new, shape.asked, shape.width) == (50, (0,), 10)
  shape = protocol.shape(protocol.Protocol(), asked(10, 30), 100, mesh)
  assert (shape.new, shape.asked, shape.width) == (70, (0, 1), 30)
  shape = protocol.shape(protocol.Protocol(max_tokens=20), asked(10, 60, 90), 100, mesh)
  assert (shape.new, shape.asked) == (20, (0, 1))
  with pytest.raises(ValueError, match='--max_tokens=95 and the shortest of 2 prompts, 10'):
    protocol.shape(protocol.Protocol(max_tokens=95), asked(10, 60), 100, mesh)


def test_calls_divide_over_the_shards_of_the_mesh():
  mesh = sharding.make_mesh((2, 2, 1, 1), jax.devices()[:4])
  shape = protocol.shape(protocol.Protocol(samples=4, batch=8), asked(*[5] * 6), 64, mesh)
  assert shape.questions == 4


@pytest.mark.parametrize('wrong', [{'samples': 0}, {'batch': 0}, {'max_tokens': -1}, {'top_p': 0}])
def test_a_protocol_that_makes_no_sense_is_refused(wrong):
  with pytest.raises(ValueError, match=next(iter(wrong))):
    protocol.Protocol(**wrong)


def prints(
  mesh,
  questions=('Q', '1'),
  texts=(5, 6),
  template='R1-Zero',
  dtype='float32',
  answer='tags',
  **changes,
):
  shape = protocol.shape(protocol.Protocol(**changes), asked(*texts), 64, mesh)
  scfg = protocol.sampling(protocol.Protocol(**changes), shape)
  problems = [Problem(*questions, 'k', 0)]
  return protocol.fingerprints(problems, asked(*texts), template, dtype, scfg, answer)


def test_a_fingerprint_changes_with_what_it_stands_for_and_nothing_else(mesh):
  base = prints(mesh)
  changed = lambda **kw: {name for name, text in prints(mesh, **kw).items() if text != base[name]}
  assert changed() == changed(samples=4) == changed(batch=2) == changed(seed=3) == set()
  assert changed(questions=('Q', '2')) == changed(questions=('R', '1')) == {'questions'}
  assert changed(answer='last_number') == changed(answer='box') == {'grader'}
  assert changed(temperature=0.7) == changed(top_p=1.0) == changed(max_tokens=9) == {'sampler'}
  assert changed(dtype='bfloat16') == changed(template='R1 chat') == {'sampler'}
  assert changed(texts=(5, 6, 6)) == {'prompts'}


def test_the_grader_is_its_code_and_its_libraries(mesh, monkeypatch):
  base = prints(mesh)['grader']
  monkeypatch.setattr(protocol, '_GRADER', protocol._GRADER[:-1])
  assert prints(mesh)['grader'] != base


def test_weights_are_told_apart_by_size_and_content(tmp_path):
  (tmp_path / 'config.json').write_text('{}')
  weights = tmp_path / 'model.safetensors'
  seen = set()
  for content in (bytes(3 << 20), b'\1' + bytes((3 << 20) - 1), bytes((3 << 20) - 1), b''):
    weights.write_bytes(content)
    seen.add(protocol.weights_digest(tmp_path))
  assert len(seen) == 4
