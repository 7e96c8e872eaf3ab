"""SFT on conversations as a user starts it: a chat model, a file, a held-out loss, a model."""

import jax
import pytest

from r1jax import config as config_lib
from r1jax import files
from r1jax.data import tokenizer
from r1jax.experiments import distill_qwen, sft
from r1jax.runs import kinds
from tests.data import records_test
from tests.interchange import families
from tests.model import tiny

TEMPLATE = (
  "{% for m in messages %}{{ '<bos>' + m['role'] + ' ' + m['content'] + '<eos>' }}{% endfor %}"
  "{% if add_generation_prompt %}{{ '<bos>assistant ' }}{% endif %}"
)


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield jax.sharding.get_mesh()


@pytest.fixture(scope='module')
def given(tmp_path_factory):
  """A hub folder of a small chat model, and a folder of parquet shards of conversations."""
  folder = tmp_path_factory.mktemp('given')
  (folder / 'hub').mkdir()
  families.write(folder / 'hub', 'qwen2')
  families.write_tokenizer(folder / 'hub')
  (folder / 'hub' / 'chat_template.jinja').write_text(TEMPLATE)
  rows = [
    {'question': f'What is {i}+1?', 'reasoning': f'{i} and 1 is {i + 1}', 'answer': str(i + 1)}
    for i in range(24)
  ]
  rows[3]['reasoning'] *= 40
  records_test.write(folder / 'hubdata' / 'data' / 'train-00000-of-00001.parquet', rows)
  return folder


def settings(given, workdir, module, preset):
  config = module.get_config(preset).unlock()
  config.checkpoint, config.workdir = str(given / 'hub'), str(workdir)
  config.runtime.update(config_lib.describe(config_lib.CPU_RUNTIME))
  config.sft.path, config.sft.columns = str(given / 'hubdata'), ''
  config.sft.update(epochs=1, batch=8, rows=4, capacity=200, heldout=0.3, loss_every=1)
  config.optimizer.update(lr=1e-2, warmup=0)
  return config.lock()


def run(config, mesh):
  job = config_lib.build(config)
  kinds.KINDS[job.stage].run(job, config, mesh)


@pytest.fixture(scope='module')
def done(given, tmp_path_factory, mesh):
  """Work directories of SFT and of distillation without a teacher, on the same conversations."""
  root = tmp_path_factory.mktemp('done')
  for name, module, preset in (('sft', sft, 'hub'), ('distill', distill_qwen, 'traces')):
    run(settings(given, root / name, module, preset), mesh)
  return root


@pytest.mark.parametrize('name', ['sft', 'distill'])
def test_conversations_lower_the_loss_of_those_that_are_held_out(done, name):
  summary = files.read_json(done / name / 'summary.json')
  rows = files.read_rows(done / name / 'metrics.jsonl')
  loss = summary['heldout_loss']
  assert loss['after'] < loss['before'] and summary['too_long'] == 1
  assert rows[-1]['eval/loss'] == pytest.approx(loss['after'], rel=1e-6)
  assert len(rows) == summary['updates'] == 2
  # No question was asked, so there is no score.
  assert 'pass@1' not in summary and 'teacher' not in summary


def test_the_plan_names_the_columns_that_are_not_read(given, tmp_path, mesh, capsys):
  rows = [{'prompt': f'{i}+1?', 'completion': str(i + 1), 'tools': '[]'} for i in range(24)]
  records_test.write(tmp_path / 'a.parquet', rows)
  config = settings(given, tmp_path / 'run', sft, 'hub').unlock()
  config.sft.path = str(tmp_path / 'a.parquet')
  run(config.lock(), mesh)
  assert 'columns tools' in ' '.join(capsys.readouterr().out.split())


def test_without_a_teacher_the_same_is_learned(done):
  digests = [
    files.read_json(done / name / 'summary.json')['params_sha256'] for name in ('sft', 'distill')
  ]
  assert digests[0] == digests[1]


def test_the_model_speaks_the_template_that_it_learned_in(done):
  folder = done / 'sft' / 'model'
  assert (folder / 'chat_template.jinja').read_text() == TEMPLATE
  assert tokenizer.load(folder).eos_id == 1


def test_changed_shards_are_refused_where_the_run_would_go_on(given, done, mesh, tmp_path):
  config = settings(given, done / 'sft', sft, 'hub')
  path = given / 'hubdata' / 'data' / 'train-00000-of-00001.parquet'
  before = path.read_bytes()
  records_test.write(
    path, [{'question': f'Q{i}', 'reasoning': 'T', 'answer': 'A'} for i in range(24)]
  )
  try:
    with pytest.raises(ValueError, match=r'hubdata \(config.sft.path\) has changed'):
      run(config, mesh)
  finally:
    path.write_bytes(before)


def test_the_run_says_what_it_holds_out_and_leaves_out(given, tmp_path, mesh, capsys):
  run(settings(given, tmp_path / 'run', sft, 'hub'), mesh)
  out = ' '.join(capsys.readouterr().out.split())
  assert 'examples, by a hash of the question' in out
  assert 'have more than 200 tokens' in out and 'row 4' in out
  for when in ('before the first update', 'after the last'):
    assert f'held-out loss {when}: ' in out
