"""Rewards that a user brings: what they are called with, what they may do wrong, what is kept."""

import contextlib
import re
import time

import numpy as np
import pytest

from r1jax.data.tasks import jsonl
from r1jax.evaluation import replies
from r1jax.rewards import choice, functions, service
from r1jax.rewards.verdict import Kind, Verdict
from r1jax.sampling import rollout
from r1jax.train import glossary


def _judged(tmp_path, source, items, name='score', **settings):
  """What a function of that source says of some items: a list of Verdicts."""
  path = tmp_path / 'mine.py'
  path.write_text(source)
  config = service.RewardConfig(function=f'{path}:{name}', max_verifier_error_rate=1.0, **settings)
  with contextlib.closing(service.RewardService(config)) as rewards:
    return [reward.verdicts[name] for reward in rewards.submit(items).result()]


def _items(*texts, **more):
  return [service.Item(text, '7', 'a question', **more) for text in texts]


def test_an_entry_has_a_file_a_name_and_perhaps_a_weight():
  found = functions.parse('my_rewards.py:score, lib/other.py:short*-0.5')
  assert found == (
    functions.Function('my_rewards.py', 'score', 1.0),
    functions.Function('lib/other.py', 'short', -0.5),
  )
  assert functions.parse('') == ()
  assert functions.files('a.py:x,a.py:y,b.py:z') == ['a.py', 'b.py']


@pytest.mark.parametrize(
  'text, why',
  [
    ('my_rewards:score', 'is not FILE.py:FUNCTION'),
    ('my_rewards.py', 'is not FILE.py:FUNCTION'),
    ('a.py:score()', 'is not FILE.py:FUNCTION'),
    ('{folder}/a.py', 'is not FILE.py:FUNCTION'),
    ('a.py:score*much', "'much' is no weight"),
    ('a.py:score*nan', "'nan' is no weight"),
    ('a.py:score*1e9', "'1e9' is no weight"),
    ('a.py:score,b.py:score', 'the name score is taken'),
    ('a.py:accuracy', 'the name accuracy is taken'),
  ],
)
def test_an_entry_that_is_none_is_refused_with_its_key(text, why):
  with pytest.raises(ValueError, match=rf'function=.*{re.escape(why)}'):
    service.RewardConfig(function=text)


def test_no_name_of_a_function_hides_a_metric():
  rewards = {name.partition('/')[2] for name in glossary.NAMES if name.startswith('reward/')}
  assert rewards == functions.TAKEN


def test_a_function_gets_those_lists_that_its_parameters_name(tmp_path):
  source = """
def score(texts, questions, answers, points, missing=None):
  assert missing is None
  rows = zip(texts, questions, answers, points)
  return [len(t) + 100 * (q == 'a question') + 1000 * (a == '7') + 10000 * p for t, q, a, p in rows]
"""
  items = _items('four', extra={'points': 3}) + _items('sixsix', extra={'points': 4})
  assert [v.score for v in _judged(tmp_path, source, items)] == [31104, 41106]


def test_a_function_written_for_trl_runs_as_it_is(tmp_path):
  # The shape of the documentation of another trainer: its own names, and all else by kwargs.
  source = """
def score(completions, prompts, solution, **kwargs):
  assert sorted(kwargs) == ['answers', 'level', 'questions', 'texts']
  return [-abs(4 - len(c)) if s == 'x' else 0 for c, p, s in zip(completions, prompts, solution)]

def by_dict(**kwargs):
  assert kwargs['prompts'] == kwargs['questions'] == ['a question'] * 3
  assert kwargs['completions'] == kwargs['texts']
  return [len(c) for c in kwargs['completions']]
"""
  items = _items('four', 'sixsix', extra={'solution': 'x', 'level': 2}) + _items('a')
  assert [v.score for v in _judged(tmp_path, source, items)] == [0, -2, 0]
  assert [v.score for v in _judged(tmp_path, source, items, 'by_dict')] == [4, 6, 1]


def test_other_answers_come_as_their_records(tmp_path):
  source = 'def score(answers):\n  return [answer.letter == "B" for answer in answers]'
  items = [service.Item('B', choice.Letter('B')), service.Item('B', choice.Letter('C'))]
  assert [v.score for v in _judged(tmp_path, source, items)] == [1.0, 0.0]


