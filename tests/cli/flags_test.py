"""Flags: what is done to their text before a command sees it."""

import pytest

from r1jax.cli import flags


@pytest.mark.parametrize(
  'text, read',
  [
    ('--checkpoint=~/qwen', '/home/me/qwen'),
    ('--checkpoint=~', '/home/me'),
    ('--checkpoint=a~/b', 'a~/b'),
    ('--checkpoint=~~', '~~'),
    ('--prompt=~/qwen', '~/qwen'),
  ],
)
def test_the_home_folder_is_found_behind_an_equals_sign(text, read, monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  parser = flags.Parser('chat', '', '')
  for name in ('--checkpoint', '--prompt'):
    parser.add_argument(name)
  given = parser.parse([text])
  assert (given.checkpoint or given.prompt) == read


@pytest.mark.parametrize(
  'words, read',
  [
    (['~/run'], '/home/me/run'),
    (['--json', '~/out'], '/home/me/out'),
    (['--prompt', '~/run'], '~/run'),
    (['a~/run'], 'a~/run'),
  ],
)
def test_the_home_folder_is_found_in_a_word_that_was_quoted(words, read, monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  parser = flags.Parser('show', '', '')
  parser.add_argument('run', nargs='?')
  for name in ('--json', '--prompt'):
    parser.add_argument(name)
  given = parser.parse(words)
  assert (given.run or given.json or given.prompt) == read


def test_the_home_folder_is_found_in_a_key_of_the_config(monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  parsed = flags.Parser('train', '', '', config=True).parse(['--config.workdir=~/runs'])
  assert parsed.overrides == [('workdir', '/home/me/runs')]
