"""The page holds all of a run, needs nothing from elsewhere, and obeys nothing of its texts.

What a browser does is tested in a headless Chromium where there is one, what its script decides in
Node where there is that.
"""

import dataclasses
import html
import json
import pathlib
import re
import shutil
import subprocess
import xml.etree.ElementTree

import numpy as np
import pytest

from r1jax.runs.show import drawing, page, reading
from tests.runs.show import folders

SCRIPT = pathlib.Path(page.__file__).resolve().parents[2] / 'assets' / 'show' / 'page.js'
EVIL = '</script><script>document.title="OWNED"</script><img src=x onerror=document.title="OWNED">'
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
NODE = shutil.which('node')
needs_browser = pytest.mark.skipif(not BROWSER, reason=f'none of {", ".join(BROWSERS)} is here')
needs_node = pytest.mark.skipif(not NODE, reason='node is not here')


def _data(text):
  """The object that the script of a page reads."""
  return json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])


def _run(folder, **options):
  return reading.read(folders.write(folder, **options))


def _summary(text):
  """The summary of a run whose examples say `text`."""
  one = {'ci95': [0.1, 0.3], 'format_rate': 0.5, 'mean_length': 9.0, 'questions': 8, 'samples': 32}
  said = {'completion': text, 'read': text, 'kind': 'wrong', 'why': text}
  example = {'what': 'failed', 'chosen': text, 'question': text, 'expected': text}
  change = {'mean': 0.4, 'ci95': [0.2, 0.6], 'p': 0.001, 'questions': 8, 'verdict': 'better'}
  return {
    'before': one | {'pass@1': 0.2}, 'after': one | {'pass@1': 0.6},
    'change': {'pass@1': change, 'content': None},
    'examples': [example | {'before': said, 'after': said}],
    'seconds': {'updates': 30.0, 'rest': 10.0, 'whole': 40.0},
  }  # fmt: skip


def test_the_end_is_told_and_nothing_in_it_is_obeyed(tmp_path):
  text = page.build([_run(tmp_path / 'run', summary=_summary(EVIL))])
  assert 'The trained policy is better (paired permutation test' in text
  assert '+40.0 <span>[+20.0, +60.0]</span>' in text
  assert 'Where 0:40 of wall time went' in text and '30.0 s' in text
  assert EVIL not in text and html.escape(EVIL, quote=False)[:30] in text


def test_last_values_lie_over_none_another():
  rows = [{'step': n, 'parity/logp_mean': 1e-8, 'parity/logp_max': 1e-7 * n} for n in range(1, 9)]
  rows[2]['parity/logp_max'] = 1.0
  run = dataclasses.make_dataclass('Run', ('rows',))(rows)
  panel = next(one for one in drawing.PANELS if len(one.names) > 1)
  found = re.findall(r'<text class="f0" x="([\d.]+)" y="([\d.]+)"', drawing.panel([run], panel))
  (x, first), (other, second) = found
  assert x == other and abs(float(first) - float(second)) >= 12


def test_every_reply_is_there_with_its_reasons(tmp_path):
  text = page.build([_run(tmp_path / 'run')])
  data = _data(text)
  assert len(data['replies']) == 64 and data['runs'] == ['run']
  wrong = data['replies'][1]
  assert wrong['verdict'] == 'wrong' and wrong['why'] == 'accuracy: expected 4, got 5'
  assert (wrong['read'], wrong['advantage'], wrong['place']) == ('5', -1.0, 'rollout 98')
  assert data['questions'][wrong['question']] == {
    'text': 'What is 7 - 3 (0)', 'kind': 'sum', 'expected': '4',
  }  # fmt: skip
  assert 'find nothing wrong' in text and '64 of 64 kept replies' in text


def test_nothing_is_loaded_from_elsewhere(tmp_path):
  text = page.build([_run(tmp_path / 'run')])
  without = text.replace('http-equiv', '')
  assert not re.search(r'https?://|@import|url\(|<link|src=', without)
  assert "default-src 'none'" in text


def test_what_the_texts_say_is_never_markup(tmp_path):
  kept = {'step_000000': folders.samples((EVIL,), question=EVIL, expected=EVIL, kind=EVIL)}
  run = _run(tmp_path / 'run', kept=kept, checkpoint=EVIL)
  text = page.build([run])
  assert _data(text)['replies'][0]['text'] == EVIL
  # Outside of the data it stands as text, in the table and in the facts of the run.
  assert '<img' not in text and text.count('</script>') == 2
  assert text.count(html.escape(EVIL, quote=False).replace('"', '&#34;')) >= 3