def test_columns_of_a_file_reach_the_function(tmp_path):
  (tmp_path / 'd.jsonl').write_text(
    '{"question": "1 + 1", "answer": "2", "hint": "two"}\n'
    '{"question": "1 + 2", "answer": "3", "tags": ["a"], "options": null}\n'
  )
  problems = jsonl.load(tmp_path / 'd.jsonl')
  assert [p.extra for p in problems] == [{'hint': 'two'}, {'tags': ['a'], 'options': None}]
  ones = np.ones((4, 1), np.int32)
  drawn = rollout.Rollout(((1,), (2,)), ones, ones.astype(np.float32), ones[:, 0], ones[:, 0] > 0)
  items = replies.items(['a', 'b', 'c', 'd'], problems, drawn)
  lists = functions.lists(items)
  assert lists['hint'] == ['two', 'two', None, None] and lists['tags'] == [None, None, ['a'], ['a']]
  assert lists['texts'] == ['a', 'b', 'c', 'd'] and lists['answers'] == ['2', '2', '3', '3']


def test_numbers_of_every_make_and_verdicts_are_taken(tmp_path):
  source = """
import fractions, numpy as np
from r1jax.rewards import verdict

def score(texts):
  return (True, 3, 0.25, np.float32(0.5), fractions.Fraction(1, 4),
          verdict.Verdict(0.75, verdict.Kind.WRONG, 'my reason'))

def array(texts):
  return np.arange(len(texts))
"""
  found = _judged(tmp_path, source, _items(*'abcdef'))
  assert [v.score for v in found] == [1, 3, 0.25, 0.5, 0.25, 0.75]
  assert found[5] == Verdict(0.75, Kind.WRONG, 'my reason')
  assert [str(v.kind) for v in found[:4]] == ['correct', 'correct', 'wrong', 'correct']
  assert [v.score for v in _judged(tmp_path, source, _items('a', 'b'), 'array')] == [0, 1]


def test_the_sum_has_the_weights_of_all_parts(tmp_path):
  (tmp_path / 'a.py').write_text('def long(texts): return [len(t) for t in texts]')
  (tmp_path / 'b.py').write_text('def one(texts): return [1] * len(texts)')
  both = f'{tmp_path}/a.py:long*-0.5,{tmp_path}/b.py:one*2'
  config = service.RewardConfig(accuracy=0.0, format=4.0, function=both)
  text = '<think>ab</think> <answer>7</answer>'
  with contextlib.closing(service.RewardService(config)) as rewards:
    (reward,) = rewards.submit([service.Item(text, '7')]).result()
    assert rewards.submit([]).result() == []
  assert list(reward.verdicts) == ['accuracy', 'format', 'long', 'one']
  assert reward.total == pytest.approx(4 - 0.5 * len(text) + 2)


@pytest.mark.parametrize(
  'body, why',
  [
    ('return [float("nan")] * 2', 'it gave nan for a completion'),
    ('return [1.0, float("inf")]', 'it gave inf for a completion'),
    ('return [1.0]', 'it returned 1 values for 2 completions'),
    ('return 1.0', 'it returned float 1.0, expected a list of 2 numbers'),
    ('pass', 'it returned NoneType None, expected a list of 2 numbers'),
    ('return {"a": 1, "b": 2}', 'it returned dict'),
    ('return {1.0, 0.5}', 'expected a list of 2 numbers in the order of texts'),
    ('return {"a": 1, "b": 2}.keys()', 'it returned dict_keys'),
    ('import numpy; return numpy.array(0.5)', 'it returned ndarray array(0.5), expected a list'),
    ('return ["1.0", "0.5"]', "it gave str '0.5' for a completion, expected a number or a Verdict"),
    ('return [None, None]', 'it gave NoneType None for a completion'),
    ('raise KeyError("gold")', "it raised KeyError: 'gold' (line 2)"),
    ('raise SystemExit(3)', 'it raised SystemExit: 3 (line 2)'),
    ('raise MemoryError', 'over the memory limit, reward.function_gib'),
    ('import os; os._exit(7)', 'the worker died twice on this item, exit status 7'),
    ('import time; time.sleep(600)', 'no answer within 2 s (reward.function_seconds)'),
    ('return score.absent', "it raised AttributeError: 'function' object has no attribute"),
  ],
)
def test_what_a_function_does_wrong_is_our_failure_in_one_line(tmp_path, body, why):
  found = _judged(tmp_path, f'def score(texts):\n  {body}', _items('a', 'b'), function_seconds=2.0)
  assert why in found[-1].why and found[-1].why.startswith(f'{tmp_path}/mine.py:score: ')
  assert found[-1].kind == Kind.VERIFIER_ERROR and '\n' not in found[-1].why


