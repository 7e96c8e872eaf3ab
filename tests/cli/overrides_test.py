"""Experiments by name or path, and keys and values as users write them."""

import pytest

from r1jax import config as config_lib
from r1jax.cli import commands, flags, other_names, overrides, settings
from tests import small_runs


def given(*argv):
  """The config of --config and its overrides."""
  return overrides.load(flags.Parser('train', '', '', config=True).parse(list(argv)))


def refusal(*argv):
  """What `given` says; one line."""
  with pytest.raises(ValueError) as caught:
    given(*argv)
  assert '\n' not in str(caught.value)
  return str(caught.value)


@pytest.mark.parametrize('one', [one.name for one in flags.shipped()])
def test_an_experiment_is_found_by_its_name_from_any_folder(one, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  by_name = overrides.experiment(one)
  by_path = overrides.experiment(str(small_runs.ROOT / 'experiments' / f'{one}.py'))
  assert by_name.to_json_best_effort() == by_path.to_json_best_effort()
  assert by_name.is_locked


def test_a_preset_stands_behind_a_colon():
  for place in ('r1_zero', 'experiments/r1_zero.py'):
    assert given(f'--config={place}:hub').data.name == 'jsonl'
  assert "no preset 'huge'; it has tiny" in refusal('--config=r1_zero:huge')


@pytest.mark.parametrize(
  'text',
  [
    '--config=r1_zero --config.data.limit=9',
    "--config=r1_zero --config.data.kinds=(('one_digit',1.0),)",
    '--config=r1_zero --config.data.levels=(1,2) --config.data.name=arithmetic',
    '--config=r1_zero:hub --config.data.languages=(("en",1.0),)',
    '--config=rl_vs_distill --config.data.split=test',
  ],
)
def test_an_option_of_data_that_the_source_does_not_read_is_refused(text):
  line = refusal(*text.split())
  assert 'is read where config.data.name is ' in line and '\n' not in line


def test_the_options_of_the_preset_do_not_stand_in_the_way_of_another_source():
  config = given('--config=r1_zero', '--config.data.name=jsonl', '--config.data.limit=9')
  assert config.data.limit == 9 and config.data.levels == (1, 3)


def test_a_missing_experiment_lists_those_there_are():
  assert 'did you mean r1_zero? There are distill_llama, ' in refusal('--config=r1_zer')
  line = refusal('--config=somewhere/r1_zero.py')
  assert "No such file or directory: 'somewhere/r1_zero.py'" in line and '--config=r1_zero ' in line


@pytest.mark.parametrize(
  'text, why',
  [
    ('def get_config(preset=1:\n', 'line 1'),
    ('import nowhere_to_be_found\n', 'ModuleNotFoundError'),
    ('x = 1\n', 'no get_config'),
    ('def get_config():\n  return {}\n', 'dict, not a ConfigDict'),
    ('def get_config():\n  return 1 / 0\n', 'line 2.*ZeroDivisionError'),
  ],
)
def test_a_file_that_is_no_experiment_is_told_in_a_line(tmp_path, text, why):
  path = tmp_path / 'mine.py'
  path.write_text(text)
  with pytest.raises(ValueError, match=why) as caught:
    overrides.experiment(str(path))
  assert 'mine.py' in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize(
  'key, text, value',
  [
    ('rl.updates', '7', 7),
    ('optimizer.lr', '1', 1.0),
    ('rl.dynamic_sampling', None, True),
    ('rl.dynamic_sampling', 'False', False),
    ('checkpoint', 'True', 'True'),
    ('rl.length_schedule', '((0, 5), (9, 7))', ((0, 5), (9, 7))),
    ('rl.length_schedule', '[[0, 5]]', ((0, 5),)),
    ('rl.rows', 'auto', 'auto'),
    ('sample.slots', '9', 9),
    ('mesh', '1,2,1,1', (1, 2, 1, 1)),
    ('grpo.log_ratio_limit', 'None', None),
    ('grpo.tis_cap', '2', 2.0),
    ('evaluation.top_p', '1e-1', 0.1),
  ],
)
def test_a_value_is_read_as_its_key_says(key, text, value):
  words = [f'--config.{key}'] if text is None else [f'--config.{key}={text}']
  found = given('--config=r1_zero', *words)
  for name in key.split('.'):
    found = found[name]
  assert found == value and type(found) is type(value)


def test_what_is_given_twice_is_the_second_one():
  twice = ['--config.rl.length_schedule=((0,5),)', '--config.rl.length_schedule=((0,7),)']
  assert given('--config=r1_zero', *twice).rl.length_schedule == ((0, 7),)
  spaced = ['--config.rl.updates', '3', '--noconfig.rl.dynamic_sampling']
  assert given('--config=r1_zero', *spaced).rl.updates == 3


def test_a_mistyped_key_is_answered_with_the_nearest():
  assert refusal('--config=r1_zero', '--config.rl.promts=8') == (
    'unknown key --config.rl.promts: did you mean config.rl.prompts?'
  )
  assert 'did you mean config.rl.updates?' in refusal('--config=r1_zero', '--config.updates=8')
  assert 'config.loop.keep' in refusal('--config=r1_zero', '--config.train.keep=8')
  assert 'reasoning_rl has no such key' in refusal('--config=r1_zero', '--config.pretrain.micro=8')
  assert 'is a section; set one of its keys: ' in refusal('--config=r1_zero', '--config.rl=8')
  assert 'r1jax config NAME lists' in refusal('--config=r1_zero', '--config.zzzz.qqqq=8')


@pytest.mark.parametrize(
  'theirs, ours',
  [
    ('num_generations', 'sample.group'),
    ('grpo.loss_type', 'grpo.aggregation'),
    ('actor_rollout_ref.rollout.n', 'sample.group'),
    ('optimizer.learning_rate', 'optimizer.lr'),
    ('model_name_or_path', 'checkpoint'),
    ('actor_rollout_ref.model.path', 'checkpoint'),
    ('algorithm.filter_groups.enable', 'rl.dynamic_sampling'),
    ('resume_from_checkpoint', 'workdir'),
  ],
)
def test_a_name_of_another_project_is_answered_with_ours(theirs, ours):
  line = refusal('--config=r1_zero', f'--config.{theirs}=8')
  assert line == f'unknown key --config.{theirs}: did you mean config.{ours}?'


def test_a_supervised_stage_answers_with_keys_of_its_own():
  line = refusal('--config=sft', '--config.max_seq_length=8')
  assert line == 'unknown key --config.max_seq_length: did you mean config.sft.capacity?'


def test_every_name_of_another_project_stands_for_a_key_that_there_is():
  named = {*other_names.OURS.values(), *other_names.OURS_SFT.values()}
  assert named <= {key.name for key in settings.defaults()}


def test_a_key_without_config_before_it_is_told_how_it_is_written():
  line = refusal('--config=r1_zero', '--rl.updates=5')
  assert line == 'unknown flag --rl.updates: did you mean --config.rl.updates=5?'


@pytest.mark.parametrize(
  'text, written',
  [
    ('4 x 3 do not fit rl.rows=5.', '4 x 3 do not fit --config.rl.rows=5.'),
    ('config.rl.rows=5, config.mesh', '--config.rl.rows=5, --config.mesh'),
    ('config.rl is a section', '--config.rl is a section'),
    ('give --config.rl.rows=5', 'give --config.rl.rows=5'),
    ('runs/rl.rows: no rows', 'runs/rl.rows: no rows'),
    ('config.json, mesh and sft.rows', 'config.json, mesh and sft.rows'),
  ],
)
def test_a_key_in_a_message_is_told_as_it_is_written_and_nothing_else_is(text, written):
  arguments = flags.Parser('train', '', '', config=True).parse(['--config=r1_zero'])
  overrides.load(arguments)
  assert flags.as_written(text, arguments.keys) == written


def test_of_a_pipeline_a_key_is_told_with_its_stage():
  arguments = flags.Parser('train', '', '', config=True).parse(['--config=r1'])
  overrides.load(arguments)
  told = flags.as_written('config.dev2.rl.rows=5, rl.rows', arguments.keys)
  assert told == '--config.dev2.rl.rows=5, rl.rows'


@pytest.mark.parametrize('command', ['plan', 'config'])
def test_each_command_that_takes_an_experiment_tells_keys_as_they_are_written(command, capsys):
  assert commands.main([command, '--config=r1_zero', '--config.rl.prompts=many']) == 1
  assert capsys.readouterr().err.startswith('error: --config.rl.prompts=many is not a whole')


def test_a_value_of_the_wrong_kind_is_named_with_its_key():
  assert refusal('--config=r1_zero', '--config.rl.prompts=many').startswith(
    'config.rl.prompts=many is not a whole number'
  )
  assert 'config.mesh=(1, is not a tuple' in refusal('--config=r1_zero', '--config.mesh=(1,')
  assert 'config.rl.dynamic_sampling=2 is not true or false' in refusal(
    '--config=r1_zero', '--config.rl.dynamic_sampling=2'
  )


def test_every_key_of_every_experiment_says_what_it_means():
  silent = set()
  for one in flags.shipped():
    silent |= {key.name for key in settings.of(overrides.experiment(one.name)) if not key.sentence}
  silent |= {key.name for key in settings.defaults() if not key.sentence}
  assert not silent, sorted(silent)


def test_the_keys_listed_are_those_of_the_config_with_their_values(capsys):
  assert commands.main(['config', 'r1_zero:hub', '--filter', 'rl', '--config.rl.updates=5']) == 0
  out = capsys.readouterr().out
  names = [line.split(' = ')[0] for line in out.splitlines() if not line.startswith(' ')]
  assert names == [
    f'rl.{name}' for name in config_lib.ranges.hints(config_lib.rl_schedule.RlConfig)
  ]
  assert 'rl.updates = 5  (' in out and 'default 10400)' in out
  assert commands.main(['config', 'r1_zero', '--filter=nothing_like_it']) == 1
  assert 'none of ' in capsys.readouterr().err