@pytest.mark.parametrize('most', [1, 40, 100, 10_000])
def test_a_page_takes_whole_groups_evenly_and_no_more_than_asked(tmp_path, most):
  kept = {f'step_{step:06d}': folders.samples(step=step) for step in range(0, 100, 10)}
  run = _run(tmp_path / 'run', kept=kept)
  chosen, total = page.chosen_replies(run, most)
  assert total == 320
  counts = [len(rows) for _, rows in chosen]
  assert all(count % 4 == 0 for count in counts) and sum(counts) <= max(most, 4 * len(counts))
  assert min(counts) >= 4 and max(counts) - min(counts) <= 4 or most > total
  assert sum(counts) == total or most <= total


def test_a_page_without_replies_has_the_rest(tmp_path):
  text = page.build([_run(tmp_path / 'run')], 0)
  assert _data(text)['replies'] == [] and '0 of 64 kept replies' in text and '<svg' in text


def test_of_many_steps_the_first_and_the_last_are_among_those_shown(tmp_path):
  kept = {f'step_{step:06d}': folders.samples(step=step) for step in range(60)}
  chosen, _ = page.chosen_replies(_run(tmp_path / 'run', kept=kept), 2000)
  steps = [one.step for one, _ in chosen]
  assert steps[0] == 0 and steps[-1] == 59 and len(steps) == 24


def test_tokens_are_shaded_by_what_the_side_file_says(tmp_path):
  run = _run(tmp_path / 'run', kept={'step_000000': folders.samples()[:2]})
  text_end = np.array([6, len(folders.PAID), 4, len(folders.WRONG)], np.int32)
  sampler = np.array([-0.5, -0.25, -np.inf, 0], np.float32)
  np.savez_compressed(
    run.kept[0].path.with_suffix('.npz'),
    first=np.array([0, 2, 4]),
    token=np.arange(4),
    text_end=text_end,
    sampler_logp=sampler,
    trainer_logp=sampler + np.float32(0.125),
  )
  one, other = _data(page.build([run]))['replies']
  assert one['ends'] == [6, len(folders.PAID)] and one['surprise'] == [0.5, 0.25]
  assert one['gap'] == [0.125, 0.125] and other['surprise'][0] == 99.0


def test_two_runs_share_a_page(tmp_path):
  runs = [_run(tmp_path / 'a'), _run(tmp_path / 'b', rl__rows=8)]
  text = page.build(runs)
  data = _data(text)
  assert {reply['run'] for reply in data['replies']} == {0, 1}
  assert '<td>rl.rows</td><td>16</td><td>8</td>' in text and 's1' in text


def test_a_run_without_anything_has_a_page(tmp_path):
  run = _run(tmp_path / 'run', figures=[], kept={})
  page.write(tmp_path / 'page.html', [run])
  assert _data((tmp_path / 'page.html').read_text())['replies'] == []


def test_panels_are_pictures_with_lines_bands_and_held_out_intervals(tmp_path):
  figures = folders.rows()
  figures[49] |= {'eval/pass_at_1': 0.5, 'eval/pass_at_1_low': 0.4, 'eval/pass_at_1_high': 0.6}
  drawn = drawing.panels([_run(tmp_path / 'run', figures=figures)])
  assert len(drawn) == 10
  roots = [xml.etree.ElementTree.fromstring(text) for text in drawn]
  assert all(root.find('.//path[@class="line s0"]') is not None for root in roots)
  accuracy, reward = roots[0], roots[2]
  assert accuracy.find('.//circle/title').text.startswith('held out, after update 50: 50.0%')
  interval = accuracy.find('.//line[@class="interval s0"]')
  assert float(interval.get('y2')) < float(accuracy.find('.//circle').get('cy'))
  # The reward's axis ends at what can be earned.
  assert '2' in [text.text for text in reward.iter('text')]


def test_smoothing_is_the_mean_of_the_neighbours():
  values = np.random.default_rng(0).normal(size=100)
  steps, mean, spread = drawing.smooth(range(100), values)
  assert list(steps) == list(range(100))
  np.testing.assert_allclose(mean[50], values[46:55].mean())
  np.testing.assert_allclose(spread[50], values[46:55].std())
  np.testing.assert_allclose(mean[0], values[:5].mean())
  assert len(drawing.smooth(range(5000), np.zeros(5000))[0]) == 200


