"""Problems from JSONL: GSM8K as published, the plain form, and every way a file can be wrong."""

import gzip
import json
import re

import pytest

from r1jax.data import prompts, records, tokenizer
from r1jax.data.problem import Problem
from r1jax.data.tasks import corpus, jsonl
from tests import shared_data


def _file(tmp_path, content):
  path = tmp_path / 'some.jsonl'
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return path


@pytest.mark.parametrize('name, count', [('train', 7473), ('test', 1319)])
def test_gsm8k_is_read_as_published(name, count):
  problems = jsonl.load(shared_data.path(f'gsm8k/{name}.jsonl'))
  assert len(problems) == count and {p.kind for p in problems} == {name}
  assert all(re.fullmatch(r'-?\d+(\.\d+)?', p.answer) for p in problems)
  assert all(p.steps and '<<' not in ''.join(p.steps) for p in problems)


def test_gsm8k_lines_hold_what_their_fields_say():
  first = jsonl.load(shared_data.path('gsm8k/test.jsonl'))[0]
  assert first.answer == '18' and first.question.startswith('Janet’s ducks lay 16 eggs')
  assert first.steps[0] == 'Janet sells 16 - 3 - 4 = 9 duck eggs a day.'


@pytest.mark.parametrize(
  'answer, expected',
  [
    ('18', '18'),
    (18, '18'),
    (0.5, '0.5'),
    (' 1,234,567.5 ', '1234567.5'),
    ('(1,234)', '(1,234)'),
    ('1,2', '1,2'),
    ('so\n#### 5,600', '5600'),
    ('#### x + 1', 'x + 1'),
  ],
)
def test_the_final_answer_is_what_remains(tmp_path, answer, expected):
  path = _file(tmp_path, json.dumps({'question': 'Q', 'answer': answer}))
  assert jsonl.load(path)[0].answer == expected


@pytest.mark.parametrize(
  'answer, expected, steps',
  [
    ('Adding gives $3+2=5$, so it is $\\boxed{5}$.', '5', 1),
    ('We add.\n$3+2=5$.\n\nSo it is $\\boxed{5}$.', '5', 3),
    ('First \\boxed{1}, then \\fbox{\\frac{1}{2}}', '\\frac{1}{2}', 1),
    ('It costs \\boxed{1,234} dollars', '1234', 1),
    ('$\\boxed{7}$', '7', 0),
    ('The red cat', 'The red cat', 0),
    ('x = 5', 'x = 5', 0),
  ],
)
def test_of_a_worked_solution_the_last_box_is_the_answer(tmp_path, answer, expected, steps):
  path = _file(tmp_path, json.dumps({'question': 'Q', 'answer': answer}))
  (found,) = jsonl.load(path)
  assert found.answer == expected and len(found.steps) == steps


def test_keys_blank_lines_and_a_byte_order_mark(tmp_path):
  path = _file(tmp_path, b'\xef\xbb\xbf{"q": " Why ", "a": "7"}\r\n\r\n{"q": "How", "a": "8"}')
  found = jsonl.load(path, records.columns('question=q,answer=a'))
  assert found == [
    Problem('Why', '7', 'some', 0),
    Problem('How', '8', 'some', 0),
  ]


def test_lines_are_read_one_by_one(tmp_path):
  stream = jsonl.read(_file(tmp_path, '{"question": "Q", "answer": "1"}\nbroken'))
  assert next(stream).answer == '1'
  with pytest.raises(records.RecordError, match='line 2'):
    next(stream)


_GOOD = b'{"question": "Q", "answer": "1"}\n'


@pytest.mark.parametrize(
  'line, why',
  [
    (b'{"question": "Q"', 'not JSON'),
    (b'[1, 2]', 'expected a JSON object, found list'),
    (b'{"question": "Q"}', "no field 'answer', found"),
    (b'{"answer": "1"}', "no field 'question'"),
    (b'{"question": 3, "answer": "1"}', "field 'question' holds 3, expected text"),
    (b'{"question": "Q", "answer": null}', "field 'answer' holds None"),
    (
      b'{"question": "Q", "answer": true}',
      "field 'answer' holds True, expected text or a finite number",
    ),
    (b'{"question": "Q", "answer": NaN}', "field 'answer' holds nan"),
    (b'{"question": "Q", "answer": 1e999}', "field 'answer' holds inf"),
    (b'{"question": " ", "answer": "1"}', "field 'question' is empty"),
    (b'{"question": "Q", "answer": "so 3\\nthen 4"}', 'no final answer'),
    (b'{"question": "Q", "answer": "so 3\\n#### "}', 'no final answer'),
    (b'{"question": "Q", "answer": "1+2=<<1+2=3>>3"}', 'no final answer'),
    (b'{"question": "Q", "answer": "We add, so 3+2=5 and the answer is 5."}', 'worked solution'),
    (b'{"question": "Q", "answer": "so 3\\nthen 4"}', '\\boxed{...} or a line "#### ..."'),
    (b'{"question": "Q", "answer": "We have 0."}', 'worked solution'),
    (b'{"question": "Q", "choices": ["a", "b"], "answer": 0}', "data.columns='options=choices'"),
    (b'{"question": "Q", "options": ["a", "b"], "answer": 0}', 'which is A for 0'),
    (b'{"question": "\xff", "answer": "1"}', 'not UTF-8'),
    (b'{"question": "\\ud800", "answer": "1"}', 'half a surrogate pair'),
    (b'[' * 100_000, 'nested too deeply'),
    (b'{"question": "Q", "answer": ' + b'1' * 5000 + b'}', 'digits'),
  ],
)
def test_a_wrong_line_is_named_with_its_number(tmp_path, line, why):
  path = _file(tmp_path, _GOOD + b'\n' + line + b'\n' + _GOOD)
  with pytest.raises(records.RecordError, match=rf'some\.jsonl, line 3: .*{re.escape(why)}'):
    jsonl.load(path)