@pytest.mark.parametrize(
  'line, why',
  [
    ('def score()', 'it takes no list by its name, such as texts'),
    ('def score(*texts)', 'it takes no list by its name'),
    ('def score(texts, /)', 'its lists are given by their names: remove the /'),
    (
      'def score(texts):\n  yield 1\n  if texts',
      'it is a generator: give a function that returns a list',
    ),
    ('async def score(texts)', 'it is async: give a plain function'),
    ('async def score(texts):\n  yield 1\n  if texts', 'it is a generator: give a function'),
    ('class score(list)', 'it is a class: give a function'),
  ],
)
def test_what_cannot_be_called_with_lists_is_refused_when_the_run_begins(tmp_path, line, why):
  _refused(tmp_path, f'{line}: pass', why)


def _refused(tmp_path, source, why):
  """Asserts that a service of this file's `score` does not begin."""
  (tmp_path / 'mine.py').write_text(source)
  config = service.RewardConfig(function=f'{tmp_path}/mine.py:score')
  with pytest.raises(ValueError, match=why):
    service.RewardService(config)


KEEPING = """
import asyncio, functools, math

def kept(function):
  return functools.wraps(function)(lambda *args, **named: function(*args, **named))

def driven(function):
  return functools.wraps(function)(lambda *args, **named: asyncio.run(function(*args, **named)))

def listed(function):
  return functools.wraps(function)(lambda *args, **named: list(function(*args, **named)))

class Awaited:
  async def __call__(self, texts): pass

class Scores:
  def __init__(self, texts): pass

class Placed:
  def __call__(self, texts, /): pass

async def late(texts, hint): return [len(text) for text in texts]
def each(texts): yield from map(len, texts)
def placed(texts, /, most): pass
"""


@pytest.mark.parametrize(
  'value, why',
  [
    ('Awaited()', 'it is async'),
    ('functools.partial(Awaited())', 'it is async'),
    ('kept(late)', 'it is async'),
    ('kept(kept(each))', 'it is a generator'),
    ('functools.partial(kept(Awaited()))', 'it is async'),
    ('kept(Scores)', 'it is a class'),
    ('functools.partial(Awaited)', 'it is a class'),
    ('functools.partial(placed, most=3)', 'remove the / from the parameters of placed'),
    ('Placed()', 'remove the / from the parameters of Placed.__call__'),
    ('Placed().__call__', 'remove the / from the parameters of Placed.__call__'),
    ('len', 'len is compiled and takes nothing by its name: write a function around it'),
    ('functools.partial(math.fsum)', 'fsum is compiled and takes nothing by its name'),
    ('max', 'max is compiled and does not say its parameters: write a function around it'),
  ],
)
def test_what_is_behind_a_decorator_or_an_object_is_refused_too(tmp_path, value, why):
  _refused(tmp_path, f'{KEEPING}\nscore = {value}', why)


@pytest.mark.parametrize('value', ['driven(late)', 'listed(each)'])
def test_a_decorator_may_make_a_plain_function_of_another_kind(tmp_path, value):
  items = _items('four', 'sixsix', extra={'hint': ''})
  source = f'{KEEPING}\nscore = {value}'
  assert [v.score for v in _judged(tmp_path, source, items)] == [4, 6]


def test_a_function_that_takes_none_of_the_lists_is_told_which_there_are(tmp_path):
  # Until rows are there nobody knows that they have no column of that name.
  judged = _judged(tmp_path, 'def score(n=5): return [1.0, 1.0]', _items('a', 'b'))
  assert 'it takes none of the lists there are: texts, ' in judged[-1].why