def node(expression):
  """The value of an expression over the functions of the script, by way of JSON."""
  program = f'const p = require({str(SCRIPT)!r}); console.log(JSON.stringify({expression}))'
  done = subprocess.run([NODE, '-e', program], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


@needs_node
def test_the_pieces_of_a_reply_are_all_of_it_in_order():
  text = ' <think> 7 - 3 </think> <answer> 4 </answer> x'
  for ends in ([], [8, 10, 12, 14, 23, 32, 34, len(text)], [4, len(text)]):
    found = node(f'p.pieces({json.dumps(text)}, {json.dumps(ends)})')
    assert ''.join(text[one['from'] : one['to']] for one in found) == text
    named = {name: ''.join(text[one['from'] : one['to']] for one in found if one['name'] == name)
             for name in ('thought', 'answer')}  # fmt: skip
    assert named == {'thought': ' 7 - 3 ', 'answer': ' 4 '}
    for one in found if ends else ():
      begin = ends[one['token'] - 1] if one['token'] else 0
      assert begin <= one['from'] < one['to'] <= ends[one['token']]


@needs_node
@pytest.mark.parametrize(
  'state, right',
  [
    ({}, True), ({'verdict': 'wrong'}, True), ({'verdict': 'correct'}, False),
    ({'text': 'EXPECTED 4'}, True), ({'text': 'seven'}, True), ({'text': 'nine'}, False),
    ({'step': 'rollout 0'}, True), ({'step': 'rollout 8'}, False), ({'kind': 'sum'}, True),
    ({'kind': 'product'}, False), ({'run': '1'}, False), ({'ask': 'Seven - 3?'}, True),
    ({'ask': 'Seven'}, False),
  ],
)  # fmt: skip
def test_a_filter_keeps_what_is_asked_for(state, right):
  reply = {
    'question': 0, 'verdict': 'wrong', 'place': 'rollout 0', 'run': 0, 'text': 'so 5',
    'why': 'accuracy: expected 4, got 5', 'read': None,
  }  # fmt: skip
  questions = [{'text': 'Seven - 3?', 'kind': 'sum', 'expected': '4'}]
  arguments = f'{json.dumps(reply)}, {json.dumps(state)}, {json.dumps(questions)}'
  assert node(f'p.matches({arguments})') == right


@needs_node
def test_a_view_can_be_sent_on_as_an_address():
  state = {'verdict': 'wrong', 'text': 'a & b = "c"', 'open': '7'}
  full = {key: '' for key in ('verdict', 'step', 'kind', 'run', 'text', 'shade', 'ask', 'open')}
  assert node(f'p.wanted(p.address({json.dumps(state)}))') == full | state


def dumped(path, fragment=''):
  """The page as a browser has it when its script has run."""
  command = [BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--dump-dom']
  done = subprocess.run(
    [*command, f'file://{path}{fragment}'], capture_output=True, text=True, timeout=120
  )
  return done.stdout


@needs_browser
def test_in_a_browser_a_filter_leaves_what_it_says(tmp_path):
  path = tmp_path / 'page.html'
  page.write(path, [_run(tmp_path / 'run')])
  whole, wrong = dumped(path), dumped(path, '#verdict=wrong&step=rollout+98')
  assert '64 of 64 replies' in whole and whole.count('<article') == 64
  assert '16 of 64 replies' in wrong and wrong.count('<article') == 16
  assert 'reply correct' not in wrong and 'What is 7 - 3 (0)' in wrong


@needs_browser
def test_in_a_browser_a_reply_opens_with_every_part_of_its_reward(tmp_path):
  path = tmp_path / 'page.html'
  page.write(path, [_run(tmp_path / 'run')])
  shown = dumped(path, '#open=1&shade=reward')
  assert shown.count('reply wrong open') == 1 and shown.count('class="more"') == 1
  assert '<th>accuracy</th><td>0 wrong: expected 4, got 5</td>' in shown
  assert 'color-mix' in shown and '<span class="thought"' in shown


@needs_browser
def test_in_a_browser_a_hostile_question_stays_text(tmp_path):
  path = tmp_path / 'page.html'
  kept = {'step_000000': folders.samples((EVIL,), question=EVIL, expected=EVIL, kind=EVIL)}
  page.write(path, [_run(tmp_path / 'run', kept=kept)])
  shown = dumped(path, '#text=' + 'script')
  assert '32 of 32 replies' in shown and '<title>run</title>' in shown
  assert '<img' not in shown and '&lt;img src=x' in shown
