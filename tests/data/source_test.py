"""Where problems come from: the tiny world, JSONL as published; splits share no question."""

import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from r1jax.data import prompts, records, source, tokenizer
from r1jax.interchange import checkpoints
from tests import shared_data


@pytest.fixture(scope='module')
def tok():
  return tokenizer.load(checkpoints.open('tiny'))


def write(path, questions):
  """A file of problems."""
  lines = [json.dumps({'question': q, 'answer': str(i)}) for i, q in enumerate(questions)]
  path.write_text('\n'.join(lines))
  return str(path)


def canonical(problem):
  """A question without what is not part of it."""
  return ' '.join(problem.question.lower().split())


def test_the_tiny_world_gives_the_levels_asked_for_and_splits_that_share_nothing(tok):
  cfg = source.DataConfig(levels=(2, 3), max_prompt=48)
  train, heldout = source.problems(cfg, 0, prompts.Form(tok))
  first, second = [[s[i] for i in range(300)] for s in (train, heldout)]
  assert {p.level for p in first} == {p.level for p in second} == {2, 3}
  assert not {canonical(p) for p in first} & {canonical(p) for p in second}
  again, _ = source.problems(cfg, 0, prompts.Form(tok))
  other, _ = source.problems(cfg, 1, prompts.Form(tok))
  assert [again[i] for i in range(20)] == first[:20] != [other[i] for i in range(20)]


def test_questions_longer_than_the_context_are_refused_before_a_run(tok):
  with pytest.raises(ValueError, match='data.max_prompt=20'):
    source.problems(source.DataConfig(max_prompt=20), 0, prompts.Form(tok))


def test_gsm8k_as_published_loads_and_is_split_without_a_question_in_common(tok):
  path = shared_data.path('gsm8k/train.jsonl')
  cfg = source.DataConfig('jsonl', str(path), max_prompt=2048)
  train, heldout = source.problems(cfg, 0, prompts.Form(tok))
  assert len(train) + len(heldout) == sum(1 for line in path.open() if line.strip())
  assert 0.03 < len(heldout) / (len(train) + len(heldout)) < 0.1
  assert not {canonical(p) for p in train} & {canonical(p) for p in heldout}
  first = json.loads(path.open().readline())
  (found,) = [p for p in [*train, *heldout] if p.question == first['question'].strip()]
  assert found.answer == first['answer'].split('####')[1].strip().replace(',', '')


def test_a_held_out_file_is_taken_as_it_is(tok, tmp_path):
  cfg = source.DataConfig(
    'jsonl',
    write(tmp_path / 'a', ['1 + 1', '2 + 2']),
    write(tmp_path / 'b', ['3 + 3']),
    max_prompt=64,
  )
  train, heldout = source.problems(cfg, 0, prompts.Form(tok))
  assert [p.question for p in train] == ['1 + 1', '2 + 2']
  assert [p.question for p in heldout] == ['3 + 3']


def test_a_hub_folder_of_parquet_gives_its_train_and_test_splits(tok, tmp_path):
  rows = {'train': range(8), 'test': range(20, 23)}
  for split, numbers in rows.items():
    table = pa.table({'q': [f'{i} + 1' for i in numbers], 'answer': [i + 1 for i in numbers]})
    parquet.write_table(table, tmp_path / f'{split}-00000-of-00001.parquet')
  cfg = source.DataConfig('parquet', str(tmp_path), str(tmp_path), question_key='q', limit=5)
  train, heldout = source.problems(cfg, 0, prompts.Form(tok))
  assert [(p.question, p.answer) for p in train] == [(f'{i} + 1', f'{i + 1}') for i in range(5)]
  assert [p.question for p in heldout] == [f'{i} + 1' for i in range(20, 23)]


def test_a_plan_says_how_many_questions_there_are_and_which_contradict_themselves(tok, tmp_path):
  rows = [('1 + 1', '2'), ('1  + 1', '2'), ('Six?', '6'), ('six?', '7'), ('2 + 2', '4')]
  lines = [json.dumps({'question': question, 'answer': answer}) for question, answer in rows]
  (tmp_path / 'a').write_text('\n'.join(lines))
  held = write(tmp_path / 'b', ['3 + 3'])
  cfg = source.DataConfig('jsonl', str(tmp_path / 'a'), held, max_prompt=64)
  line = source.told(cfg, *source.problems(cfg, 0, prompts.Form(tok)))
  assert line == (
    f'5 of {tmp_path}/a; held out 1 of {held}; 2 are asked once more; WARNING: 1 have two '
    'different answers, and a reply cannot be right by both, such as six?'
  )
  without = source.DataConfig('jsonl', held, held, max_prompt=64)
  assert 'once' not in source.told(without, [*source.problems(cfg, 0, prompts.Form(tok))[1]], [])


def test_answers_that_are_written_otherwise_do_not_contradict(tok, tmp_path):
  rows = [{'question': f'{n} + 2', 'answer': str(n + 2)} for n in range(20)]
  rows += [{'question': '1 + 2', 'answer': text} for text in ('3.0', '$3$', '$3')]
  rows += [{'question': 'large?', 'answer': '1e1000000'}]
  (tmp_path / 'a').write_text('\n'.join(map(json.dumps, rows)))
  cfg = source.DataConfig('jsonl', str(tmp_path / 'a'), max_prompt=64)
  line = source.told(cfg, *source.problems(cfg, 0, prompts.Form(tok)))
  assert 'asked once more' in line and 'WARNING' not in line