def test_a_run_is_stopped_by_a_function_that_fails_with_its_reason(tmp_path):
  (tmp_path / 'mine.py').write_text('def score(texts, hint): return [1] * len(texts)')
  config = service.RewardConfig(function=f'{tmp_path}/mine.py:score')
  with (
    contextlib.closing(service.RewardService(config)) as rewards,
    pytest.raises(
      service.VerifierFailure,
      match=r"score: .*mine.py:score: its parameter 'hint' is none of the lists there are: texts",
    ),
  ):
    rewards.submit(_items(*'abcdefgh')).result()


def test_one_text_that_raises_costs_no_other_its_reward(tmp_path):
  source = 'def score(texts):\n  return [1 / len(text) for text in texts]'
  found = _judged(tmp_path, source, _items('ab', '', 'abcd'))
  assert [v.score for v in found] == [0.5, 0.0, 0.25]
  assert [v.scored for v in found] == [True, False, True]
  assert 'ZeroDivisionError: division by zero (line 2)' in found[1].why


def test_the_next_call_after_a_late_one_is_judged(tmp_path):
  path = tmp_path / 'mine.py'
  path.write_text('import time\ndef score(texts):\n  time.sleep(float(texts[0]))\n  return [1.0]')
  config = service.RewardConfig(
    function=f'{path}:score', function_seconds=2.0, max_verifier_error_rate=1.0
  )
  with contextlib.closing(service.RewardService(config)) as rewards:
    late, early = (rewards.submit(_items(wait)) for wait in ('60', '0'))
    assert not late.result()[0].scored and early.result()[0].verdicts['score'].score == 1
    assert rewards.metrics()['reward/worker_restarts'] == 1


@pytest.mark.parametrize(
  'source, why',
  [
    ('def other(texts): pass\ndef _hidden(): pass', 'it has no function score; there are other'),
    ('score = 3', 'it has no function score; there are none'),
    ('def score(texts:\n', 'it raised SyntaxError'),
    ('import nothing_of_this_name', "No module named 'nothing_of_this_name' (line 1)"),
    ('import time\ntime.sleep(600)', 'no answer within 2 s (reward.function_seconds)'),
  ],
)
def test_a_file_that_cannot_be_used_is_refused_before_anything_runs(tmp_path, source, why):
  (tmp_path / 'mine.py').write_text(source)
  config = service.RewardConfig(function=f'{tmp_path}/mine.py:score', function_seconds=2.0)
  began = time.monotonic()
  with pytest.raises(ValueError, match=rf'config.reward.function=.*:score: .*{re.escape(why)}'):
    service.RewardService(config)
  assert time.monotonic() - began < 500  # ended by the deadline, not by the file


def test_a_missing_file_is_refused(tmp_path):
  config = service.RewardConfig(function=f'{tmp_path}/absent.py:score')
  with pytest.raises(ValueError, match=r'absent.py: no such file \(config.reward.function\)'):
    service.RewardService(config)


def test_a_file_imports_its_neighbours_prints_and_reserves_addresses(tmp_path):
  (tmp_path / 'neighbour.py').write_text('VALUE = 0.5')
  source = """
import mmap, os, neighbour
# As torch does: 64 GiB of addresses that are never written, above the limit of memory.
reserved = mmap.mmap(-1, 64 << 30, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
print('x' * 1_000_000)
os.write(2, b'y' * 1_000_000)

def score(texts):
  print('x' * 1_000_000)
  return [neighbour.VALUE] * len(texts)
"""
  found = _judged(tmp_path, source, _items('a'), function_gib=0.5)
  assert found[0].score == 0.5


def test_memory_above_the_limit_is_refused_to_the_function(tmp_path):
  source = 'def score(texts):\n  return [len(bytearray(1 << 30))] * len(texts)'
  (found,) = _judged(tmp_path, source, _items('a'), function_gib=0.5)
  assert not found.scored and 'it raised MemoryError: over the memory limit' in found.why
  assert _judged(tmp_path, source, _items('a'), function_gib=4.0)[0].score == 1 << 30


def test_a_function_sees_the_variables_of_its_user(tmp_path, monkeypatch):
  monkeypatch.setenv('MY_CACHE', 'here')
  source = 'import os\ndef score(texts): return [os.environ["MY_CACHE"] == "here"]'
  assert _judged(tmp_path, source, _items('a'))[0].score == 1
