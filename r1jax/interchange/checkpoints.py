"""Where a model is: a folder, a GGUF file, a run's work directory, with r1jax, or on the hub."""

import functools
import hashlib
import os
import pathlib
import re

from r1jax import files
from r1jax.data import tokenizer
from r1jax.interchange import fetched, hub_download, tensors

ASSETS = pathlib.Path(__file__).resolve().parent.parent / 'assets'
ADAPTER_CONFIG = 'adapter_config.json'
BASE = 'r1jax_base'  # in the folder of an unpacked adapter, a link to its base
_STEP = re.compile(r'step_(\d+)')  # Yes: `step_00000020`. No: `step_20.tmp`.
_PICKLES = ('*.bin', '*.pt', '*.pth')  # weights that are programs too, which we do not run
# The bases that ship with r1jax: one of English, one that mixes English and Chinese.
SHIPPED = {'tiny': 'tiny_base', 'tiny_bilingual': 'tiny_bilingual_base'}
PLACES = (
  'hub folder, GGUF file, PEFT folder of an adapter, work directory of a run or one of its '
  'checkpoints (RUN/checkpoints/step_N), a shipped model '
  f'({", ".join(SHIPPED)}), one that r1jax fetch brought ({", ".join(fetched.MODELS)}), or '
  'org/name of a model on the hub'
)


def open(path):
  """Folder with config.json, weights and tokenizer for what the user named.

  Args:
    path: a hub folder, a GGUF file, a work directory (its `model/`), one of SHIPPED, or where
      nothing of that name is here `org/name` of huggingface.co, see `hub_download`.

  Raises:
    ValueError: there is no model there.
  """
  folder = find(path)
  if folder:
    return folder
  if is_run(path):
    raise ValueError(
      f'{path}: this run has not ended; the model of its newest checkpoint is written by '
      f'python -m r1jax.export --checkpoint={path} --output=DIR'
    )
  run, _ = run_and_step(path)
  if run is not None:
    raise ValueError(
      f'{path}: a checkpoint of the run {run}, with all that training needs; its model is written '
      f'by r1jax export --checkpoint={path} --output=DIR'
    )
  above = pathlib.Path(path).resolve().parent
  if above.name == 'checkpoints' and (above.parent / 'config.json').exists():
    there = sorted(one.name for one in above.glob('step_*') if _STEP.fullmatch(one.name))
    raise ValueError(f'{path}: no such checkpoint of the run, it has {", ".join(there) or "none"}')
  others = _other_weights(pathlib.Path(path))
  if others:
    raise ValueError(
      f'{path}: holds {others}, but weights are read from *.safetensors only; convert them: in '
      'Python, transformers.AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW), or '
      'take the files *.safetensors if the hub has them'
    )
  raise ValueError(
    f'{path}: no config.json with *.safetensors here or in model/{_held(pathlib.Path(path))}; give '
    'a hub folder, a GGUF file, the work directory of a finished run, org/name of a model on the '
    f'hub (where no folder org is here), or one of {", ".join((*SHIPPED, *fetched.MODELS))}'
  )


def _other_weights(folder):
  """Name of a file of weights beside a config that is in a format of pickles; '' without one."""
  if not any((folder / name).is_file() for name in ('config.json', ADAPTER_CONFIG)):
    return ''
  pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
  return min(pickles, default='')


def _held(folder):
  names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
  more = ', ...' if len(names) > 4 else ''
  return f', only {", ".join(names[:4])}{more}' if names else ''


def find(path):
  """What `open` returns, or None where there is no model."""
  if str(path) in SHIPPED:
    return ASSETS / SHIPPED[str(path)]
  if brought := str(path) if str(path) in fetched.MODELS else fetched.name_of(path):
    path = fetched.find(brought)
  if hub_download.is_name(path):
    path = hub_download.folder(str(path))
  folder = pathlib.Path(path)
  if _is_adapter(folder):
    from r1jax.interchange import peft  # imports this module

    return peft.unpack(folder)
  if _is_gguf(folder):
    from r1jax.interchange import gguf_import  # imports gguf, which takes half a second

    return gguf_import.unpack(folder)
  for candidate in (folder, folder / 'model'):
    weights = any(candidate.glob('*.safetensors*')) or (candidate / tensors.GGUF).exists()
    # A link whose file is gone is named where it is read.
    if weights and os.path.lexists(candidate / 'config.json'):
      return candidate
  return None


