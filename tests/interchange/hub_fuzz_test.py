"""Damaged hub folders: whatever a stranger put there opens, or one line refuses it by name.

By hand, with more cases and a count of what happened:

    python -m tests.interchange.hub_fuzz_test 1000 [FIRST_SEED]
"""

import collections
import contextlib
import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import traceback

import pytest
from safetensors.numpy import save_file

from r1jax.data import chat_template, tokenizer
from r1jax.interchange import checkpoints, exporting, huggingface
from tests.interchange import families

CASES, SECONDS = 300, 20
NAMES = ('qwen2', 'llama', 'qwen3_moe', 'deepseek_v3', 'qwen2_yarn')
JSONS = ('config.json', 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json')
INDEX = 'model.safetensors.index.json'
SETTINGS = {
  'bos_token': '<bos>',
  'eos_token': {'content': '<eos>', 'lstrip': False},
  'pad_token': None,
  'add_bos_token': True,
  'chat_template': [{'name': 'default', 'template': '{{ bos_token }}{{ messages[0].content }}'}],
}
ENDS = {'eos_token_id': [1, 4], 'bos_token_id': 0, 'temperature': 0.6}
VALUES = (
  None, True, False, 0, 1, -1, 2, 1.5, -0.0, 1e308, float('inf'), float('nan'), 10**9, 10**30, '',
  'x', '1', '\0', '../x', '/etc/passwd', 'é' * 99,
  [], [None], [1, 2], ['a'], {}, {'a': 1}, [[[[]]]],
)  # fmt: skip
TEMPLATES = (
  '{{ 1 / 0 }}', '{{ 9 ** 999999999 }}', "{{ 'a' * 10 ** 12 }}", '{% for %}',
  '{{ messages[9].x.y }}',
  '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}', '{% if 1 %}' * 400, '{{ ' + '(' * 9999, '\0',
  '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}',
  "{{ ''.__class__.__mro__ }}", "{{ raise_exception('no') }}", '{% include "x" %}',
  '{% generation %}', "{{ messages | map(attribute='x.y') | join }}", '{{ tools | length }}',
)  # fmt: skip


def write(folder, draw):
  """A sound folder; every other one has its weights in two files and an index."""
  families.write(folder, draw.choice(NAMES))
  families.write_tokenizer(folder)
  (folder / 'tokenizer_config.json').write_text(json.dumps(SETTINGS))
  (folder / 'generation_config.json').write_text(json.dumps(ENDS))
  if draw.random() < 0.5:
    weights = families.weights(json.loads((folder / 'config.json').read_text()))
    (folder / 'model.safetensors').unlink()
    where = {}
    for i in (1, 2):
      file, part = f'model-0000{i}-of-00002.safetensors', sorted(weights)[i - 1 :: 2]
      save_file({name: weights[name] for name in part}, folder / file)
      where |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({'weight_map': where, 'metadata': {}}))


def places(value, path=()):
  """Paths of all values within a JSON value; of a long list or object, a few."""
  yield path
  items = list(value.items()) if isinstance(value, dict) else []
  items = list(enumerate(value)) if isinstance(value, list) else items
  for key, inner in items[:40]:
    yield from places(inner, (*path, key))


def change_value(folder, draw):
  """Another value, or none, somewhere in a JSON file."""
  path = folder / draw.choice([n for n in (*JSONS, INDEX) if (folder / n).exists()])
  contents = json.loads(path.read_text())
  where = draw.choice(list(places(contents)))
  if not where:
    path.write_text(json.dumps(draw.choice(VALUES)))
    return f'{path.name}: all of it'
  node = contents
  for key in where[:-1]:
    node = node[key]
  if draw.random() < 0.2:
    del node[where[-1]]
  else:
    node[where[-1]] = draw.choice(VALUES)
  path.write_text(json.dumps(contents))
  return f'{path.name}: {where}'


def change_bytes(folder, draw):
  """A few bytes of a file changed, cut off or put in."""
  path = draw.choice(sorted(folder.iterdir()))
  raw = bytearray(path.read_bytes())
  at, length = draw.randrange(len(raw)), draw.choice([1, 1, 2, 8, 1000])
  # Headers are short against the weights behind them, and say more.
  at = at % 400 if path.suffix == '.safetensors' else at
  kind = draw.choice(['flip', 'cut', 'insert', 'zero'])
  if kind == 'flip':
    raw[at] ^= 1 << draw.randrange(8)
  elif kind == 'cut':
    del raw[at:]
  elif kind == 'insert':
    raw[at:at] = draw.randbytes(length)
  else:
    raw[at : at + length] = bytes(len(raw[at : at + length]))
  path.write_bytes(raw)
  return f'{path.name}: {kind} at {at}'


