"""Students learn their teacher's samples or its distribution, are exported and chat."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax import files
from r1jax.cli import conversation
from r1jax.data import examples, prompts, tokenizer
from r1jax.data.tasks import corpus, tiny_world
from r1jax.experiments import distill_llama, distill_qwen
from r1jax.interchange import checkpoints, exporting, huggingface
from r1jax.model import flops, presets
from r1jax.runs import kinds, model
from r1jax.sampling import sample
from r1jax.stages import distill, sft
from r1jax.train import optimizer
from tests.interchange import families
from tests.model import tiny

LEARNED = corpus.CorpusConfig(
  tiny_world.WorldConfig(levels=(1, 1)), bare=0, tagged=0, worked=0, worked_tagged=1, corrected=0
)


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield jax.sharding.get_mesh()


@pytest.fixture(scope='module')
def given(tmp_path_factory):
  """Folder of a small random teacher with the shipped tokenizer, and of a data set."""
  folder = tmp_path_factory.mktemp('given')
  cfg = dataclasses.replace(
    presets.tiny(), layers=1, dense_layers=1, moe=None, mtp_layers=0, width=32, ffn=32
  )
  cfg = dataclasses.replace(cfg, compute_dtype='float32', param_dtype='float32')
  huggingface.save(folder / 'teacher', tiny.weights(cfg), cfg)
  tokenizer.load(checkpoints.open('tiny')).save(folder / 'teacher')
  documents = [corpus.document(0, i, LEARNED) for i in range(64)]
  found = [
    examples.Example(d.problem.question, d.reply, 'en', d.problem.kind, {}) for d in documents
  ]
  examples.write(folder / 'data', found)
  return folder


def settings(given, workdir, module=distill_qwen, **changes):
  config = module.get_config('tiny').unlock()
  config.distill.teacher = str(given / 'teacher')
  config.sft.path = str(given / 'data')
  config.workdir = str(workdir)
  config.sft.update(epochs=1, batch=16, rows=4, capacity=128)
  config.sample.max_new = 8
  config.evaluation.update(questions=4, few=4, samples=1)
  config.model.layers = config.model.dense_layers = 1
  for name, value in changes.items():
    config.distill.kl[name] = value
  return config.lock()


def run(config, mesh):
  job = config_lib.build(config)
  kinds.KINDS['distill'].run(job, config, mesh)
  return job


@pytest.fixture(scope='module')
def students(given, tmp_path_factory, mesh):
  """Work directories of two students: Qwen2 on samples, Llama on the teacher's distribution."""
  root = tmp_path_factory.mktemp('students')
  made = {'qwen2': (distill_qwen, 0.0), 'llama': (distill_llama, 1.0)}
  for name, (module, weight) in made.items():
    run(settings(given, root / name, module, weight=weight), mesh)
  return root


@pytest.mark.parametrize('family', ['qwen2', 'llama'])
def test_a_student_is_a_model_of_its_family_that_exports_and_chats(students, tmp_path, family):
  folder = students / family / 'model'
  assert json.loads((folder / 'config.json').read_text())['model_type'] == family
  report = exporting.export(folder, tmp_path / 'out', notify=lambda line: None)
  assert report['problems'] == [] == exporting.verify(tmp_path / 'out')
  scfg = sample.SampleConfig(group=1, max_new=6)
  talk = conversation.Conversation(conversation.load(tmp_path / 'out'), scfg, seed=0)
  assert isinstance(''.join(talk.ask('What is 2 + 2')), str)
  assert len(talk.messages) == 2


def test_the_summary_compares_it_with_its_teacher_and_counts_operations(students, given):
  summary = json.loads((students / 'qwen2' / 'summary.json').read_text())
  assert {'teacher', 'student', 'examples', 'updates', 'flops', 'params_sha256'} <= set(summary)
  assert (summary['examples'], summary['updates']) == (64, 4)
  assert summary['teacher']['questions'] == summary['student']['questions'] == 4
  data, tok = examples.Examples(given / 'data'), tokenizer.load(given / 'teacher')
  tokens = [examples.encode(data[i], prompts.Form(tok)) for i in range(64)]
  lengths, learned = [len(one.ids) for one in tokens], sum(one.learned.sum() for one in tokens)
  cfg = huggingface.read_config(students / 'qwen2' / 'model')
  assert 0 < learned < sum(lengths)
  assert summary['flops'] == flops.training(cfg, lengths, learned)
  teacher = huggingface.read_config(given / 'teacher')
  more = json.loads((students / 'llama' / 'summary.json').read_text())['flops']
  cfg = huggingface.read_config(students / 'llama' / 'model')
  taught = flops.forward(teacher, lengths, scored=learned)
  assert more == flops.training(cfg, lengths, learned) + taught


