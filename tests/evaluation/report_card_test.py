"""Report cards and the report of the stages, against counts made by hand."""

import json

import numpy as np
import pytest

from r1jax.algorithms import filtering
from r1jax.data.problem import Problem
from r1jax.evaluation import replies, report_card
from r1jax.rewards import service, verdict
from r1jax.runs.report import published, stages
from r1jax.sampling import rollout
from tests.runs.report import finished

GOOD = ' <think> so we add </think> <answer> 7 </answer>'
MIXED = ' <think> so we 加 </think> <answer> 7 </answer>'
BARE = ' the answer is 7, wait'


def answers(texts_PG, correct_PG, kinds, languages):
  """Answers with these texts and scores, all of 10 tokens."""
  problems = [
    Problem(f'question {p}', '7', kind, 1, language=language)
    for p, (kind, language) in enumerate(zip(kinds, languages))
  ]
  verdicts = lambda c, t: {
    'accuracy': verdict.Verdict(c, 'correct' if c else 'wrong'),
    'format': verdict.Verdict(float(t != BARE), 'correct'),
  }
  texts = [text for row in texts_PG for text in row]
  scores = [
    service.Reward(verdicts(c, t), c) for c, t in zip([c for row in correct_PG for c in row], texts)
  ]
  length_B = np.arange(len(texts)) + 10
  empty_BT = np.zeros((len(texts), 1))
  drawn = rollout.Rollout(((),) * len(problems), empty_BT, empty_BT, length_B, length_B < 12)
  return replies.Replies(tuple(problems), drawn, tuple(texts), tuple(scores))


@pytest.fixture
def card():
  found = answers(
    [[GOOD, GOOD], [MIXED, BARE], [GOOD, MIXED]],
    [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]],
    ['words', 'words', 'units'],
    ['en', 'en', 'zh'],
  )
  return report_card.figures(found, filtering.FilterConfig())


def test_a_card_counts_by_domain_and_language(card):
  assert card['accuracy']['mean'] == pytest.approx(0.5)
  assert card['accuracy']['questions'] == 3 and card['accuracy']['samples'] == 6
  assert {k: v['mean'] for k, v in card['domains'].items()} == {'units': 0.0, 'words': 0.75}
  assert {k: v['mean'] for k, v in card['languages'].items()} == {'en': 0.75, 'zh': 0.0}
  assert card['rates'] == [0.5, 1.0, 0.0]


def test_readable_means_formed_in_one_language_and_ended(card):
  assert card['readability']['mean'] == pytest.approx(2 / 6)  # the first two; later ones are cut
  assert card['format'] == pytest.approx(5 / 6) and card['truncated'] == pytest.approx(4 / 6)
  # Thoughts with words: 1, 1, 2/3, 0 (English asked in Chinese), 1/3.
  assert card['language'] == pytest.approx(3 / 5) and card['mixed'] == pytest.approx(3 / 5)
  assert card['wait'] == pytest.approx(1 / 6) and card['length'] == 12.5
  json.dumps(card, allow_nan=False)


def test_a_difference_is_paired_over_questions():
  rng = np.random.default_rng(0)
  before = rng.random(200)
  after = np.clip(before + rng.normal(0.05, 0.1, 200), 0, 1)
  found = report_card.difference(before.tolist(), after.tolist())
  change = after - before
  assert found.mean == pytest.approx(change.mean()) and found.verdict == 'higher'
  error = change.std(ddof=1) / np.sqrt(200)
  assert found.high - found.low == pytest.approx(2 * 1.972 * error, rel=1e-3)
  one = report_card.difference([1.0, None], [0.5, 0.5])
  assert (one.mean, one.low, one.high) == (-0.5, -1.0, 1.0)
  with pytest.raises(ValueError):
    report_card.difference([1.0], [1.0, 0.0])


def models(folder, card):
  """Folders of a pipeline whose later models answer everything."""
  better = card | {
    'rates': [1.0, 1.0, 1.0],
    'accuracy': card['accuracy'] | {'mean': 1.0, 'ci95': [card['accuracy']['ci95'][0], 1.0]},
  }
  return finished.pipeline(folder, {n: card if n == 'base' else better for n in finished.MODELS})


def test_the_report_has_every_figure_and_is_the_same_each_time(tmp_path, card):
  inputs = models(tmp_path / 'run', card)
  for name in ('first', 'second'):
    stages.write(tmp_path / name, inputs)
  for name in ('report.json', 'report.html', 'report.png'):
    assert (tmp_path / 'first' / name).read_bytes() == (tmp_path / 'second' / name).read_bytes()
  content = json.loads((tmp_path / 'first' / 'report.json').read_text())
  assert list(content['models']) == ['base', 'r1_zero', 'dev1', 'dev2', 'dev3', 'r1']
  assert content['r1_zero']['rollout/wait']['steps'] == [1, 2, 3, 4, 5]
  assert content['data'] == {
    name: {'kept': 3, 'model': 'a', 'flops': 5e9} for name in ('cold_start', 'rejection')
  }
  page = (tmp_path / 'first' / 'report.html').read_text()
  assert '80.0 %' in page and '30.0 %' in page  # helpfulness of R1 and Dev3
  assert 'q &lt;b&gt;' in page and '&lt;think&gt; a' in page and '<b>q' not in page
  assert (tmp_path / 'first' / 'report.png').read_bytes().startswith(b'\x89PNG')


def test_claims_stand_beside_the_papers_scores_and_are_made_only_where_shown(tmp_path, card):
  inputs = models(tmp_path, card)
  found = {c['claim']: c for c in stages.gather(inputs)['claims']}
  fall = found['cold-start SFT is below R1-Zero']
  assert (fall['paper']['before'], fall['paper']['after']) == (77.9, 59.0)
  assert fall['verdict'] == 'no difference shown' and fall['ours']['change'] == 0
  first = found['RL alone lifts accuracy from the base']
  assert first['ours']['change'] == pytest.approx(0.5)
  assert first['verdict'] == 'no difference shown'  # three questions show nothing
  assert published.change('ArenaHard', 'dev3', 'r1') == (75.6, 92.3)
