"""Kept replies judged by another reward: what flips is what the other rule says, and no more."""

import io
import json

import pytest
import rich.console

from r1jax import rescore
from r1jax.data import source
from r1jax.rewards import service
from r1jax.runs import rescoring
from r1jax.runs.show import reading
from tests.runs.show import folders

UNTAGGED = ' 7 - 3 = 4'
DATA = source.DataConfig()


def _row(text, index, group=0, **changed):
  """A row as `folders.samples` makes them, judged by the tags."""
  (row, *_) = folders.samples((text,))
  return row | {'index': index, 'group': group} | changed


def _kept():
  """Two groups: a tagged right reply, an untagged right one, a wrong one; and all wrong."""
  untagged = {
    'accuracy': {'score': 0.0, 'kind': 'unparseable', 'why': 'no answer'},
    'format': {'score': 0.0, 'kind': 'wrong', 'why': '0 x <think>, expected 1'},
  }
  return [
    _row(folders.PAID, 0),
    _row(UNTAGGED, 1, rewards=untagged, reward=0.0),
    _row(folders.WRONG, 2),
    _row(folders.WRONG, 3, group=1),
  ]


def _judged(tmp_path, kept, data=DATA, name='step_000000', **reward):
  run = reading.read(folders.write(tmp_path / 'run', kept={name: kept}))
  return rescoring.rescore(run, data, service.RewardConfig(**reward))


def test_what_the_tags_hid_flips_where_the_last_number_counts(tmp_path):
  found, left = _judged(tmp_path, _kept(), answer='last_number', format=0.0)
  assert left == 0 and [one.row['index'] for one in found] == [0, 1, 2, 3]
  # The tagged answers stand behind '7 - 3 = 4', outside of the thought.
  assert ['accuracy' in one.flips for one in found] == [False, True, False, False]
  assert found[1].verdicts['accuracy'].kind == 'correct' and found[1].total == 1.0
  # It was below the mean of its group, by the other reward it is above: it would be taught.
  assert [one.turned for one in found] == [False, True, False, False]
  assert found[1].as_json()['flips'] == ['accuracy', 'format']


def test_by_the_same_reward_nothing_flips(tmp_path):
  found, _ = _judged(tmp_path, _kept())
  assert not any(one.flips or one.turned for one in found)
  assert [one.total for one in found] == [one.row['reward'] for one in found]


def test_a_damaged_file_is_said_before_anything_is_judged(tmp_path):
  kept = {'step_000000': _kept(), 'step_000005': _kept()}
  folder = folders.write(tmp_path / 'run', kept=kept)
  (folder / 'samples' / 'step_000005.jsonl').write_text('no JSON\n')
  judged = []
  with pytest.raises(ValueError, match=r'step_000005\.jsonl:1: damaged'):
    rescoring.rescore(reading.read(folder), DATA, service.RewardConfig(), judged.append)
  assert not judged


def test_of_an_examination_nothing_is_pushed(tmp_path):
  found, _ = _judged(tmp_path, _kept(), name='heldout_000000', answer='last_number', format=0.0)
  assert found[1].flips and not any(one.turned for one in found)


def test_replies_whose_question_is_gone_or_has_no_rule_are_counted(tmp_path):
  data = source.DataConfig(name='jsonl', path=str(tmp_path / 'gone.jsonl'))
  assert _judged(tmp_path, _kept(), data) == ([], 4)
  general = _row('hello', 0, rewards={'helpful': {'score': 0.7, 'kind': 'correct', 'why': ''}})
  found, left = _judged(tmp_path, [general, *_kept()[:1]])
  assert len(found) == 1 and left == 1


def test_questions_of_a_file_are_judged_by_the_file(tmp_path):
  path = tmp_path / 'asked.jsonl'
  # The gold is a letter, which a row alone would not tell from a text.
  path.write_text(json.dumps({'question': 'Which?', 'options': ['3', '4'], 'answer': 'B'}) + '\n')
  asked = 'Which?\nA. 3\nB. 4'
  row = _row('<answer> (B) </answer>', 0, question=asked, expected='B')
  data = source.DataConfig(name='jsonl', path=str(path))
  found, left = _judged(tmp_path, [row], data)
  assert left == 0 and found[0].verdicts['accuracy'].kind == 'correct'


def test_by_a_file_that_has_another_answer_by_now_nothing_is_judged(tmp_path):
  path = tmp_path / 'asked.jsonl'
  path.write_text('{"question": "What is 3 + 4?", "answer": 6}\n')
  data = source.DataConfig(name='jsonl', path=str(path))
  row = _row(folders.PAID, 0, question='What is 3 + 4?', expected='7')
  assert _judged(tmp_path, [row], data) == ([], 1)
  path.write_text('{"question": "What is 3 + 4?", "answer": 7}\n')
  assert _judged(tmp_path, [row], data)[1] == 0


def test_a_function_of_ones_own_judges_too(tmp_path):
  own = tmp_path / 'mine.py'
  own.write_text('def short(texts):\n  return [float(len(text) < 12) for text in texts]\n')
  found, _ = _judged(tmp_path, _kept(), function=f'{own}:short', accuracy=0.0, format=0.0)
  assert [one.verdicts['short'].score for one in found] == [0, 1, 0, 0]
  assert [one.total for one in found] == [0, 1, 0, 0]


def test_the_command_refuses_in_a_line_what_it_cannot_judge_by(tmp_path, capsys):
  folder = folders.write(tmp_path / 'run', kept={})
  for flags, said in (
    ((), 'nothing to judge by'),
    (('--reward.answer',), 'expected --reward.KEY=VALUE'),
    (('--reward.answer=box',), 'holds no replies'),
  ):
    assert rescore.main([str(folder), *flags]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count('\n') == 1


@pytest.mark.parametrize('most', [0, 1, 9])
def test_what_is_printed_holds_the_counts_and_nothing_that_a_terminal_obeys(tmp_path, most):
  rows = _kept()
  rows[1]['completion'] = '\x1b[2J[red] 7 - 3 = 4'
  found, left = _judged(tmp_path, rows, answer='last_number', format=0.0)
  console = rich.console.Console(file=io.StringIO(), width=80)
  for part in rescore.told(found, left, most):
    console.print(part)
  text = console.file.getvalue()
  assert 'rollout 0' in text and '1 would be pushed the other way' in text.replace('\n', ' ')
  assert '\x1b' not in text and max(map(len, text.splitlines())) <= 80
  assert ('unparseable (no answer) -> correct' in text) == (most > 0)
