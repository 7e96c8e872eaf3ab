"""Conversations from the forms that data sets are published in, and every way they can be wrong."""

import json
import re

import pytest

from r1jax.data import conversations, records
from tests.data import records_test

ASKED = {'role': 'user', 'content': 'Q'}
SAID = {'role': 'assistant', 'content': 'A'}
SYSTEM = {'role': 'system', 'content': 'S'}
PAIR = [('user', 'Q'), ('assistant', 'A')]
THOUGHT = '<think>\nT\n</think>\n\nA'
# A row of simplescaling/s1K-1.1: all of its columns.
S1K = {
  'solution': '128',
  'question': 'Given x, find y.',
  'cot_type': 'math',
  'source_type': 'AI-MO/NuminaMath-CoT/aops_forum',
  'metadata': "{'url': None}",
  'gemini_thinking_trajectory': 'Gemini thinks.',
  'gemini_attempt': 'Gemini says 127.',
  'deepseek_thinking_trajectory': 'Okay, let me think.\n\nWait, 128.',
  'deepseek_attempt': 'So it is \\boxed{128}.',
  'gemini_grade': 'No',
  'gemini_grade_reason': '...',
  'deepseek_grade': 'Yes',
  'deepseek_grade_reason': '...',
}
S1K_READ = ('deepseek_thinking_trajectory', 'deepseek_attempt')
# Of open-r1/OpenR1-Math-220k: all of its columns.
OPENR1 = {
  'problem': 'What is 1 + 1?',
  'solution': 'It is 2.',
  'answer': '2',
  'problem_type': 'Algebra',
  'question_type': 'math-word-problem',
  'source': 'olympiads',
  'uuid': '586fd646',
  'is_reasoning_complete': [True, True],
  'generations': ['<think>\nno\n</think>\n\n3', '<think>\n1 + 1 = 2\n</think>\n\n2'],
  'correctness_math_verify': [False, True],
  'correctness_llama': None,
  'finish_reasons': None,
  'correctness_count': 1,
  'messages': [
    {'content': 'What is 1 + 1?', 'role': 'user'},
    {'content': '<think>\n1 + 1 = 2\n</think>\n\n2', 'role': 'assistant'},
  ],
}


def lines(tmp_path, *rows):
  path = tmp_path / 'some.jsonl'
  path.write_text('\n'.join(map(json.dumps, rows)))
  return path


def said(one):
  return [(m['role'], m['content']) for m in one.messages]


@pytest.mark.parametrize(
  'record, expected, begin',
  [
    ({'messages': [ASKED, SAID]}, PAIR, 0),
    ({'messages': [ASKED, SAID], 'prompt': 'x', 'completion': 'y'}, PAIR, 0),
    ({'prompt': 'Q', 'completion': 'A'}, PAIR, 1),
    ({'prompt': [ASKED, SAID, ASKED], 'completion': [SAID]}, PAIR + PAIR, 3),
    ({'prompt': [ASKED], 'completion': 'A'}, PAIR, 1),
    ({'question': 'Q', 'reasoning': 'T', 'answer': 'A'}, [PAIR[0], ('assistant', THOUGHT)], 0),
    (
      {'question': 'Q', 'reasoning': '<think>\nT\n</think>', 'answer': 'A'},
      [PAIR[0], ('assistant', THOUGHT)],
      0,
    ),
    (
      {'conversations': [{'from': 'human', 'value': 'Q'}, {'from': 'gpt', 'value': 'A'}]},
      PAIR,
      0,
    ),
    (
      {'messages': [ASKED, SAID | {'reasoning_content': 'T\n'}]},
      [PAIR[0], ('assistant', THOUGHT)],
      0,
    ),
    (
      {'messages': [{'role': 'system', 'content': ''}, ASKED, SAID]},
      [('system', ''), *PAIR],
      0,
    ),
    (
      {'messages': [ASKED | {'content': [{'type': 'text', 'text': 'Q'}, 'q']}, SAID]},
      [('user', 'Qq'), PAIR[1]],
      0,
    ),
    ({'messages': [ASKED, SAID], 'system': 'S'}, [('system', 'S'), *PAIR], 0),
    ({'messages': [ASKED, SAID], 'system': None}, PAIR, 0),
    ({'conversations': [SYSTEM, ASKED, SAID], 'system': 'S'}, [('system', 'S'), *PAIR], 0),
    # Marks that say what is done anyway, and those of what is not learned.
    ({'messages': [ASKED | {'weight': 0}, SAID | {'weight': 1.0, 'train': None}]}, PAIR, 0),
    ({'prompt': [ASKED, SAID | {'train': False}, ASKED], 'completion': 'A'}, PAIR + PAIR, 3),
  ],
)
def test_each_form_is_read_as_it_is_meant(tmp_path, record, expected, begin):
  (found,) = conversations.read(lines(tmp_path, record))
  assert (said(found), found.begin) == (expected, begin)
  assert found.question == expected[-2 if expected[0][0] == 'system' else 0][1]
  assert found.where.endswith('some.jsonl, line 1')


