"""The replies kept for reading hold everything, exactly, within their space, or aren't there."""

import contextlib
import json
import math

import numpy as np
import pytest

from r1jax.data import problem, prompts, tokenizer
from r1jax.evaluation import replies as replies_lib
from r1jax.evaluation.exam import answers
from r1jax.rewards import choice, json_value, puzzles, request, service
from r1jax.rewards import code as code_lib
from r1jax.sampling import rollout
from r1jax.stages import sample_files, sample_log
from tests import small_runs

BASE = small_runs.ROOT / 'r1jax' / 'assets' / 'tiny_base'
RIGHT, WRONG = ' <think> 1 + 1 = 2 </think> <answer> 2 </answer>', ' <think> é </think> 3'
OTHER = ' <think> so </think> <answer> 13 </answer>'


@pytest.fixture(scope='module')
def tok():
  """The tokenizer of the shipped base."""
  return tokenizer.load(BASE)


def _replies(tok, texts, questions=1, stopped=True):
  """`texts` as the replies to `questions` sums whose answer is 2, judged as R1-Zero's are."""
  ids = [tok.encode(text) for text in texts]
  width = max(map(len, ids))
  token_BT = np.array([one + [0] * (width - len(one)) for one in ids], np.int32)
  logp_BT = -np.random.default_rng(0).random(token_BT.shape).astype('f4')
  asked = tuple(problem.Problem(f'What is 1 + 1 ({n})', '2', 'sum', 1) for n in range(questions))
  with contextlib.closing(service.RewardService()) as judge:
    scores = judge.submit([service.Item(text, '2') for text in texts]).result()
  out = rollout.Rollout(
    tuple(prompts.Form(tok).put(one.question).ids for one in asked),
    token_BT,
    logp_BT,
    np.array([len(one) for one in ids], np.int32),
    np.full(len(ids), stopped),
  )
  return replies_lib.Replies(asked, out, tuple(texts), tuple(scores))


def _learned(replies, gap=0.25):
  logp_BT = replies.rollout.logp_BT + np.float32(gap)
  return sample_log.Learned(np.linspace(-1, 1, len(replies.texts), dtype='f4'), logp_BT, 7)


def _log(folder, tok, mib=8):
  return sample_log.Log(folder, prompts.Form(tok), 'tags', mib)


