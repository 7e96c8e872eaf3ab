"""The command: one program for all calls, a killed examination that goes on, honest refusals."""

import json
import re
import shlex
import typing

import pytest

from r1jax import evaluate
from r1jax.evaluation.exam import draw, examination, result
from r1jax.experiments import r1_zero
from r1jax.rewards import service
from r1jax.runs import opening
from r1jax.sampling import sample
from tests import shared_data

TINY = ['--checkpoint=tiny', '--max_tokens=12', '--batch=8']
WORLD = [*TINY, '--benchmark=tiny_world', '--questions=6', '--samples=4']


def outputs(path):
  """The result without what depends on the clock and the machine, and the samples' bytes."""
  content = result.read(path)
  del content['environment']
  return content, (path.parent / f'{path.stem}.samples.jsonl').read_bytes()


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  path = tmp_path_factory.mktemp('finished') / 'a.json'
  assert evaluate.main([*WORLD, f'--output={path}']) == 0
  return path


def test_every_reply_is_on_file_with_its_mark(finished):
  content, samples = outputs(finished)
  header, *rows = map(json.loads, samples.splitlines())
  assert len(rows) == 24 and {(r['question'], r['sample']) for r in rows} == {
    (p, g) for p in range(6) for g in range(4)
  }
  assert header == {key: content[key] for key in header}
  correct = sum(row['kind'] == 'correct' for row in rows)
  assert content['figures']['pass@1']['mean'] == pytest.approx(correct / 24)
  assert all(row['tokens'] <= 12 and row['completion'] for row in rows)
  asked = [one['question'] for one in content['per_question']]
  assert all(row['asked'] == asked[row['question']] and row['expected'] for row in rows)
  assert content['protocol']['temperature'] == 0.6 and content['protocol']['top_p'] == 0.95


def test_all_calls_are_one_program(finished, tmp_path):
  before = sample.decode._cache_size()
  assert evaluate.main([*WORLD, '--seed=1', f'--output={tmp_path}/b.json']) == 0
  assert sample.decode._cache_size() == before


def test_a_killed_examination_ends_as_one_that_was_not(finished, tmp_path, monkeypatch, capsys):
  path = tmp_path / 'a.json'
  marked = draw._append

  def killed(file, rows):
    if rows[0]['question'] > 0:
      file.write(b'{"question": 2, "sample": 0, "torn')
      raise KeyboardInterrupt
    marked(file, rows)

  monkeypatch.setattr(draw, '_append', killed)
  assert evaluate.main([*WORLD, f'--output={path}']) == 130
  assert not path.exists()
  monkeypatch.setattr(draw, '_append', marked)
  drawn = []
  original = draw._draw
  monkeypatch.setattr(draw, '_draw', lambda *given: drawn.append(given[2]) or original(*given))
  assert evaluate.main([*WORLD, f'--output={path}']) == 0
  assert '1 of 3 calls are in' in capsys.readouterr().out
  assert [part for part, _ in drawn] == [(2, 3), (4, 5)]
  assert outputs(path) == outputs(finished)


def test_a_finished_examination_is_not_drawn_again(finished, monkeypatch, capsys):
  before = outputs(finished)
  monkeypatch.setattr(draw, '_draw', lambda *given: pytest.fail('drawn again'))
  assert evaluate.main([*WORLD, f'--output={finished}']) == 0
  assert outputs(finished) == before
  assert evaluate.main([*WORLD, f'--output={finished}', '--interval=bootstrap']) == 0
  assert outputs(finished)[0]['interval'] == 'bootstrap'
  assert '95 % (Wilson)' in capsys.readouterr().out
  assert evaluate.main([*WORLD, f'--output={finished}']) == 0


def test_another_examination_does_not_overwrite_a_result(finished, capsys):
  before = outputs(finished)
  assert evaluate.main([*WORLD, '--temperature=1', f'--output={finished}']) == 1
  error = capsys.readouterr().err
  assert (
    error.startswith('error: ') and 'another examination (sampler, temperature differ)' in error
  )
  finished_samples = finished.parent / 'c.samples.jsonl'
  finished_samples.write_bytes(before[1])
  assert evaluate.main([*WORLD, '--seed=5', f'--output={finished.parent}/c.json']) == 1
  assert 'was begun otherwise (seed differ)' in capsys.readouterr().err
  assert outputs(finished) == before


def test_results_are_compared_and_other_settings_refused(finished, tmp_path, capsys):
  other = tmp_path / 'b.json'
  assert evaluate.main([*WORLD, '--seed=1', f'--output={other}', f'--compare={finished}']) == 0
  assert 'No significant difference' in capsys.readouterr().out
  assert evaluate.main([f'--output={other}', f'--compare={finished}']) == 0
  assert 'paired permutation test on 6 questions' in capsys.readouterr().out
  hot = result.read(other)
  hot['fingerprints']['sampler'] = 'that of another temperature'
  result.write(other, hot)
  command = [f'--output={other}', f'--compare={finished}']
  assert evaluate.main(command) == 1
  assert 'differ in sampler' in capsys.readouterr().err
  assert evaluate.main([*command, '--mixed']) == 0
  assert 'not the same in both: sampler' in capsys.readouterr().out


