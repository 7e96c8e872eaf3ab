"""The score card on a subset: all attacks on text, some on code, fuzzed completions."""

import collections
import json
import subprocess
import sys

import pytest

from r1jax.rewards import golds, score_card, service
from r1jax.rewards.attacks import fuzz, table
from r1jax.rewards.code import attacks, isolation
from r1jax.rewards.verdict import Kind, Verdict

_QUICK = (
  'exit 0', 'hard exit 0', 'forged reports', 'closing every descriptor', 'signals to the parent',
  'forked survivor',
  'fork bomb', 'symbolic link out', 'abstract socket', 'spawned shell', 'endless output',
  'one huge allocation',
)  # fmt: skip
_QUICK_ESCAPES = ('double fork setsid', 'posix_spawn', 'cache write', 'fds', 'int80', 'io_uring')


def test_there_are_at_least_sixty_attacks_over_all_verifiers():
  texts = collections.Counter(row.kind for row in table.attacks())
  # Those on code are programs.
  assert texts.keys() == {*golds.NAMES, *table.TEXT} - {'code'}
  assert texts.total() >= 400 and len(attacks.load()) >= 60


def test_attacks_on_text_are_repelled():
  # Of the costly mathematics every fifth; the card runs all of them.
  maths = [row for row in table.attacks() if row.kind == 'math']
  rows = [row for row in table.attacks() if row.kind != 'math'] + maths[::5]
  assert [outcome for outcome in score_card.text_attacks(rows) if not outcome.repelled] == []


def test_completions_that_are_right_are_paid():
  assert table.rights()
  for row in table.rights():
    assert score_card.verdict(row).kind == Kind.CORRECT, row.name


@pytest.mark.parametrize(
  'record, why',
  [
    ({'kind': 'math', 'gold': '1', 'right': True}, 'expected a completion or an answer'),
    ({'kind': 'maths', 'gold': '1', 'answer': '1', 'right': True}, "field 'kind' holds 'maths'"),
    ({'kind': 'math', 'gold': '1', 'answer': '1', 'right': 1}, "field 'right' holds 1"),
    ({'kind': 'letter', 'gold': 'F', 'completion': 'F', 'right': True}, "'F', expected a letter"),
  ],
)
def test_a_bad_line_of_a_table_is_named(tmp_path, monkeypatch, record, why):
  good = {'kind': 'math', 'gold': '1', 'completion': ['<answer>', ['9', 3], '</answer>']}
  lines = map(json.dumps, (good | {'right': False}, record))
  (tmp_path / 'some.jsonl').write_text('\n'.join(lines))
  monkeypatch.setattr(table, 'FOLDER', tmp_path)
  with pytest.raises(ValueError, match=rf'some\.jsonl, line 2: .*{why}'):
    table.rows.__wrapped__()


def test_a_text_that_repeats_itself_is_written_once(tmp_path, monkeypatch):
  parts = ['<answer>', ['ab', 3], 'c</answer>']
  record = {'kind': 'math', 'gold': '1', 'completion': parts, 'right': False}
  (tmp_path / 'some.jsonl').write_text(json.dumps(record))
  monkeypatch.setattr(table, 'FOLDER', tmp_path)
  (row,) = table.rows.__wrapped__()
  assert row.completion == '<answer>abababc</answer>'


@pytest.mark.skipif(isolation.available() is None, reason=f'needs bubblewrap: {isolation.INSTALL}')
def test_attacks_on_the_code_verifier_are_repelled_and_leave_nothing():
  chosen = [
    a for a in attacks.load() if a.question != 'printed' or a.name in (*_QUICK, *_QUICK_ESCAPES)
  ]
  assert [outcome for outcome in score_card.code_attacks(chosen) if not outcome.repelled] == []
  assert attacks.leaks() == []


def test_a_paid_attack_a_failed_verifier_and_a_leak_are_each_not_repelled():
  paid, failed = Verdict(1.0, Kind.CORRECT), Verdict(0.0, Kind.VERIFIER_ERROR)
  assert not score_card._outcome('math', 'x', paid).repelled
  assert not score_card._outcome('math', 'x', failed).repelled
  assert not score_card._outcome('code', 'x', Verdict(0.0, Kind.WRONG), ['process 1']).repelled
  assert score_card._outcome('code', 'x', Verdict(0.0, Kind.WRONG)).repelled


def test_pairs_from_a_published_solution_hold_its_result_and_its_other_numbers():
  found = score_card.from_solution('16 - 3 = <<16-3=13>>13\n13 * 2 = <<13*2=26>>26\n#### 26')
  assert ('26', '$26', True) in found and ('26', '13', False) in found


def _fuzzed(count):
  rewards = service.RewardService(service.RewardConfig(language=1.0, repetition=1.0))
  sizes = []
  try:
    items = [service.Item(*pair) for pair in fuzz.completions(count, seed=count)]
    for start in range(0, count, 500):
      for reward in rewards.submit(items[start : start + 500]).result():
        assert all(
          0 <= v.score <= 1 and v.kind != Kind.VERIFIER_ERROR for v in reward.verdicts.values()
        )
      sizes.append(max(map(_resident_mib, rewards._pool.pids())))
  finally:
    rewards.close()
  return sizes


def _resident_mib(pid):
  with open(f'/proc/{pid}/status') as status:
    return next(int(line.split()[1]) for line in status if line.startswith('VmRSS')) >> 10


def test_fuzzed_completions_get_defined_verdicts():
  _fuzzed(1000)


@pytest.mark.slow
def test_ten_thousand_fuzzed_completions_get_defined_verdicts_without_growth():
  sizes = _fuzzed(10_000)
  assert max(sizes) < 200 and sizes[-1] < sizes[2] + 30, sizes


@pytest.mark.slow
def test_the_command_writes_the_card_with_the_agreed_keys(tmp_path):
  command = [sys.executable, '-m', 'r1jax.evaluate', '--verifiers', f'--json={tmp_path}/card.json']
  assert subprocess.run(command, timeout=300).returncode == 0
  card = json.loads((tmp_path / 'card.json').read_text())
  assert list(card) == [
    'attacks_total', 'attacks_repelled', 'false_positives', 'false_negatives', 'labelled',
    'latency_ms_p50',
    'latency_ms_p99',
  ]  # fmt: skip
  assert card['attacks_total'] == card['attacks_repelled'] >= 60