def change_file(folder, draw):
  """Something else than a file, or a file of another kind, in a file's place."""
  path = draw.choice(sorted(folder.iterdir()))
  path.unlink()
  kind = draw.choice(
    ['none', 'pipe', 'folder', 'loop', 'zeros', 'dangling', 'huge', 'empty', 'deep']
  )
  if kind == 'pipe':
    os.mkfifo(path)
  elif kind == 'folder':
    path.mkdir()
  elif kind in ('loop', 'zeros', 'dangling'):
    path.symlink_to({'loop': path, 'zeros': '/dev/zero', 'dangling': folder / 'none'}[kind])
  elif kind == 'huge':
    with open(path, 'wb') as file:
      file.truncate(1 << 40)
  elif kind in ('empty', 'deep'):
    path.write_text('' if kind == 'empty' else '[' * 100_000)
  return f'{path.name}: {kind}'


def change_template(folder, draw):
  """A chat template that does harm or does not parse."""
  template = draw.choice(TEMPLATES)
  (folder / 'chat_template.jinja').write_text(template)
  return f'chat_template.jinja: {template[:60]}'


def use(folder):
  """All that a command does with a folder before it begins, and a first prompt."""
  found = checkpoints.open(folder)
  cfg = huggingface.read_config(found)
  tok = checkpoints.tokenizer_of(found, cfg)
  tokenizer.stop_ids(found, tok)
  chat = chat_template.load(found, tok)
  huggingface.check(found, cfg)
  exporting.possible(cfg, tok)
  text = chat.render([{'role': 'user', 'content': 'Hi'}])
  tok.decode(chat_template.encode(chat, tok, text))


@contextlib.contextmanager
def deadline(seconds):
  """Raises TimeoutError in what takes longer."""

  def late(*_):
    raise TimeoutError(f'took more than {seconds} s')

  before = signal.signal(signal.SIGALRM, late)
  signal.alarm(seconds)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def case(seed):
  """(what was damaged, 'opened' | 'refused' | what went wrong) of one folder."""
  draw = random.Random(seed)
  with tempfile.TemporaryDirectory(prefix='hub_fuzz') as name:
    folder = pathlib.Path(name)
    write(folder, draw)
    change = draw.choice([change_value, change_value, change_bytes, change_file, change_template])
    what = change(folder, draw)
    try:
      with deadline(SECONDS):
        use(folder)
    except TimeoutError as error:
      return what, str(error)
    except ValueError as error:
      told = str(error)
      sound = '\n' not in told and (
        name in told or isinstance(error, chat_template.ChatTemplateError)
      )
      return what, 'refused' if sound else f'does not name the file in one line: {told}'
    except Exception:
      return what, traceback.format_exc()
  return what, 'opened'


def test_the_folders_that_are_damaged_were_sound(tmp_path):
  for seed in range(8):
    (tmp_path / str(seed)).mkdir()
    write(tmp_path / str(seed), random.Random(seed))
    use(tmp_path / str(seed))


@pytest.mark.parametrize('part', range(6))
def test_a_damaged_folder_opens_or_is_refused_in_one_line(part):
  outcomes = collections.Counter()
  for seed in range(part, CASES, 6):
    what, outcome = case(seed)
    assert outcome in ('opened', 'refused'), f'seed {seed}, {what}: {outcome}'
    outcomes[outcome] += 1
  assert outcomes['refused'] > CASES // 6 // 3, outcomes  # the damage is damage


def main():
  """Runs as many cases as asked for and prints those that went wrong."""
  count, first = int(sys.argv[1]), int((*sys.argv, 0, 0)[2])
  outcomes = collections.Counter()
  for seed in range(first, first + count):
    what, outcome = case(seed)
    if outcome not in ('opened', 'refused'):
      print(f'seed {seed}, {what}: {outcome}', flush=True)
    outcomes[outcome if outcome in ('opened', 'refused') else 'wrong'] += 1
  print(dict(outcomes))


if __name__ == '__main__':
  main()
