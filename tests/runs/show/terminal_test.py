"""What `r1jax show` and `r1jax doctor` print: all of it, in 80 columns, nothing obeyed."""

import json

import numpy as np
import pytest

from r1jax import doctor, show
from r1jax.runs.doctor import finding
from r1jax.runs.show import comparison, reading, terminal
from tests.runs.show import folders

HOSTILE = '\x1b[2J[red]markup[/red] <answer> 5 </answer>'


def printed(monkeypatch, capsys, *argv, width=80):
  """What the command prints on a console of so many columns."""
  monkeypatch.setenv('COLUMNS', str(width))
  status = show.main(list(map(str, argv)))
  out = capsys.readouterr()
  assert status == 0, out.err
  return out.out


@pytest.mark.parametrize('width', [80, 120])
def test_a_run_is_shown_within_its_columns(tmp_path, monkeypatch, capsys, width):
  base = {'pass@1': 0.2, 'ci95': [0.15, 0.25]}
  folder = folders.write(tmp_path / 'run', base=base)
  out = printed(monkeypatch, capsys, folder, width=width)
  assert max(map(len, out.splitlines())) <= width
  for part in (
    'at update 100 of 100', 'seed 3', 'accuracy', '▁', '█', 'base 20.0% [15.0, 25.0]',
    'nothing is wrong', '16  wrong, most often (16): accuracy: expected 4, got 5', '2/4',
    '5 (2 x)', 'advantage +1.00', 'expected 4, read 5',
  ):  # fmt: skip
    assert part in out, part


def test_on_a_narrow_terminal_rows_keep_their_names_and_figures_are_whole(
  tmp_path, monkeypatch, capsys
):
  one = {
    'pass@1': 0.2, 'ci95': [0.15, 0.25], 'format_rate': 0.5, 'mean_length': 20.0, 'questions': 16,
    'samples': 4,
  }  # fmt: skip
  summary = {'before': one, 'after': one | {'pass@1': 0.9}, 'updates': 100}
  folder = folders.write(tmp_path / 'run', summary=summary)
  out = printed(monkeypatch, capsys, folder, width=60)
  assert max(map(len, out.splitlines())) <= 60
  for part in ('pass@1', 'tokens', 'groups that agree', '+70.0 points'):
    assert part in out, part
  drawn = [line for line in out.splitlines() if '█' in line]
  assert drawn and not any('…' in line for line in drawn)


def test_nothing_that_a_model_says_is_obeyed(tmp_path, monkeypatch, capsys):
  kept = {'step_000000': folders.samples((HOSTILE,), question='[b]\x07 bold?')}
  out = printed(monkeypatch, capsys, folders.write(tmp_path / 'run', kept=kept))
  assert '\x1b' not in out and '\x07' not in out and '[red]markup[/red]' in out and '[b]' in out


def test_a_run_that_has_just_begun_is_shown(tmp_path, monkeypatch, capsys):
  folder = folders.write(tmp_path / 'run', figures=[], kept={})
  assert 'not begun at update 0 of 100' in printed(monkeypatch, capsys, folder)


def test_replies_of_general_requests_are_shown_without_a_right_answer(
  tmp_path, monkeypatch, capsys
):
  rewards = {'helpful': {'score': 0.7, 'kind': 'correct', 'why': ''}}
  kept = {'step_000000': folders.samples(rewards=rewards, expected='', extracted=None)}
  out = printed(monkeypatch, capsys, folders.write(tmp_path / 'run', kept=kept))
  assert '32  no rule' in out and 'Worst questions' not in out


def test_a_sparkline_has_the_heights_of_the_means():
  assert terminal.sparkline([0, 7], 20) == '▁█'
  assert terminal.sparkline(range(8), 8) == '▁▂▃▄▅▆▇█'
  assert terminal.sparkline([3, 3, 3], 8) == '▁▁▁'
  rng = np.random.default_rng(0)
  values = np.concatenate([rng.normal(0, 0.1, 500), rng.normal(5, 0.1, 500)])
  assert terminal.sparkline(values.tolist(), 10) in {'▁▁▁▁▁█████'}


def test_two_runs_are_compared_and_neither_is_called_better_by_chance(
  tmp_path, monkeypatch, capsys
):
  one = folders.write(tmp_path / 'a', kept={'heldout_000100': folders.samples()})
  other = folders.write(
    tmp_path / 'b', folders.rows(60), {'heldout_000060': folders.samples()}, rl__rows=8
  )
  out = printed(monkeypatch, capsys, one, other)
  assert 'rl.rows' in out and 'accuracy A' in out and 'accuracy B' in out
  assert 'neither is shown to be better' in ' '.join(out.split())
  assert max(map(len, out.splitlines())) <= 80


def test_a_run_that_is_better_is_called_so_with_the_paired_test(tmp_path):
  one = folders.write(tmp_path / 'a', kept={'heldout_000100': folders.samples((folders.WRONG,))})
  other = folders.write(tmp_path / 'b', kept={'heldout_000100': folders.samples((folders.PAID,))})
  found = comparison.paired(reading.read(one), reading.read(other))
  assert found[0].mean == 1.0 and found[0].p == pytest.approx(2 / 2**8)
  assert 'B is better (paired permutation test on 8 questions' in comparison.told(found)


def test_runs_without_a_common_question_are_not_tested(tmp_path):
  kept = {'heldout_000100': folders.samples(question='another one')}
  runs = [
    reading.read(folders.write(tmp_path / 'a', kept={'heldout_000100': folders.samples()})),
    reading.read(folders.write(tmp_path / 'b', kept=kept)),
  ]
  assert comparison.paired(*runs) is None
  assert comparison.paired(runs[0], reading.read(folders.write(tmp_path / 'c'))) is None


def test_the_doctor_is_a_command_of_its_own(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('COLUMNS', '200')
  figures = folders.rows(packing__filled=lambda t: 0.2)
  folder = folders.write(tmp_path / 'run', figures)
  assert doctor.main([str(folder)]) == 0
  out = capsys.readouterr().out
  assert 'batches are mostly padding: only 20%' in out and '-> lower rl.rows (now 16)' in out
  assert doctor.main([str(folder), '--json']) == 0
  (found,) = json.loads(capsys.readouterr().out)
  assert finding.Finding(**found).name == 'batches are mostly padding'


@pytest.mark.parametrize('command', [show, doctor])
def test_a_folder_that_is_none_is_one_line_of_error(command, tmp_path, capsys):
  assert command.main([str(tmp_path / 'nowhere')]) == 1
  err = capsys.readouterr().err
  assert err.startswith('error: ') and 'no config.json' in err and err.count('\n') == 1


def test_many_examinations_are_told_by_the_first_and_the_latest():
  points = [{'step': n, 'mean': 0.5, 'low': None, 'high': None} for n in range(30)]
  text = terminal.heldout(points).plain.splitlines()
  assert len(text) == 8 and text[0].startswith('base') and text[-1].startswith('update 29')
