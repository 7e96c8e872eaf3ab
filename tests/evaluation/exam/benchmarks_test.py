"""Which questions are asked, how often, and how they are put."""

import datetime
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from r1jax.data import chat_template, prompts, template, tokenizer
from r1jax.data.problem import Problem
from r1jax.data.tasks import tiny_world
from r1jax.evaluation.exam import benchmarks, examination
from r1jax.interchange import checkpoints
from r1jax.rewards import choice, code, golds
from tests.interchange import families

INSTRUCTION = golds.of('7').instruction


def _file(tmp_path, count, name='own.jsonl'):
  path = tmp_path / name
  rows = ({'question': f'Q{i}', 'answer': str(i)} for i in range(count))
  path.write_text('\n'.join(map(json.dumps, rows)))
  return path


def test_samples_are_the_papers():
  found = {name: benchmarks.Choice(name).samples for name in benchmarks.NAMED}
  assert found == {'gsm8k': 4, 'math500': 16, 'aime': 64, 'gpqa_diamond': 64, 'livecodebench': 8}
  assert (datetime.date(2024, 8, 1), datetime.date(2025, 1, 31)) == benchmarks.CONTESTS


def test_the_tiny_world_asks_held_out_questions_of_the_levels_given():
  found = benchmarks.load(benchmarks.Choice('tiny_world', questions=40, levels=(2, 2)))
  assert len(found) == 40 and {p.level for p in found} == {2}
  assert {tiny_world.split_of(p.question) for p in found} == {tiny_world.HELDOUT}


def test_fewer_questions_are_spread_evenly_over_the_file(tmp_path):
  path = _file(tmp_path, 100)
  found = benchmarks.load(benchmarks.Choice(str(path), questions=4))
  assert [p.question for p in found] == ['Q0', 'Q25', 'Q50', 'Q75']
  assert benchmarks.Choice(str(path)).name == 'own'
  assert len(benchmarks.load(benchmarks.Choice(str(path)))) == 100
  table = pa.table({'question': [p.question for p in found], 'answer': [p.answer for p in found]})
  parquet.write_table(table, tmp_path / 'own.parquet')
  choice_ = benchmarks.Choice(str(tmp_path / 'own.parquet'))
  assert choice_.name == 'own'
  again = benchmarks.load(choice_)
  assert [(p.question, p.answer) for p in again] == [(p.question, p.answer) for p in found]


def test_a_folder_is_all_its_files_in_order(tmp_path):
  _file(tmp_path, 2, 'test2.jsonl')
  _file(tmp_path, 1, 'test1.jsonl')
  found = benchmarks.load(benchmarks.Choice('gsm8k', str(tmp_path)))
  assert [p.question for p in found] == ['Q0', 'Q0', 'Q1']


@pytest.mark.parametrize(
  'choice_, why',
  [
    (benchmarks.Choice('math'), '--benchmark=math is none of gsm8k'),
    (benchmarks.Choice('math500'), '--benchmark=math500 needs --data=PATH: test.jsonl of Hugging'),
    (benchmarks.Choice('tiny_world', 'x'), 'leave --data out'),
    (benchmarks.Choice('own.jsonl', 'x'), 'leave --data=x out'),
  ],
)
def test_a_choice_that_makes_no_sense_says_what_to_do(choice_, why):
  with pytest.raises(ValueError, match=why):
    benchmarks.load(choice_)


def test_more_questions_than_there_are_and_empty_folders_are_refused(tmp_path):
  with pytest.raises(ValueError, match='no .jsonl or .csv file'):
    benchmarks.load(benchmarks.Choice('gsm8k', str(tmp_path)))
  with pytest.raises(ValueError, match='--questions=9, but own has 3'):
    benchmarks.load(benchmarks.Choice(str(_file(tmp_path, 3)), questions=9))


def test_programs_of_a_benchmark_get_more_time_than_in_training():
  tests = code.Tests((code.StdinTest('', ''),) * 50)
  found = benchmarks.rewards([Problem('Q', tests, 'easy', 0)])
  assert found.programs.limits.seconds == 6 and found.programs.total_seconds == 300
  assert benchmarks.rewards([Problem('Q', '1', 'k', 0)]).worker_gib == 1


@pytest.mark.parametrize(
  'answer, part',
  [('1', 'boxed'), (choice.Letter('A', 'AB'), 'ANSWER: X'), (code.Tests(()), '```python')],
)
def test_the_instruction_says_how_to_mark_the_answer(answer, part):
  assert part in benchmarks.instruction(Problem('Q', answer, 'k', 0))


def test_r1_zeros_template_is_the_papers_and_takes_no_instruction():
  folder = checkpoints.open('tiny')
  form = examination.form(examination.Asking(), folder, tokenizer.load(folder))
  found = form.put('What is 1 + 1', INSTRUCTION)
  assert found.text == template.render('What is 1 + 1') and not found.prefill
  assert form.title == 'R1-Zero'


@pytest.fixture
def deepseek(tmp_path):
  families.write_tokenizer(tmp_path)
  (tmp_path / 'generation_config.json').write_text('{"eos_token_id": [1, 7]}')
  return tmp_path, tokenizer.load(tmp_path)


def test_r1s_chat_template_opens_the_thought_and_stops_at_the_ids_of_the_folder(deepseek):
  folder, tok = deepseek
  form = prompts.Form(tok, 'r1', folder)
  found = form.put('Q', INSTRUCTION)
  user, reply = chat_template.USER, chat_template.ASSISTANT
  assert found.text == f'{chat_template.BOS}{user}Q\n{INSTRUCTION}{reply}<think>\n'
  assert found.prefill == '<think>\n' and found.ids.count(tok.bos_id) == 1
  np.testing.assert_array_equal(form.stop_KW, sorted([[i] for i in {1, 7, tok.eos_id}]))
  assert form.put('Q', '').text == f'{chat_template.BOS}{user}Q{reply}<think>\n'


def test_a_vocabulary_without_the_templates_tokens_is_refused():
  folder = checkpoints.open('tiny')
  with pytest.raises(ValueError, match='is not a piece of this vocabulary'):
    prompts.Form(tokenizer.load(folder), 'r1', folder)
