"""README and docs/: every command can be run, every link leads somewhere, every name is real."""

import dataclasses
import gzip
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from r1jax.cli import commands, settings
from r1jax.train import glossary
from tests import small_runs
from tests.runs.show import folders

ROOT = small_runs.ROOT
PAGES = sorted((ROOT / 'docs').glob('*.md'))
TEXTS = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md', ROOT / 'kernels' / 'README.md', *PAGES]
# Pages of our own words: the reference names files and keys of others, config.md is made.
OWN = [path for path in TEXTS if path.name not in ('reference.md', 'config.md')]
NEEDS = '# needs: '  # first line of a block that only some machines or folders can run
# Programs whose commands are not ours to check.
OTHERS = {'pip', 'hf', 'ollama', 'head', 'tail', 'source', 'mkdocs', 'pytest', 'ruff', 'export'}
FOLDERS = 'r1jax|kernels|experiments|tests|benchmarks|launch|notebooks|docs'
PATH = re.compile(rf'`((?:{FOLDERS})/[\w./*-]*)[`:]')
KEY = re.compile(r'`(?:--config\.)?([a-z_]+(?:\.[a-z_]+)+)(?:=[^`]*)?`')
METRIC = re.compile(r'`([a-z]+/[a-z][a-z0-9_]*)`')
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
WORDS, LINES, SENTENCE = 1300, 140, 25  # of the README; words of its longest sentence


@dataclasses.dataclass(frozen=True)
class Block:
  """A fenced block of shell: its page, its text, and whether every machine can run it."""

  page: str
  text: str

  @property
  def free(self):
    """Nothing is needed but the repository; installations are what CI itself does."""
    return not self.text.startswith(NEEDS) and 'python3 -m venv' not in self.text

  @property
  def commands(self):
    """Words of each command, comments and variables left out."""
    found = []
    joined = self.text.replace('\\\n', ' ')
    for part in re.split(r'\n| && ', joined):
      words = shlex.split(part, comments=True)
      while words and re.fullmatch(r'[A-Z0-9_]+=.*', words[0]):
        words.pop(0)
      found += [words] if words else []
    return found


def blocks():
  """Every `bash` block of the pages."""
  for path in TEXTS:
    for text in re.findall(r'```bash\n(.*?)```', path.read_text(), re.DOTALL):
      yield Block(path.relative_to(ROOT).as_posix(), text)


def prose(path):
  """A page's text without its fenced blocks."""
  return re.sub(r'```.*?```', '', path.read_text(), flags=re.DOTALL)


def name(path):
  """A page's path from the root, for messages."""
  return path.relative_to(ROOT).as_posix()


def ours():
  """(page, module, arguments) of every command that is `python -m MODULE` or `r1jax NAME`."""
  for block in blocks():
    for words in block.commands:
      if words[0].endswith('python') and words[1:2] == ['-m']:
        yield block.page, words[2], words[3:]
      elif words[0] == 'r1jax':
        yield block.page, commands.COMMANDS[words[1]].module, words[2:]


def wrong_commands(listed):
  """What is wrong with each of the [module, arguments]."""
  done = subprocess.run(
    [sys.executable, '-W', 'ignore', '-m', 'tests.docs_commands'],
    input=json.dumps(listed),
    capture_output=True,
    text=True,
    cwd=ROOT,
    env=small_runs.environment(),
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return json.loads(done.stdout)


def test_every_flag_and_key_of_every_command_is_known():
  listed = [command for command in ours() if command[1].startswith('r1jax.')]
  assert len(listed) > 30
  found = wrong_commands([[module, arguments] for _, module, arguments in listed])
  wrong = [
    f'{page}: {module} {" ".join(arguments)}\n  {text}'
    for (page, module, arguments), text in zip(listed, found, strict=True)
    if text
  ]
  assert not wrong, '\n'.join(wrong)


def test_a_mistyped_flag_or_key_is_found():
  good, bad = '--config=experiments/r1_zero.py', '--config.rl.promts=3'
  main, chat = 'r1jax.main', 'r1jax.chat'
  said = wrong_commands([[main, [good]], [main, [good, bad]], [chat, ['--chekpoint=a']]])
  assert said[0] == '' and 'promts' in said[1] and 'chekpoint' in said[2]


def test_every_other_module_exists_and_knows_its_flags():
  wrong = []
  for page, module, arguments in ours():
    if module.startswith('r1jax.') or module in ('venv', 'pytest', 'json.tool', 'mkdocs'):
      continue
    path = ROOT / f'{module.replace(".", "/")}.py'
    if not path.exists():
      wrong.append(f'{page}: no module {module}')
      continue
    source = path.read_text()
    flags = [a.removeprefix('--').split('=')[0] for a in arguments if a.startswith('--')]
    wrong += [f'{page}: {module} --{f}' for f in flags if f not in source and f != 'help']
  assert not wrong, '\n'.join(wrong)


def test_every_program_is_one_we_know():
  wrong = []
  for block in blocks():
    for words in block.commands:
      program = words[0].rsplit('/', 1)[-1]
      script = ROOT / words[0]
      if program not in {*OTHERS, 'python', 'python3', 'r1jax'} and not script.is_file():
        wrong.append(f'{block.page}: {" ".join(words)}')
  assert not wrong, '\n'.join(wrong)


FREE = [block for block in blocks() if block.free]


@pytest.mark.heavy
@pytest.mark.parametrize('block', FREE, ids=lambda block: block.page)
def test_a_command_that_needs_nothing_runs(block, tmp_path):
  for folder in ('experiments', 'benchmarks', 'launch', 'tests'):
    (tmp_path / folder).symlink_to(ROOT / folder)
  bin_path = f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}'
  environment = small_runs.environment() | {'PATH': bin_path, 'PYTHONPATH': str(ROOT)}
  done = subprocess.run(
    ['bash', '-ec', block.text],
    cwd=tmp_path,
    env=environment,
    capture_output=True,
    text=True,
    timeout=900,
  )
  assert done.returncode == 0, f'{block.text}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}'