def in_users_words(text):
  """A message in which what we unpacked into our cache is called what it was unpacked from."""
  for shelf in ('gguf', 'peft'):
    for made in (files.cache() / shelf).glob('*'):
      if str(made) in text:
        pattern = rf'{re.escape(str(made))}(?:/([\w.-]+))?'
        text = re.sub(pattern, functools.partial(_origin, made), text)
  return text


def _origin(made, mention):
  """Where an unpacked folder, or the file in it that a `mention` names, came from."""
  name = mention[1] or ''
  if (made / tensors.GGUF).is_symlink():
    return str((made / tensors.GGUF).readlink())
  if not (made / BASE).is_symlink():
    return mention[0]  # not made by us
  base, adapter = ((made / link).readlink() for link in (BASE, 'adapter_model.safetensors'))
  # A config.json is the base's, also where one lies beside the adapter.
  own = name != 'config.json' and (adapter.parent / name).exists()
  return str((adapter.parent if own else base) / name)


def _is_adapter(folder):
  """Whether `folder` holds an adapter and no model; a base's config.json is often left in it."""
  whole = (tensors.SINGLE, tensors.INDEX, tensors.GGUF, BASE)
  config, pickled = folder / ADAPTER_CONFIG, folder / 'adapter_model.bin'
  weights = (folder / 'adapter_model.safetensors').exists()
  return (
    config.is_file()
    and (weights or not pickled.exists())
    and not any((folder / name).exists() for name in whole)
  )


def _is_gguf(path):
  """Whether a file is or should be GGUF, by its name or four bytes: Ollama's have no suffix."""
  if not path.is_file():
    return False
  if path.suffix.lower() == '.gguf':
    return True
  with path.open('rb') as file:
    return file.read(4) == b'GGUF'


def digest(folder):
  """SHA-256 of the weights in a model's folder: of the bytes of its files, in order of names."""
  whole = hashlib.sha256()
  if (folder / BASE).exists():
    whole.update(digest(folder / BASE).encode())
  paths = [*folder.glob('*.safetensors'), folder / tensors.GGUF]
  for path in sorted(path for path in paths if path.exists()):
    with path.open('rb') as file:
      whole.update(hashlib.file_digest(file, 'sha256').digest())
  return whole.hexdigest()


def tokenizer_of(folder, cfg):
  """The tokenizer of a model's folder; ValueError where the model lacks ids that it needs."""
  tok = tokenizer.load(folder)
  if tok.vocab_size > cfg.vocab:
    raise ValueError(
      f'{folder}: the tokenizer has {tok.vocab_size} ids, the model only {cfg.vocab} embeddings; '
      'is this the tokenizer of another model?'
    )
  beyond = [i for i in tokenizer.stop_ids(folder, tok) if i >= cfg.vocab]
  if beyond:
    raise ValueError(
      f'{folder}: eos_token_id names {min(beyond)}, the model has only {cfg.vocab} embeddings, so '
      'that id would end no reply; mend it in generation_config.json or config.json'
    )
  return tok


def run_and_step(path):
  """(work directory, step) where the folder is a checkpoint of a run, else (None, None)."""
  # As it was written, or where that leads: a link, or a name within `checkpoints`.
  for folder in (pathlib.Path(path), pathlib.Path(path).resolve()):
    name, run = _STEP.fullmatch(folder.name), folder.parent.parent
    whole = name and folder.parent.name == 'checkpoints' and (run / 'config.json').exists()
    if whole and folder.is_dir():
      return run, int(name[1])
  return None, None


def is_run(path):
  """Whether the folder is the work directory of a run that has saved a checkpoint."""
  folder = pathlib.Path(path)
  return (folder / 'config.json').exists() and any((folder / 'checkpoints').glob('step_*'))
