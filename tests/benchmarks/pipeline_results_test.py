"""The README's tables of pipelines: every cell over the runs, nothing that no run has measured."""

import json
import shutil

import pytest

from benchmarks import pipeline_results
from r1jax.runs.report import stages
from tests.runs.report import finished


def run(folder, **rates):
  """A work directory whose models answer as `rates` says, others half of the time."""
  names = (*finished.MODELS, *finished.STUDENTS)
  cards = {name: finished.card(*rates.get(name, (1.0, 1.0, 0.0, 0.0))) for name in names}
  inputs = finished.pipeline(folder, cards)
  report = folder / 'report'
  report.mkdir()
  content = stages.gather(inputs)
  (report / 'report.json').write_text(json.dumps(content))
  rows = {name: {'status': 'done', 'seconds': 10.0} for name in (*inputs, 'report')}
  rows |= {'base': {'status': 'given'}}
  (folder / 'manifest.json').write_text(json.dumps({'stages': rows}))
  return folder


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  root = tmp_path_factory.mktemp('runs')
  return [
    run(root / 'a', r1=(1.0, 1.0, 1.0, 0.0), distill_qwen=(1.0, 0.5, 0.0, 0.0)),
    run(root / 'b', r1=(1.0, 1.0, 1.0, 1.0), matched_qwen=(1.0, 1.0, 1.0, 1.0)),
  ]


def tables(*folders):
  """Of each table: first cell -> the other cells."""
  found = []
  for part in pipeline_results.tables(folders).split('\n\n'):
    lines = [line.strip('|').split('|') for line in part.splitlines() if line.startswith('|')]
    if lines:
      found.append({cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines})
  return found


def test_cells_are_means_over_runs_with_their_ends(folders):
  stages, preferences, students, comparison, _ = tables(*folders)
  assert stages['R1'][0] == '87.5% [75.0, 100.0]' and stages['Dev1'][0] == '50.0% [50.0, 50.0]'
  assert stages['R1'][5:] == ['80.0% [80.0, 80.0]', '–', '–']  # helpful was measured only
  qwen = students['Distill-Qwen2 (qwen2)']
  assert qwen[0] == '493,152' and qwen[2] == '43.8% [37.5, 50.0]'
  assert qwen[3] == '87.5% [75.0, 100.0]' and qwen[5] == '28.9, 83.9 (R1-Distill-Qwen-1.5B)'
  assert comparison['distilled'][1] == '15 TFLOP [15 TFLOP, 15 TFLOP]'
  assert preferences['helpful'] == ['91.2% [91.2, 91.2]', '512']


def test_seconds_are_those_of_the_manifest_and_sum_up(folders):
  *_, seconds = tables(folders[0])
  stages = json.loads((folders[0] / 'manifest.json').read_text())['stages']
  timed = [row for row in stages.values() if 'seconds' in row]
  assert seconds['**all**'] == [f'{10 * len(timed):,}'] and seconds['r1_zero'] == ['10']
  assert seconds['exams'] == ['180'] and 'base' not in seconds


def test_the_difference_is_named_with_what_each_run_shows(folders):
  text = pipeline_results.tables(folders)
  assert 'Distilled instead of RL: +25.0 [+0.0, +50.0] points' in text
  assert 'no difference shown, no difference shown' in text


def test_runs_of_other_stages_and_stale_reports_are_refused(folders, tmp_path):
  copy = tmp_path / 'copy'
  shutil.copytree(folders[0], copy)
  manifest = json.loads((copy / 'manifest.json').read_text())
  del manifest['stages']['r1']
  (copy / 'manifest.json').write_text(json.dumps(manifest))
  with pytest.raises(ValueError, match='copy has other stages than'):
    pipeline_results.tables([folders[0], copy])
  manifest['stages']['report']['status'] = 'waiting'
  (copy / 'manifest.json').write_text(json.dumps(manifest))
  with pytest.raises(ValueError, match='has changed since the report'):
    pipeline_results.tables([copy])