def test_without_a_name_every_examination_gets_its_own(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for seed in (0, 1):
    assert evaluate.main([*WORLD, '--questions=2', f'--seed={seed}']) == 0
  assert len(list((tmp_path / 'runs/evaluation').glob('tiny_world-tiny-*.json'))) == 2


def test_gsm8k_is_asked_as_published_and_questions_without_room_are_counted_wrong(tmp_path, capsys):
  data = shared_data.path('gsm8k/test.jsonl')
  command = ['--checkpoint=tiny', '--benchmark=gsm8k', f'--data={data}', '--questions=40']
  command += ['--samples=1', '--max_tokens=300', '--batch=20', f'--output={tmp_path}/g.json']
  assert evaluate.main(command) == 0
  content = result.read(tmp_path / 'g.json')
  assert content['questions'] == 40 and content['shares']['not_asked'] > 0
  assert content['figures']['pass@1']['questions'] == 40
  assert 'too long to ask, counted wrong' in capsys.readouterr().out


def test_solved_examples_stand_before_a_question_and_its_last_number_counts(tmp_path):
  path, shown = tmp_path / 'a.json', tmp_path / 'shown.jsonl'
  shown.write_text('{"question": "1 + 1", "answer": "2"}\n{"question": "2 + 3", "answer": "5"}\n')
  command = [*WORLD, f'--output={path}', f'--few_shot={shown}', '--answer=last_number']
  assert evaluate.main([*command, '--template=text']) == 0
  content = result.read(path)
  assert content['protocol']['answer'] == 'last_number'
  assert content['protocol']['template'] == 'plain text'
  _, *rows = map(json.loads, outputs(path)[1].splitlines())
  read = [(row['completion'], row['answer']) for row in rows if row['answer']]
  assert read
  for completion, answer in read:
    # Nothing that could be a number stands behind what was read.
    assert not re.search(r'(?<![\w.,])\d', completion[completion.rindex(answer) + len(answer) :])
  # What stands before the questions is part of the identity of the result.
  assert evaluate.main([*command[:-2], '--template=text', '--answer=last_number']) == 1


def test_an_answer_can_be_looked_for_wherever_a_reward_looks():
  known = typing.get_type_hints(service.RewardConfig)['answer']
  assert set(examination.ANSWERS) == set(typing.get_args(known))


def test_a_run_that_was_asked_otherwise_is_told_by_the_flags(tmp_path, capsys):
  config = r1_zero.get_config('smollm2')
  run = tmp_path / 'run'
  (run / 'checkpoints' / 'step_00000001').mkdir(parents=True)
  (run / 'config.json').write_text(config.to_json())
  trained = opening.asking(run)
  assert trained == {
    'system': 'Answer with the number only.',
    'few_shot': '',
    'answer': 'last_number',
  }
  command = ['--checkpoint=tiny', '--benchmark=tiny_world']
  evaluate._warn_of_asking(evaluate.parse(command), trained)
  told = capsys.readouterr().err
  assert told.endswith("that is --system='Answer with the number only.' --answer=last_number\n")
  evaluate._warn_of_asking(evaluate.parse([*command, *shlex.split(told)[-2:]]), trained)
  assert not capsys.readouterr().err
  assert opening.asking('tiny') == {}


@pytest.mark.parametrize(
  'argv, why',
  [
    ([], 'give --checkpoint=DIR and --benchmark=NAME'),
    (['--benchmark=gsm8k'], 'give --checkpoint=DIR with --benchmark'),
    (['--checkpoint=/absent', '--benchmark=tiny_world'], '/absent: no config.json'),
    ([*TINY, '--benchmark=/absent.jsonl'], 'No such file'),
    ([*WORLD, '--max_tokens=512'], '--max_tokens=512 and the shortest'),
    ([*WORLD, '--samples=0'], 'samples'),
    ([*WORLD, '--system=Be brief.'], "the template 'zero' has no place for a system prompt"),
    ([*WORLD, '--template=text', '--system=Be brief.'], "the template 'text' has no place for a"),
    ([*WORLD, '--template=zero', '--few_shot={few}'], '--few_shot: R1-Zero'),
    ([*WORLD, '--template=text', '--few_shot={long}'], 'shorten the examples of --few_shot'),
    (['--verifiers', '--few_shot={few}'], '--few_shot is of an examination'),
    (['--output={few}', '--compare={few}', '--seed=3'], '--seed is of an examination'),
    ([*WORLD, '--levels=3'], '--levels=3: expected two numbers'),
    ([*WORLD, '--dates=x'], '--dates=x: expected'),
    ([*WORLD, '--mesh=9,9,9,9'], '--mesh='),
    ([*WORLD, '--mesh=0,1,1,1'], '--mesh='),
    ([*WORLD, '--template=r1'], 'not a piece of this vocabulary'),
  ],
)
def test_errors_of_use_are_one_line(argv, why, capsys, tmp_path):
  files = {name: tmp_path / f'{name}.jsonl' for name in ('few', 'long')}
  for path, times in zip(files.values(), (1, 600)):
    path.write_text(json.dumps({'question': 'Add 2 and 3. ' * times, 'answer': '5'}) + '\n')
  assert evaluate.main([one.format(**files) for one in argv]) == 1
  error = capsys.readouterr().err
  assert error.startswith('error: ') and why in error and error.count('\n') == 1
