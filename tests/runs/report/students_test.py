"""What the report says of students, against counts made by hand."""

import io
import json

import pytest
import rich.console

from r1jax import params as params_lib
from r1jax.evaluation import intervals
from r1jax.model import presets, transformer
from r1jax.runs.report import published, stages, students
from tests.runs.report import finished

RATES = {
  'base': (0.0, 0.0, 0.5, 0.5),
  'dev2': (1.0, 1.0, 1.0, 0.0),
  'r1': (1.0, 1.0, 1.0, 1.0),
  'base_qwen': (0.0, 0.0, 0.0, 1.0),
  'rl_qwen': (0.0, 0.0, 1.0, 0.0),
  'matched_qwen': (1.0, 1.0, 1.0, 0.0),
  'distill_qwen': (1.0, 0.5, 1.0, 0.0),
  'base_llama': (0.0, 0.0, 0.0, 0.0),
  'distill_llama': (1.0, 1.0, 1.0, 0.0),
}


@pytest.fixture
def cards():
  names = (*finished.MODELS, *finished.STUDENTS)
  return {name: finished.card(*RATES.get(name, (1.0, 1.0, 0.0, 0.0))) for name in names}


@pytest.fixture
def inputs(tmp_path, cards):
  return finished.pipeline(tmp_path / 'run', cards)


def test_a_student_stands_beside_its_teacher_and_the_last_model(inputs, cards):
  found = students.distilled(inputs, cards)
  assert found['teacher']['family'] == 'deepseek_v3'
  qwen, llama = (found['students'][name] for name in ('distill_qwen', 'distill_llama'))
  assert (qwen['family'], llama['family']) == ('qwen2', 'llama')
  assert qwen['parameters'] == params_lib.count(transformer.specs(presets.tiny_qwen2()))
  assert qwen['accuracy']['mean'] == 0.625 and qwen['base']['mean'] == 0.25
  assert set(qwen['shares']) == {'dev2', 'r1'}
  assert qwen['shares']['dev2']['mean'] == pytest.approx(2.5 / 3)
  assert qwen['shares']['r1']['mean'] == pytest.approx(2.5 / 4)
  assert llama['shares']['dev2'] == {'mean': 1.0, 'ci95': [1.0, 1.0]}
  assert qwen['paper']['scores'] == published.STUDENTS['R1-Distill-Qwen-1.5B'] == (28.9, 83.9)
  assert (qwen['examples'], qwen['updates'], qwen['flops']) == (64, 4, 3e9)


def test_the_multi_token_module_counts_for_no_teacher(inputs, cards):
  specs = transformer.specs(presets.tiny())
  whole = params_lib.count(specs) - params_lib.count(specs['mtp'])
  assert students.distilled(inputs, cards)['teacher']['parameters'] == whole


def test_rl_and_distillation_are_compared_with_both_counts_of_operations(inputs, cards):
  found = students.compared(inputs, cards)
  assert list(found['rows']) == ['base', 'rl', 'distill', 'teacher']
  rl, distill = found['rows']['rl'], found['rows']['distill']
  assert rl['flops'] == rl['with_teacher'] == distill['flops'] == 15e12
  assert distill['with_teacher'] == 15e12 + 5e9
  assert found['change']['mean'] == pytest.approx(0.5)
  assert found['change']['verdict'] == 'no difference shown'  # four questions show nothing
  assert rl['paper'] == (47.0, 91.6)


def test_without_students_there_is_nothing_to_say(inputs, cards):
  left = {name: folder for name, folder in inputs.items() if 'qwen' not in name}
  assert students.compared(left, cards) == {}
  assert list(students.distilled(left, cards)['students']) == ['distill_llama']
  left = {name: folder for name, folder in left.items() if 'llama' not in name}
  assert students.distilled(left, cards) == {}
  content = stages.gather(left)
  page = stages.page(content)
  assert 'Distillation' not in page and 'RL against' not in page


def test_a_share_is_of_questions_that_both_have(cards):
  whole, half = finished.card(1.0, 1.0, 1.0), finished.card(1.0, 0.5, 0.0)
  half['rates'][2] = None
  found = students.share(half, whole)
  low, high = found['ci95']
  assert found['mean'] == pytest.approx(0.75) and low < 0.75 < high
  assert students.share(whole, finished.card(0.0, 0.0, 0.0)) is None


def test_the_interval_of_a_share_holds_the_truth_about_as_often_as_it_says():
  rng = intervals.np.random.default_rng(0)
  held = 0
  for _ in range(100):
    base = rng.beta(3, 1, 100)
    first, second = rng.binomial(4, 0.9 * base) / 4, rng.binomial(4, base) / 4
    _, low, high = intervals.ratio(first, second, resamples=300)
    held += low < 0.9 < high
  assert 88 <= held <= 99


def test_page_terminal_and_picture_show_the_students(inputs, tmp_path, monkeypatch):
  stages.write(tmp_path / 'report', inputs)
  page = (tmp_path / 'report' / 'report.html').read_text()
  for text in (
    '62.5 %',
    '83.3 %',
    '28.9, 83.9',
    '36 %, 86 % of R1’s',
    'Llama-8B',
    '15 TFLOP',
    '91.2 %',
  ):
    assert text in page, text
  assert '+50.0 points' in page and 'change on AIME 2024: +25.6' in page
  assert 'suspected in 0 of 5 rollouts' in page
  out = io.StringIO()
  wide = rich.console.Console(file=out, width=120)
  monkeypatch.setattr(rich.console, 'Console', lambda: wide)
  stages.show(tmp_path / 'report')
  assert '83% of Dev2' in out.getvalue() and '15 TFLOP' in out.getvalue()
  content = json.loads((tmp_path / 'report' / 'report.json').read_text())
  assert set(content['students']) == set(finished.STUDENTS)
  assert set(content['models']) == set(finished.MODELS)
  assert content['reward_models']['helpful']['accuracy'] == 0.912


@pytest.mark.parametrize(
  'count, text', [(1.53e12, '1.53 TFLOP'), (2e9, '2 GFLOP'), (4.2e23, '420 ZFLOP')]
)
def test_operations_read_well(count, text):
  assert stages.operations(count) == text


@pytest.mark.parametrize(
  'gone, last',
  [
    ((), 'r1'),
    (('r1',), 'dev3'),
    (('dev2', 'dev3', 'r1'), 'dev1'),
    (('r1_zero', 'dev1', 'dev2', 'dev3', 'r1'), 'base'),
  ],
)
def test_a_report_is_written_of_whatever_models_there_are(inputs, cards, tmp_path, gone, last):
  left = {name: card for name, card in cards.items() if name not in gone}
  assert students.last(left) == last
  there = {
    name: folder
    for name, folder in inputs.items()
    if name not in gone and name.removeprefix('scenarios_').removeprefix('report_card_') not in gone
  }
  stages.write(tmp_path / 'report', there)
  stages.show(tmp_path / 'report')
  written = json.loads((tmp_path / 'report' / 'report.json').read_text())
  assert list(written['models']) == [name for name in finished.MODELS if name not in gone]
  assert bool(written['distillation']) == ('dev2' not in gone)
  assert (tmp_path / 'report' / 'report.html').stat().st_size > 1000
  assert (tmp_path / 'report' / 'report.png').stat().st_size > 1000