def anchors(path):
  """Anchors of a page's headings, as GitHub and the site make them."""
  headings = re.findall(r'^#+ (.+)$', prose(path), re.MULTILINE)
  plain = [re.sub(r'[^\w\s-]', '', heading.replace('`', '').lower()) for heading in headings]
  return {re.sub(r'\s', '-', text.strip()) for text in plain}


@pytest.mark.parametrize('path', TEXTS, ids=name)
def test_every_link_leads_to_a_file_and_a_heading(path):
  wrong = []
  for link in LINK.findall(prose(path)):
    if link.startswith(('http://', 'https://')):
      continue
    place, _, anchor = link.partition('#')
    target = (path.parent / place).resolve() if place else path
    if not target.exists() or (anchor and anchor not in anchors(target)):
      wrong.append(link)
  assert not wrong, f'{name(path)}: {wrong}'


@pytest.mark.parametrize('path', OWN, ids=name)
def test_every_file_named_in_a_page_exists(path):
  named = PATH.findall(path.read_text())
  assert not [p for p in named if not any(ROOT.glob(p.rstrip('/')))], name(path)


def config_keys():
  """Every key of every stage, and the sections, joined by dots."""
  found = [key.name.split('.') for key in settings.defaults()]
  return {'.'.join(parts[:n]) for parts in found for n in range(1, len(parts) + 1)}


@pytest.mark.parametrize('path', OWN, ids=name)
def test_every_key_and_metric_named_in_a_page_exists(path):
  known, text = config_keys(), prose(path)
  sections = {key.split('.')[0] for key in known}
  named = [key for key in KEY.findall(text) if key.split('.')[0] in sections]
  files = ('.py', '.json', '.jsonl', '.png', '.html', '.md')
  assert not [k for k in named if k not in known and not k.endswith(files)], name(path)
  metrics = [m for m in METRIC.findall(text) if m.split('/')[0] in glossary.FAMILIES]
  assert not [m for m in metrics if m not in glossary.NAMES], name(path)


