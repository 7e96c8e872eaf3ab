"""Models of the hub by name: from a small server, from the cache, and what is said otherwise."""

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import huggingface_hub.constants
import pytest

from r1jax.experiments import r1_zero
from r1jax.interchange import checkpoints, hub_download, huggingface
from r1jax.runs import workdir
from tests import small_runs
from tests.interchange import families

COMMIT, OTHER = 'a' * 40, 'b' * 40
OPEN = """
import sys
from r1jax.interchange import checkpoints
try:
  print(checkpoints.open(sys.argv[1]))
except ValueError as error:
  print('refused:', error)
"""


@pytest.fixture
def model(tmp_path):
  """A hub folder of a tiny model, with a file that no reader of ours wants."""
  folder = tmp_path / 'published'
  folder.mkdir()
  families.write(folder, 'qwen2')
  families.write_tokenizer(folder)
  (folder / 'pytorch_model.bin').write_bytes(b'pickle')
  return folder


@contextlib.contextmanager
def hub(folder):
  """A hub on this machine that has one model, `org/name`; yields (address, paths asked for)."""
  asked = []

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
      self.do_GET()

    def do_GET(self):
      path = self.path.partition('?')[0]
      asked.append(path)
      if path == '/api/models/org/closed/revision/main':
        return self.reply(403, b'', {'X-Error-Code': 'GatedRepo'})
      if path in ('/api/models/org/name/revision/main', f'/api/models/org/name/revision/{COMMIT}'):
        return self.reply(200, json.dumps({'id': 'org/name', 'sha': COMMIT}).encode())
      if path == f'/api/models/org/name/tree/{COMMIT}':
        return self.reply(200, json.dumps([entry(one) for one in folder.iterdir()]).encode())
      if path.startswith('/api/models/org/name/revision/'):
        return self.reply(404, b'', {'X-Error-Code': 'RevisionNotFound'})
      path = path.replace('/resolve/main/', f'/resolve/{COMMIT}/')
      name = path.removeprefix(f'/org/name/resolve/{COMMIT}/')
      if name != path and (folder / name).is_file():
        data = (folder / name).read_bytes()
        tag = {'ETag': f'"{digest(data)}"', 'X-Repo-Commit': COMMIT}
        return self.reply(200, data, tag)
      return self.reply(404, b'', {'X-Error-Code': 'RepoNotFound'})

    def reply(self, status, body, headers=None):
      self.send_response(status)
      for key, value in (headers or {}).items():
        self.send_header(key, value)
      self.send_header('Content-Length', str(len(body)))
      self.end_headers()
      if self.command == 'GET':
        self.wfile.write(body)

    def log_message(self, *about):
      pass

  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
  threading.Thread(target=server.serve_forever, daemon=True).start()
  try:
    yield f'http://127.0.0.1:{server.server_port}', asked
  finally:
    server.shutdown()
    server.server_close()


def digest(data):
  return hashlib.sha1(data).hexdigest()


def entry(path):
  """What the hub lists of a file."""
  data = path.read_bytes()
  return {'type': 'file', 'path': path.name, 'size': len(data), 'oid': digest(data)}