def test_learning_lowers_what_is_learned(students):
  for name, figure in {'qwen2': 'sft/nll', 'llama': 'distill/kl'}.items():
    first, *_, last = files.read_rows(students / name / 'metrics.jsonl')
    assert last[figure] < first[figure], name
    assert last['optimizer/lr'] < first['optimizer/lr'] or first['optimizer/lr'] < 4e-3


@pytest.mark.parametrize('family', ['qwen2', 'llama'])
def test_it_may_take_as_many_operations_as_an_rl_run(students, given, tmp_path, family):
  # A student's own folder stands for the RL run's: its rows count operations too.
  config = settings(given, tmp_path, weight=float(family == 'llama')).unlock()
  config.distill.equal_to = str(students / family)
  config.sft.epochs = 7
  job, data = config_lib.build(config), examples.Examples(given / 'data')
  tok, teacher_cfg = tokenizer.load(given / 'teacher'), huggingface.read_config(given / 'teacher')
  cfg = huggingface.read_config(students / family / 'model')
  found = distill.with_epochs(job, data, prompts.Form(tok), cfg, teacher_cfg)
  assert found.sft.epochs == pytest.approx(1)  # as the other took
  config.distill.equal_to = str(tmp_path / 'nowhere')
  job = config_lib.build(config)
  with pytest.raises(ValueError, match='nowhere/metrics.jsonl counts no operations'):
    distill.with_epochs(job, data, prompts.Form(tok), cfg, teacher_cfg)


def test_only_replies_are_learned_and_the_rate_ends_at_a_tenth(given, tmp_path):
  job = config_lib.build(settings(given, tmp_path))
  cfg = dataclasses.replace(job.model, vocab=512)
  stage = distill.Stage(
    job, cfg, prompts.Form(tokenizer.load(given / 'teacher')), examples.Examples(given / 'data')
  )
  batch, learned, _ = sft.pack(stage.tokens[:16], stage.layout)
  expected = sum(int(one.learned.sum()) for one in stage.tokens[:16])
  assert learned == expected == int(np.asarray(batch.loss.mask_BT).sum())
  schedule = optimizer.schedule(dataclasses.replace(stage.rate, warmup=0, steps=100))
  first, last = (float(optimizer.learning_rate(schedule, n)) for n in (0, 100))
  assert last == pytest.approx(0.1 * first, rel=1e-5)


def test_interrupted_it_ends_in_the_same_bits(students, given, tmp_path, mesh):
  config = settings(given, tmp_path, distill_llama, weight=1.0)
  job = config_lib.build(config)
  cfg = dataclasses.replace(job.model, vocab=512)
  tok, data = tokenizer.load(given / 'teacher'), examples.Examples(given / 'data')
  teacher_cfg = huggingface.read_config(given / 'teacher', remat=False, scan_layers=False)
  weights = huggingface.load(given / 'teacher', teacher_cfg, 'float32')
  new = lambda: distill.Stage(
    job, cfg, prompts.Form(tok), data, (), distill.Teacher(weights, teacher_cfg)
  )
  first = new()
  first.initial = model.weights(job, cfg)
  first.start()
  first.update(0)
  second = new()
  second.restore(first.arrays(), first.host())
  for step in range(1, 4):
    second.update(step)
  saved = huggingface.load(students / 'llama' / 'model', cfg, 'float32')
  jax.tree.map(np.testing.assert_array_equal, second.state.params, saved)


@pytest.mark.parametrize(
  'preset, rate',
  [('1_5b', 1e-4), ('7b', 8e-5), ('14b', 7e-5), ('32b', 6e-5), ('8b', 5e-5), ('70b', 2e-5)],
)
def test_presets_of_the_hub_have_the_papers_rates_batch_and_context(preset, rate):
  module = distill_qwen if preset in distill_qwen.RATES else distill_llama
  config = module.get_config(preset)
  assert config.optimizer.lr == rate and config.optimizer.end_fraction == 0.1
  assert (config.sft.batch, config.sft.capacity) == (64, 32_768)
  assert 2 <= config.sft.epochs <= 3


def test_what_does_not_work_out_is_refused(given, tmp_path, mesh):
  families.write_tokenizer(tmp_path)
  own, other = tokenizer.load(given / 'teacher'), tokenizer.load(tmp_path)
  distill.check_tokenizers(own, own)
  with pytest.raises(ValueError, match='512 tokens. is not the student'):
    distill.check_tokenizers(own, other)
  with pytest.raises(ValueError, match='capacity=128 is no multiple of distill.kl.chunk=100'):
    run(settings(given, tmp_path, weight=0.5, chunk=100), mesh)
  config = settings(given, tmp_path).unlock()
  config.distill.teacher = ''
  with pytest.raises(ValueError, match='config.distill.teacher is empty'):
    run(config, mesh)