@pytest.mark.parametrize(
  'answer, why',
  [
    ('<answer>5</answer>', 'the tag <answer>'),
    ('<think>a</think> 5', 'the tag <think>'),
    ('so it is\n#### 5</answer>', 'the tag </answer>'),
    ('\\boxed{5', 'its box is empty or does not close'),
    ('\\boxed{}', 'its box is empty'),
    ('$\\boxed{ }$', 'its box is empty'),
    ('\\frac{1}{2', 'a brace is left open'),
    ('$$', 'it is empty'),
    ('?', 'it is empty'),
    ('5' * 2001, 'it has 2,001 characters, at most 2,000 are read'),
    ('5' * 501, 'a number of more than 500 digits'),
    ('5\u200b', 'the invisible sign U+200B'),
    ('NaN', 'it stands for a value that is missing'),
  ],
)
def test_a_gold_that_no_reply_can_be_compared_with_is_refused(tmp_path, answer, why):
  path = _file(tmp_path, _GOOD + json.dumps({'question': 'Q', 'answer': answer}).encode())
  told = rf"line 2: field 'answer' holds .*{re.escape(why)}.*; give the final answer alone"
  with pytest.raises(records.RecordError, match=told):
    jsonl.load(path)


@pytest.mark.parametrize(
  'content, kind',
  [
    (json.dumps([json.loads(_GOOD)]).encode(), 'a JSON array'),
    (json.dumps([json.loads(_GOOD)], indent=2).encode(), 'a JSON array'),
    (json.dumps(json.loads(_GOOD), indent=2).encode(), 'one JSON object over several lines'),
    (b'question,answer\n1+1?,2\n', 'CSV'),
    (b'"question"\t"answer"\n"1+1?"\t2\n', 'CSV'),
    (gzip.compress(_GOOD, mtime=0), 'gzip'),
    (b'PAR1\x15\x04', 'parquet (name it .parquet)'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:ab\n', 'a Git LFS pointer'),
    (b'<!DOCTYPE html>\n<html>', 'a web page'),
  ],
)
def test_a_file_that_is_no_jsonl_is_called_what_it_looks_like(tmp_path, content, kind):
  told = rf'line 1: the file looks like {re.escape(kind)}.*; wanted is one JSON object per line'
  with pytest.raises(records.RecordError, match=told):
    jsonl.load(_file(tmp_path, content))


@pytest.mark.parametrize('content', [b'', b'\n \n'])
def test_a_file_without_problems_is_refused(tmp_path, content):
  with pytest.raises(records.RecordError, match=r'some\.jsonl: no record in it'):
    jsonl.load(_file(tmp_path, content))


def test_a_missing_file_is_an_os_error(tmp_path):
  with pytest.raises(FileNotFoundError):
    jsonl.load(tmp_path / 'none.jsonl')


def test_questions_longer_than_the_context_are_counted_and_the_first_is_named():
  texts = [corpus.document(0, i).text for i in range(300)]
  tok = tokenizer.SentencePieceTokenizer(tokenizer.train_sentencepiece(texts, 400))
  problems = [Problem('What is' + ' 1' * n, '1', 'k', 0) for n in (5, 50, 60)]
  lengths = [len(tok.encode(' What is')) + n + 3 for n in (5, 50, 60)]
  jsonl.check_lengths(problems, prompts.Form(tok), lengths[-1])
  with pytest.raises(
    ValueError,
    match=rf'question 2 .* has {lengths[1]} tokens .* data.max_prompt={lengths[1] - 1}; '
    rf'too long in all: 2, the longest {lengths[2]}',
  ):
    jsonl.check_lengths(problems, prompts.Form(tok), lengths[1] - 1)