def _rows(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_says_what_was_asked_expected_read_and_why_it_earned_that(tmp_path, tok):
  replies = _replies(tok, [RIGHT, OTHER, WRONG], stopped=False)
  path = _log(tmp_path, tok).write('step', 10, replies, _learned(replies))
  assert path == tmp_path / 'samples' / 'step_000010.jsonl'
  right, other, wrong = _rows(path)
  assert right['question'] == 'What is 1 + 1 (0)' and right['kind'] == 'sum'
  assert [row['expected'] for row in (right, other, wrong)] == ['2'] * 3
  assert [row['extracted'] for row in (right, other, wrong)] == ['2', '13', None]
  assert other['rewards']['accuracy'] == {
    'score': 0.0,
    'kind': 'wrong',
    'why': 'expected 2, got 13',
  }
  assert wrong['rewards']['accuracy']['kind'] == 'unparseable' and wrong['rewards']['format']['why']
  assert right['reward'] == 2.0 and right['completion'] == RIGHT and right['truncated'] is True
  assert (right['advantage'], right['version'], right['sample'], wrong['index']) == (-1, 7, 0, 2)
  assert right['logp_gap_mean'] == pytest.approx(0.25) == right['logp_gap_max']
  assert right['prompt'].endswith('User: What is 1 + 1 (0). Assistant:')


def test_an_examination_has_the_same_rows_without_what_is_learned(tmp_path, tok):
  replies = _replies(tok, [RIGHT, WRONG])
  path = _log(tmp_path, tok).write('heldout', 0, replies)
  rows = _rows(path)
  assert path.name == 'heldout_000000.jsonl' and rows[0]['extracted'] == '2'
  assert not {'advantage', 'version', 'logp_gap_max'} & set(rows[0])
  assert set(sample_files.Tokens(path).of(1)) == {'token', 'text_end', 'sampler_logp'}


def test_the_side_file_has_the_tokens_of_each_row_as_the_same_float32(tmp_path, tok):
  replies = _replies(tok, [RIGHT, WRONG])
  learned = _learned(replies, gap=1e-7)
  path = _log(tmp_path, tok).write('step', 1, replies, learned)
  tokens = sample_files.Tokens(path)
  assert len(tokens) == 2
  for b, row in enumerate(_rows(path)):
    one, length = tokens.of(row['index']), row['length']
    assert np.array_equal(one['token'], replies.rollout.completion(b))
    assert np.array_equal(one['sampler_logp'], replies.rollout.logp_BT[b, :length])
    assert np.array_equal(one['trainer_logp'], learned.trainer_logp_BT[b, :length])
    assert one['text_end'][-1] == len(row['completion'])


def test_what_json_cannot_say_becomes_null(tmp_path, tok):
  replies = _replies(tok, [RIGHT, WRONG])
  learned = _learned(replies)
  learned.trainer_logp_BT[0, 0] = -np.inf
  learned.advantage_B[1] = math.nan
  rows = _rows(_log(tmp_path, tok).write('step', 1, replies, learned))
  assert rows[0]['logp_gap_max'] is None and rows[1]['advantage'] is None


def test_a_write_that_dies_leaves_no_rows(tmp_path, tok, monkeypatch):
  replies = _replies(tok, [RIGHT])
  monkeypatch.setattr(sample_log.answers, 'expected', lambda answer: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    _log(tmp_path, tok).write('step', 1, replies)
  assert sample_files.found(tmp_path / 'samples') == []


def test_a_damaged_side_file_is_named(tmp_path, tok):
  path = _log(tmp_path, tok).write('step', 1, _replies(tok, [RIGHT]))
  path.with_suffix('.npz').write_bytes(b'no zip')
  with pytest.raises(ValueError, match=r'step_000001\.npz: no tokens can be read'):
    sample_files.Tokens(path)
  # Its beginning is there, its end is not.
  whole = _log(tmp_path, tok).write('step', 2, _replies(tok, [RIGHT])).with_suffix('.npz')
  whole.write_bytes(whole.read_bytes()[:200])
  with pytest.raises(ValueError, match=r'step_000002\.npz: no tokens can be read'):
    sample_files.Tokens(whole)


def test_rows_whose_end_is_cut_off_are_named(tmp_path, tok):
  path = _log(tmp_path, tok).write('step', 1, _replies(tok, [RIGHT, RIGHT]))
  kept = sample_files.Kept(1, 'step', path)
  assert len(kept.rows()) == 2
  path.write_bytes(path.read_bytes()[:-9])
  with pytest.raises(ValueError, match=r'step_000001\.jsonl: its end is cut off; restore it'):
    kept.rows()


def test_the_text_of_each_token_is_what_it_adds_to_those_before_it(tok):
  texts = [RIGHT, WRONG, '数学 😀 ok', 'naïve  \n\n <answer>']
  for text in texts:
    ids = tok.encode(text)
    ends = sample_log.text_ends(tok.decode, ids, text)
    assert ends[-1] == len(text) and (np.diff(ends) >= 0).all()
    for number, end in enumerate(ends, 1):
      said = tok.decode(ids[:number])
      # The bytes of a character that is not whole are a replacement sign, which counts later.
      assert text[:end] == said.rstrip('\ufffd')


def test_any_ids_have_ends_within_the_text(tok):
  rng = np.random.default_rng(0)
  for _ in range(20):
    ids = rng.integers(0, tok.vocab_size, 60)
    text = f'<think>\n{tok.decode(ids)}'
    ends = sample_log.text_ends(tok.decode, ids, text)
    assert ends[-1] == len(text) and (np.diff(ends) >= 0).all() and len(ends) == 60


@pytest.mark.parametrize(
  'answer, text',
  [
    ('1/2', '1/2'),
    (choice.Letter('B', 'ABCD'), 'B'),
    (puzzles.Order(('Ann', 'Bob')), '["Ann", "Bob"]'),
    (puzzles.Numbers((1, 2), 3), '{"numbers": [1, 2], "target": 3, "use_all": true}'),
    (json_value.Json('{"a": 1}'), '{"a": 1}'),
    (request.Query(request.KINDS[0]), ''),
  ],
)
def test_every_kind_of_answer_is_expected_as_text(answer, text):
  assert answers.expected(answer) == text


def test_the_tests_of_a_program_are_cut_to_a_line_that_can_be_read():
  rows = [{'stdin': '1 2\n' * 200, 'stdout': '3\n'}]
  gold, _ = code_lib.Tests.read({'tests': rows}, '')
  text = answers.expected(gold)
  assert len(text) == 502 and text.endswith(' …')


def test_a_rollout_beyond_a_quarter_of_the_space_keeps_whole_groups_evenly(tmp_path, tok):
  replies = _replies(tok, [RIGHT + ' ' * 300] * 128, questions=32)
  rows = _rows(_log(tmp_path, tok, mib=1).write('step', 0, replies))
  groups = sorted({row['group'] for row in rows})
  assert groups[0] == 0 and groups[-1] == 31 and 2 <= len(groups) < 32
  assert len(rows) == 4 * len(groups) and [row['index'] for row in rows] == [*range(len(rows))]
  gaps = np.diff(groups)
  assert gaps.max() - gaps.min() <= 1


def test_the_space_of_a_run_holds_and_its_ends_and_an_even_course_stay(tmp_path, tok):
  replies, log = _replies(tok, [RIGHT * 10] * 64), _log(tmp_path, tok, mib=1)
  for step in range(0, 100, 5):
    path = log.write('step', step, replies)
    assert sum(file.stat().st_size for file in path.parent.iterdir()) <= 1 << 20
  steps = [kept.step for kept in sample_files.found(tmp_path / 'samples')]
  assert steps[0] == 0 and steps[-1] == 95 and 4 < len(steps) < 20
  assert all(kept.tokens() for kept in sample_files.found(path.parent))
  # The last gap ends wherever the run is.
  gaps = np.diff(steps[:-1])
  assert gaps.max() <= 2 * gaps.min()


def test_other_files_of_the_folder_are_left_alone(tmp_path, tok):
  folder = tmp_path / 'samples'
  folder.mkdir()
  (folder / 'part_000000.jsonl').write_text('x' * (2 << 20))
  for step in range(4):
    _log(tmp_path, tok, mib=1).write('step', step, _replies(tok, [RIGHT]))
  assert (folder / 'part_000000.jsonl').exists() and len(sample_files.found(folder)) == 4