def test_the_generated_pages_are_what_the_code_says():
  command = [sys.executable, 'docs/generate.py', '--check']
  done = subprocess.run(
    command, cwd=ROOT, env=small_runs.environment(), capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize('path', PAGES, ids=name)
def test_a_page_has_a_command_first_a_table_and_its_limits(path):
  text = path.read_text()
  assert text.split('\n## ')[-1].startswith('Limits')
  assert '\n|---' in text or '\n| ---' in text
  if path.stem != 'reference':  # facts: there is nothing to run
    assert '```bash' in text.split('\n## ')[0]


def test_every_page_is_in_the_site():
  listed = set(re.findall(r'- (\w[\w-]*\.md)', (ROOT / 'mkdocs.yml').read_text()))
  assert listed == {path.name for path in PAGES}


def readme_sentences():
  """Sentences of the README's running text and lists."""
  lines = [
    line for line in prose(ROOT / 'README.md').split('\n') if not line.startswith(('|', '#'))
  ]
  text = re.sub(r'\]\([^)]*\)', '', ' '.join(lines))
  return [part.strip() for part in re.split(r'(?<=[.:?!])\s|\s- ', text) if part.strip()]


def test_the_readme_is_a_door():
  text = (ROOT / 'README.md').read_text()
  assert len(text.split()) <= WORDS and text.count('\n') <= LINES
  long = [s for s in readme_sentences() if len(s.split()) > SENTENCE]
  assert not long, long
  hashes = re.findall(r'\b(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{7,40}\b', text)
  assert not hashes, hashes


@pytest.mark.parametrize('extra', ['-e .', "-e '.[test]'"])
def test_the_commands_that_install_stay_one_line(extra):
  text = (ROOT / 'README.md').read_text()
  start = 'python3 -m venv .venv && .venv/bin/pip install -q'
  assert len([line for line in text.split('\n') if line.startswith(f'{start} {extra} && ')]) == 1


@pytest.mark.heavy
def test_the_picture_is_drawn_from_a_run(reference, tmp_path):
  output = tmp_path / 'new' / 'picture.png'
  command = [sys.executable, 'docs/picture.py', str(reference.folder), f'--output={output}']
  done = subprocess.run(
    command, cwd=ROOT, env=small_runs.environment(), capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert output.read_bytes().startswith(b'\x89PNG')


def script(name, folder, monkeypatch):
  """docs/`name`.py as a module that keeps runs and pictures in `folder`."""
  spec = importlib.util.spec_from_file_location(name, ROOT / 'docs' / f'{name}.py')
  loaded = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(loaded)
  for part in ('runs', 'pictures'):
    (folder / part).mkdir()
  monkeypatch.setattr(loaded, 'FOLDER', folder)
  return loaded


def test_curves_of_seeds_are_drawn_from_what_is_kept_of_runs(tmp_path, monkeypatch):
  curves = script('curves', tmp_path, monkeypatch)
  made = []
  for seed in (0, 1):
    rows = [{'step': n, **{metric: n / 4 for metric, _ in curves.PANELS}} for n in (1, 2, 3)]
    exam = {'pass@1': 0.5, 'ci95': [0.4, 0.6]}
    summary = {'before': exam, 'after': exam, 'change': {}, 'seed': seed, 'seconds': {}}
    summary |= {'peak_rss_gib': 1.0, 'final_params_sha256': 'x'}
    run = folders.write(tmp_path / f'run{seed}', rows, {}, summary)
    (run / 'versions.json').write_text('{"commit": "abc"}')
    made.append(str(run))
  for runs in (made, []):  # the second time from the kept files alone
    monkeypatch.setattr(sys, 'argv', ['curves.py', *runs, '--name=one'])
    curves.main()
    assert (tmp_path / 'pictures' / 'one.png').read_bytes().startswith(b'\x89PNG')
    (tmp_path / 'pictures' / 'one.png').unlink()
  kept = json.loads(gzip.decompress((tmp_path / 'runs' / 'one_seed1.json.gz').read_bytes()))
  assert kept['commit'] == 'abc' and kept['summary']['seed'] == 1 and len(kept['rows']) == 3
  monkeypatch.setattr(sys, 'argv', ['curves.py', '--name=other'])
  with pytest.raises(SystemExit, match='holds no run of other'):
    curves.main()


def test_levels_are_drawn_and_listed_from_the_held_out_replies_of_a_run(
  tmp_path, monkeypatch, capsys
):
  levels = script('levels', tmp_path, monkeypatch)
  common = {'rollout/length': 9.0, 'grpo/entropy': 0.5}
  rows = [{'step': n, 'rollout/level': level, **common} for n, level in ((1, 1), (2, 1), (3, 2))]
  run = folders.write(tmp_path / 'run', rows, {}, {})
  (run / 'versions.json').write_text('{"commit": "abc"}')
  kinds = [['one_digit', 1.0], ['products', 1.0]]
  (run / 'config.json').write_text(json.dumps({'data': {'kinds': kinds}}))
  replies = [('one_digit', 1.0, 4), ('one_digit', 0.0, 8), ('products', 0.0, 20)]
  lines = [
    json.dumps({'kind': kind, 'rewards': {'accuracy': {'score': score}}, 'length': length})
    for kind, score, length in replies
  ]
  (run / 'samples').mkdir(exist_ok=True)
  for update in (0, 3):
    (run / 'samples' / f'heldout_{update:06}.jsonl').write_text('\n'.join(lines))
  for given in ([str(run)], []):  # the second time from the kept file alone
    monkeypatch.setattr(sys, 'argv', ['levels.py', *given, '--name=one'])
    levels.main()
    assert (tmp_path / 'pictures' / 'one.png').read_bytes().startswith(b'\x89PNG')
    (tmp_path / 'pictures' / 'one.png').unlink()
    assert capsys.readouterr().out.splitlines()[-1] == '| 3 | 50 %, 6 | 0 %, 20 |'
  assert levels.joined(rows) == [(1, 1), (3, 2)]