@pytest.mark.parametrize('form', ['jsonl', 'parquet'])
def test_published_traces_of_r1_are_read_by_their_presets(tmp_path, form):
  for preset, row in {'s1k': S1K, 'openr1_math': OPENR1}.items():
    path = tmp_path / f'{preset}.{form}'
    if form == 'parquet':
      records_test.write(path, [row])
    else:
      path.write_text(json.dumps(row))
    (found,) = conversations.read(path, preset)
    question, reply = said(found)
    if preset == 's1k':
      assert question == ('user', 'Given x, find y.')
      wanted = '<think>\nOkay, let me think.\n\nWait, 128.\n</think>\n\nSo it is \\boxed{128}.'
      assert reply == ('assistant', wanted) and '127' not in reply[1]
    else:
      assert [question, reply] == [(m['role'], m['content']) for m in row['messages']]


@pytest.mark.parametrize(
  'row, columns, left',
  [
    (
      {'instruction': 'Q', 'input': 'I', 'output': 'A', 'system': 'S'},
      'prompt=instruction,completion=output',
      ('input', 'system'),
    ),
    ({'messages': [ASKED, SAID], 'system': 'S', 'tools': '[]'}, '', ('tools',)),
    (S1K, 's1k', tuple(sorted(S1K.keys() - {'question', *S1K_READ}))),
    ({'prompt': 'Q', 'completion': 'A'}, '', ()),
  ],
)
def test_columns_that_are_not_read_are_known(tmp_path, row, columns, left):
  assert conversations.unread(lines(tmp_path, row), columns) == left


def test_columns_split_and_limit_are_taken(tmp_path):
  rows = [{'instruction': f'Q{i}', 'output': 'A', 'messages': 3} for i in range(4)]
  records_test.write(tmp_path / 'train-00000-of-00001.parquet', rows)
  records_test.write(tmp_path / 'test-00000-of-00001.parquet', rows[:1])
  found = conversations.read(tmp_path, 'prompt=instruction,completion=output', 'train', 3)
  assert [one.question for one in found] == ['Q0', 'Q1', 'Q2']


def _messages(*messages):
  return {'messages': list(messages)}