def test_a_question_in_both_files_is_refused_whatever_its_case_and_spaces(tok, tmp_path):
  cfg = source.DataConfig(
    'jsonl',
    write(tmp_path / 'a', ['How many?', '2 + 2']),
    write(tmp_path / 'b', ['how  MANY?']),
    max_prompt=64,
  )
  with pytest.raises(ValueError, match='1 held-out questions are in the training file'):
    source.problems(cfg, 0, prompts.Form(tok))


def test_a_file_too_small_to_hold_anything_out_is_refused(tok, tmp_path):
  cfg = source.DataConfig('jsonl', write(tmp_path / 'a', ['1 + 1']), max_prompt=64)
  with pytest.raises(ValueError, match='both are needed'):
    source.problems(cfg, 0, prompts.Form(tok))


def test_a_wrong_line_of_the_held_out_file_is_named(tok, tmp_path):
  (tmp_path / 'b').write_text('{"question": "1"}\n')
  cfg = source.DataConfig('jsonl', write(tmp_path / 'a', ['1']), str(tmp_path / 'b'), max_prompt=64)
  with pytest.raises(records.RecordError, match='line 1'):
    source.problems(cfg, 0, prompts.Form(tok))


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'name': 'csv'}, "'csv'"),
    ({'path': 'x.jsonl'}, "name='tiny_world' does not go with path='x.jsonl'"),
    ({'name': 'jsonl'}, "name='jsonl' does not go with path=''"),
    (
      {'name': 'jsonl', 'path': 'x', 'heldout_split': 'dev'},
      "heldout_split='dev' is of heldout_path='': give that too",
    ),
    ({'name': 'none', 'path': 'x.jsonl'}, "name='none' does not go with path='x.jsonl'"),
    ({'columns': 'question='}, "columns='question=': 'question=' is no new FIELD=COLUMN"),
    ({'levels': (1,)}, r'levels=\(1,\) is not \(a whole number within 1'),
  ],
)
def test_a_source_that_makes_no_sense_is_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    source.DataConfig(**fields)


def test_a_column_that_no_record_has_is_refused_with_those_that_are_there(tok, tmp_path):
  (tmp_path / 'a').write_text('{"question": "1 + 1", "answer": 2, "level": 3}\n')
  cfg = source.DataConfig('jsonl', str(tmp_path / 'a'), columns='levle', max_prompt=64)
  with pytest.raises(
    ValueError,
    match="columns=levle: no record of .* has a column 'levle', .*answer, level, question",
  ):
    source.problems(cfg, 0, prompts.Form(tok))


def test_a_missing_file_of_problems_is_refused_with_its_option(tok, tmp_path):
  there = tmp_path / 'train.jsonl'
  there.write_text('{"question": "1 + 1", "answer": 2}\n' * 2)
  absent = str(tmp_path / 'absent')
  for fields, option in (
    ({'path': absent}, 'path'),
    (
      {'path': str(there), 'heldout_path': absent},
      'heldout_path',
    ),
  ):
    with pytest.raises(ValueError, match=rf'config\.data\.{option}={absent}: .*hf download'):
      source.problems(source.DataConfig('jsonl', **fields), 0, prompts.Form(tok))


def test_a_run_that_asks_wants_a_source_of_questions(tok):
  with pytest.raises(ValueError, match="data.name='none': there are no questions"):
    source.problems(source.DataConfig('none'), 0, prompts.Form(tok))


def test_an_example_is_shown_with_its_reply_where_it_has_one(tok, tmp_path):
  path = tmp_path / 'solved.jsonl'
  worked = '<think> 2 + 5 = 7 </think> <answer> 7 </answer>'
  # The answer of GSM8K's form is shown alone, as without the field.
  lines = [
    {'question': 'What is 2 + 5?', 'answer': '7', 'reply': worked},
    {'question': 'What is 3 + 5?', 'answer': '3 + 5 = <<3+5=8>>8\n#### 8'},
  ]
  path.write_text('\n'.join(map(json.dumps, lines)))
  shots = source.shots(str(path))
  assert [shot.reply for shot in shots] == [worked, '8']
  shown = prompts.Form(tok, 'text', shots=shots).put('What is 4 + 5?').text
  assert shown == f'What is 2 + 5?\n{worked}\n\nWhat is 3 + 5?\n8\n\nWhat is 4 + 5?\n'


@pytest.mark.parametrize('reply', ['', ' \n', 7, None, ['7']])
def test_an_example_that_shows_no_text_is_refused_with_its_record(reply, tmp_path):
  path = tmp_path / 'solved.jsonl'
  path.write_text(json.dumps({'question': 'What is 2 + 5?', 'answer': '7', 'reply': reply}))
  with pytest.raises(ValueError, match=r'solved\.jsonl, record 1: .* as text, not'):
    source.shots(str(path))


def test_an_example_with_an_empty_line_is_refused_where_that_ends_replies(tok):
  shot = prompts.Shot('What is 2 + 5?', '2 and 5 more\n\nare 7')
  with pytest.raises(ValueError, match='has an empty line'):
    prompts.Form(tok, 'text', shots=(shot,))