def opened(place, home, **variables):
  """What `checkpoints.open` gives in a process of its own: the hub's variables are read once."""
  done = subprocess.run(
    [sys.executable, '-c', OPEN, place],
    cwd=small_runs.ROOT,
    env=os.environ | {'HF_HOME': str(home), 'JAX_PLATFORMS': 'cpu'} | variables,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return done.stdout.splitlines()


def test_a_model_is_downloaded_once_and_then_taken_from_the_cache(tmp_path, model):
  with hub(model) as (address, asked):
    said, place = opened('org/name', tmp_path / 'hf', HF_ENDPOINT=address)
  assert said == 'org/name: from the hub into its cache, once'
  assert place.endswith(f'models--org--name/snapshots/{COMMIT}')
  names = {path.name for path in model.iterdir()} - {'pytorch_model.bin'}
  assert set(os.listdir(place)) == names and not any('.bin' in path for path in asked)
  for name in names:
    assert (model / name).read_bytes() == pathlib.Path(place, name).read_bytes()
  # The server is gone now: nobody is asked again, by whatever name the commit has.
  for name in ('org/name', 'org/name@main', f'org/name@{COMMIT}'):
    assert opened(name, tmp_path / 'hf', HF_ENDPOINT='http://127.0.0.1:9') == [place]
    assert opened(name, tmp_path / 'hf', HF_HUB_OFFLINE='1') == [place]


FILE = """
import pathlib, sys
from r1jax.interchange import hub_download
try:
  print(hub_download.file('org/name@main', sys.argv[1], pathlib.Path('own')))
except ValueError as error:
  print('refused:', error)
"""


def test_one_file_comes_into_a_folder_of_its_own_and_not_into_the_cache(tmp_path, model):
  def asked(name, address):
    environment = os.environ | {'HF_HOME': str(tmp_path / 'hf'), 'HF_ENDPOINT': address}
    paths = {'PYTHONPATH': str(small_runs.ROOT)}
    command = [sys.executable, '-c', FILE, name]
    how = dict(cwd=tmp_path, env=environment | paths, capture_output=True, text=True, check=True)
    return subprocess.run(command, **how).stdout.strip()

  with hub(model) as (address, _):
    assert asked('config.json', address).endswith('own/config.json')
    assert asked('absent.json', address).startswith('refused: org/name does not give absent.json (')
  assert (tmp_path / 'own/config.json').read_bytes() == (model / 'config.json').read_bytes()
  assert not list((tmp_path / 'hf').rglob('config.json'))
  refused = asked('tokenizer.json', 'http://127.0.0.1:9')  # what is there would be taken again
  assert refused.startswith('refused: org/name does not give tokenizer.json')


def test_what_the_hub_does_not_give_is_one_line_with_the_reason(tmp_path, model):
  with hub(model) as (address, _):
    for name, why in (
      ('org/absent', 'no such folder here and no such model on the hub'),
      ('org/name@later', 'the model is there, this revision of it is not'),
      ('org/closed', 'open to those only who accepted its terms'),
    ):
      assert why in opened(name, tmp_path / 'hf', HF_ENDPOINT=address)[-1]
    # Of a model without these weights nothing can be made.
    (model / 'model.safetensors').unlink()
    line = opened('org/name', tmp_path / 'hf2', HF_ENDPOINT=address)[-1]
    assert 'org/name has no *.safetensors' in line
  for variables, why in (
    ({'HF_ENDPOINT': 'http://127.0.0.1:9'}, 'ConnectError'),
    ({'HF_HUB_OFFLINE': '1'}, 'offline mode is enabled'),
  ):
    line = opened('org/name', tmp_path / 'hf3', **variables)[-1]
    assert line.startswith('refused: org/name: no such folder here, and the hub does not give it (')
    assert why in line and 'is there a network?' in line


@pytest.fixture
def cache(tmp_path, model, monkeypatch):
  """A cache of huggingface_hub with one model in it, as that writes it; returns its folder."""
  home = tmp_path / 'hub' / 'models--org--name'
  (home / 'refs').mkdir(parents=True)
  (home / 'refs' / 'main').write_text(COMMIT)
  (home / 'snapshots').mkdir()
  model.rename(home / 'snapshots' / COMMIT)
  monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))
  monkeypatch.chdir(tmp_path)
  return home


def test_a_model_of_the_cache_is_read_as_any_folder(cache):
  folder = checkpoints.open('org/name')
  assert folder == cache / 'snapshots' / COMMIT
  assert huggingface.read_config(folder).layers > 0
  assert hub_download.commit('org/name') == COMMIT
  assert hub_download.commit('tiny') == hub_download.commit('/a/folder') == ''


@pytest.mark.parametrize('missing', ['model-00002.safetensors', 'config.json'])
def test_a_part_of_a_model_in_the_cache_is_not_taken_for_it(cache, missing):
  folder = cache / 'snapshots' / COMMIT
  index = {'weight_map': {'a': 'model.safetensors', 'b': 'model-00002.safetensors'}}
  (folder / 'model.safetensors.index.json').write_text(json.dumps(index))
  (folder / 'model-00002.safetensors').write_bytes((folder / 'model.safetensors').read_bytes())
  assert hub_download.cached('org/name') == folder
  (folder / missing).unlink()
  assert hub_download.cached('org/name') is None


def test_a_folder_of_this_machine_is_never_looked_for_on_the_hub(cache, tmp_path):
  assert hub_download.is_name('org/name')
  (tmp_path / 'org').mkdir()
  assert not hub_download.is_name('org/name')
  with pytest.raises(ValueError, match='org/name: no config.json .*where no folder org is here'):
    checkpoints.open('org/name')
  for place in ('/a/b', './a', 'a/b/c', 'runs', 'a/b.gguf', '../b', '~/b'):
    assert not hub_download.is_name(place)


def test_a_run_keeps_the_commit_and_does_not_go_on_from_another(cache, tmp_path):
  config = r1_zero.get_config()
  config.checkpoint = 'org/name'
  folder = workdir.prepare(tmp_path / 'run', config)
  assert json.loads((folder / 'data.json').read_text()) == {'checkpoint': COMMIT}
  (folder / 'checkpoints' / 'step_00000000').mkdir(parents=True)
  workdir.prepare(folder, config)
  # The cache moves on, as it does when another program asks the hub for the newest.
  (cache / 'snapshots' / OTHER).symlink_to(cache / 'snapshots' / COMMIT)
  (cache / 'refs' / 'main').write_text(OTHER)
  hint = f'go on with --config.checkpoint=org/name@{COMMIT}'
  with pytest.raises(ValueError, match=rf'org/name .* at commit {OTHER}, .* {COMMIT}: {hint}'):
    workdir.prepare(folder, config)
  config.checkpoint = f'org/name@{COMMIT}'
  assert workdir.prepare(folder, config) == folder
  config.checkpoint = 'org/else'
  with pytest.raises(ValueError, match=r"holds a run with config.checkpoint='org/name@a+'"):
    workdir.prepare(folder, config)