@pytest.mark.parametrize(
  'record, why',
  [
    (_messages(ASKED), 'no message of an assistant, only of user'),
    (_messages(SAID), "message 1 is the assistant's, expected the user's"),
    (_messages(ASKED, ASKED, SAID), "message 2 is the user's, expected the assistant's"),
    (_messages(ASKED, SAID, {'role': 'system', 'content': 'x'}), "message 3 is the system's"),
    (_messages(ASKED, SAID, ASKED), "the last message is the user's"),
    (_messages(ASKED, SAID | {'content': ' \n'}), 'message 2 (assistant) is empty'),
    (_messages(ASKED, SAID | {'content': None}), 'message 2 (assistant) holds None, expected text'),
    (_messages(ASKED, SAID | {'content': 3}), 'message 2 (assistant) holds 3'),
    (_messages(ASKED, SAID | {'content': '\ud800'}), 'message 2 (assistant) holds half a surr'),
    (_messages(ASKED, SAID | {'tool_calls': [{'id': 1}]}), 'message 2 (assistant) calls tools'),
    (_messages(ASKED, {'role': 'tool', 'content': 'x'}), "message 2 has the role 'tool'"),
    (_messages(ASKED, {'content': 'x'}), 'message 2 has the role None'),
    (_messages(ASKED, 'A'), "message 2 is 'A', expected an object of role and content"),
    (
      _messages(ASKED | {'content': [{'type': 'image_url', 'image_url': 'x'}]}, SAID),
      "message 1 (user) holds a part of type 'image_url': only texts are learned",
    ),
    (_messages(ASKED | {'content': [{'type': 'text', 'text': None}]}, SAID), 'message 1 (user)'),
    (_messages(ASKED, SAID | {'weight': 0}), 'message 2 (assistant) is marked by weight=0'),
    (_messages(ASKED, SAID | {'weight': 0.5}), 'message 2 (assistant) is marked by weight=0.5'),
    (_messages(ASKED, SAID | {'train': False}), 'message 2 (assistant) is marked by train=False'),
    (_messages(ASKED, SAID | {'masked': True}), 'message 2 (assistant) is marked by masked=True'),
    (_messages(SYSTEM, ASKED, SAID) | {'system': 'T'}, "column 'system' and message 1 are two"),
    (_messages(ASKED, SAID) | {'system': 3}, "column 'system' holds 3, expected text"),
    ({'messages': []}, "field 'messages' holds [], expected a list of messages"),
    ({'messages': 'Q'}, "field 'messages' holds 'Q', expected a list of messages"),
    ({'messages': None}, "field 'messages' holds None"),
    ({}, "no field 'messages', which the first record has"),
  ],
)
def test_what_is_no_conversation_is_named_with_its_line(tmp_path, record, why):
  path = lines(tmp_path, _messages(ASKED, SAID), record)
  with pytest.raises(records.RecordError, match=rf'some\.jsonl, line 2: {re.escape(why)}') as found:
    conversations.read(path)
  assert '\n' not in str(found.value)


@pytest.mark.parametrize(
  'record, why',
  [
    ({'prompt': '', 'completion': 'A'}, 'line 1: the prompt is empty'),
    ({'prompt': 'Q', 'completion': ['A']}, "line 1: message 1 is 'A', expected an object"),
    ({'question': 'Q', 'reasoning': '', 'answer': 'A'}, "line 1: field 'reasoning' is empty"),
    ({'question': 'Q', 'answer': 'A'}, 'are among its columns answer, question; say which'),
    ({'problem': 'Q', 'messages_': []}, 'are among its columns messages_, problem; say which'),
  ],
)
def test_records_without_what_is_learned_are_refused(tmp_path, record, why):
  with pytest.raises(records.RecordError, match=f'some.jsonl[:,] .*{re.escape(why)}'):
    conversations.read(lines(tmp_path, record))


@pytest.mark.parametrize(
  'rows, field',
  [
    ([{'prompt': 'Q', 'completion': 'A'}, {'messages': [ASKED, SAID]}], 'prompt'),
    ([{'messages': [ASKED, SAID]}, {'prompt': 'Q', 'completion': 'A'}], 'messages'),
  ],
)
def test_a_record_of_another_form_than_the_first_is_refused_with_its_line(tmp_path, rows, field):
  path = lines(tmp_path, *rows)
  with pytest.raises(records.RecordError, match=f"line 2: no field '{field}', which the first"):
    conversations.read(path)


def test_columns_that_a_preset_wants_are_named_where_they_are_not_there(tmp_path):
  path = records_test.write(tmp_path / 'a.parquet', [{'question': 'Q', 'thinking': 'T'}])
  with pytest.raises(records.RecordError, match="a.parquet: no column 'deepseek_thinking_tr.* are"):
    conversations.read(path, 's1k')
