"""A model handed on in the hub's layout, read back, and the report on whether it is what it was."""

import dataclasses
import fnmatch
import hashlib
import pathlib
from functools import partial

import jax
import numpy as np

from r1jax import sharding
from r1jax.data import chat_template, hub_files, tokenizer
from r1jax.interchange import checkpoints, families, gguf, huggingface, peft, tensors
from r1jax.model import transformer

REPORT = 'export_report.json'
# What R1 recommends (reference §3.4).
GENERATION = {'do_sample': True, 'temperature': 0.6, 'top_p': 0.95}
_PROBE = (2, 16)  # rows and tokens of the batch whose logits are compared
# What a hub folder is read by, here or by other tools, and an export may not write: left by another
# model it would go before what is written, or beside it.
_READ = (
  '*.safetensors', '*.safetensors.index.json', 'tokenizer.json', 'tokenizer.model',
  'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json', 'vocab.json',
  'merges.txt', tensors.GGUF, checkpoints.BASE,
)  # fmt: skip


def export(source, folder, dtype=None, shard_bytes=huggingface.SHARD_BYTES, notify=print):
  """Writes the model in the folder `source` to `folder` for the hub, and verifies what was written.

  Weights, config.json, generation_config.json, tokenizer, chat_template.jinja, export_report.json.
  An interrupted export is continued by the same call. The mesh must be set.

  Args:
    source, folder: from and to.
    dtype: of the matrices; None keeps them.
    shard_bytes: largest weights file.
    notify: called with one line of text at each stage.

  Returns:
    The report, a dict; its `problems` is empty when all is well.
  """
  source, folder = pathlib.Path(source), pathlib.Path(folder)
  if source.resolve() == folder.resolve():
    raise ValueError(f'{folder} is the source itself; give another output folder')
  cfg = huggingface.read_config(source, compute_dtype=dtype, param_dtype=dtype, remat=False)
  cfg.check_mesh(dict(jax.sharding.get_mesh().shape))
  tok = checkpoints.tokenizer_of(source, cfg)
  foreign = _foreign(folder, tok)
  if foreign:
    raise ValueError(
      f'{folder}: holds {", ".join(foreign)} of another model, which would be read beside what is '
      'exported; remove them or give another output folder'
    )
  # What the model computes before it is written is compared with what is read back.
  params = huggingface.load(source, cfg, cfg.param_dtype, notify)
  logits = probe(params, cfg)
  notify(f'writing {folder}')
  ids = {'bos_token_id': tok.bos_id, 'eos_token_id': _ends(source, tok), 'pad_token_id': tok.pad_id}
  contents = huggingface.save(folder, params, cfg, None, shard_bytes, ids)
  tok.save(folder)
  tensors.write_json(folder / 'generation_config.json', _generation(source, ids))
  (folder / 'chat_template.jinja').write_text(chat_template.load(source, tok).source)
  notify('reading back')
  report = {'tensors': _expected(contents), 'files': _files(folder)}
  problems = _compare(report['tensors'], _written(folder))
  del params, contents  # room for the model that is read back
  report['logits_difference'] = _difference(folder, cfg, logits, problems)
  report['problems'] = problems
  tensors.write_json(folder / REPORT, report)
  return report


def possible(cfg, tok):
  """What a model can be exported as, known before it is trained: format -> '' or why not, one line.

  Args:
    cfg: ModelConfig; tok: its tokenizer.

  Returns:
    {'hub': ..., 'gguf': ..., 'peft': ...}, as `python -m r1jax.export --format` names them; the
    last where there are adapters.
  """
  try:
    families.of(cfg)
  except ValueError as error:
    return {'hub': str(error), 'gguf': str(error)}
  # llama.cpp has no multi-token module: the export leaves it out.
  limits = {'hub': '', 'gguf': gguf.limits(dataclasses.replace(cfg, mtp_layers=0), tok)}
  return limits | ({'peft': peft.limits(cfg)} if cfg.lora.rank else {})


def verify(folder):
  """Problems of an exported folder against its own report: list of str, empty when all is well.

  Every byte of every file is looked at; a changed tensor is named.
  """
  folder = pathlib.Path(folder)
  report = _read_report(folder / REPORT)
  # Files first, which is fast and finds all; then tensors, which names what is wrong.
  problems, files = list(report['problems']), _files(folder)
  for name in sorted(report['files'].keys() | files.keys()):
    if report['files'].get(name) != files.get(name):
      problems.append(f'{folder / name}: is not the file that was exported')
  # A report of an older version lists what lay there before the export.
  foreign = _foreign(folder, tokenizer.load(folder)) if not problems else []
  problems += [
    f'{folder / name}: is no file of this export; export again into a new folder'
    for name in foreign
  ]
  if not problems:
    return []
  try:
    return problems + _compare(report['tensors'], _written(folder))
  except tensors.CheckpointFileError as error:
    return [*problems, str(error)]


def _read_report(path):
  """A folder's report; CheckpointFileError where it is none that `export` wrote."""
  try:
    report = hub_files.read_json(path, required=True)
  except hub_files.HubFileError as error:
    raise tensors.CheckpointFileError(f'{error}; no readable report of an export') from error
  told = (report.get('tensors'), report.get('files'), report.get('problems'))
  entries = [entry for part in told[:2] if isinstance(part, dict) for entry in part.values()]
  whole = [type(part) for part in told] == [dict, dict, list]
  if not (whole and all(isinstance(entry, dict) for entry in entries)):
    raise tensors.CheckpointFileError(
      f'{path}: is damaged, its tensors, files or problems are not those of a report; export again'
    )
  return report


def _foreign(folder, tok):
  """Names in `folder` that a model is read by and no export with this tokenizer leaves there."""
  written = tok.file_names
  present = {path.name for pattern in _READ for path in folder.glob(pattern)}
  # Weights under our own names are replaced or removed by `huggingface.save`.
  return sorted(n for n in present - written if not fnmatch.fnmatch(n, 'model*.safetensors*'))


def probe(params, cfg):
  """Float32 logits [rows, tokens, vocab] of a fixed batch, on the host."""
  # Ids at random but fixed, so that a report can be made again; rows for every batch shard.
  rows = _PROBE[0] * sharding.batch_shards(jax.sharding.get_mesh())
  shape = (rows, _PROBE[1])
  token_BT = np.random.RandomState(0).randint(0, cfg.vocab, shape).astype(np.int32)
  position_BT = np.broadcast_to(np.arange(_PROBE[1], dtype=np.int32), token_BT.shape)
  arrays = (token_BT, np.ones_like(token_BT), position_BT)
  arrays = [sharding.put(a, sharding.act('batch', None)) for a in arrays]
  return sharding.fetch(_logits(params, cfg, *arrays))


@partial(jax.jit, static_argnames='cfg')
def _logits(params, cfg, token_BT, segment_BT, position_BT):
  out = transformer.forward(params, cfg, token_BT, segment_BT, position_BT)
  return transformer.logits(params, cfg, out.hidden_XD)


def _generation(source, ids):
  """generation_config.json: the source's own, or R1's recommendation."""
  return ids | (hub_files.read_json(source / 'generation_config.json') or GENERATION)


def _ends(source, tok):
  """`eos_token_id` of the new folder: one id, or a list where further ids end a turn."""
  further = sorted(tokenizer.stop_ids(source, tok) - {tok.eos_id})
  return [tok.eos_id, *further] if further else tok.eos_id


def _digest(array):
  in_bytes = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
  return hashlib.sha256(in_bytes.data).hexdigest()


def _expected(contents):
  """Name -> type, shape and hash of what should have been written."""
  return {
    name: {'dtype': dtype, 'shape': list(shape), 'sha256': _digest(get())}
    for name, dtype, shape, get in contents
  }


def _written(folder):
  """The same of what is in the files."""
  entries = {}
  for name, tensor in tensors.read_folder(folder).items():
    digest = hashlib.sha256()
    for _, rows in tensor.chunks():
      digest.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
    entries[name] = {
      'dtype': tensor.dtype, 'shape': list(tensor.shape), 'sha256': digest.hexdigest()
    }  # fmt: skip
  return entries


def _compare(expected, written):
  problems = []
  for name in sorted(expected.keys() | written.keys()):
    for key in ('dtype', 'shape', 'sha256'):
      want, have = (side.get(name, {}).get(key) for side in (expected, written))
      if want != have:
        problems.append(f'{name}: {key} is {have}, expected {want}')
        break
  return problems


def _difference(folder, cfg, logits, problems):
  """Largest difference of the probe's logits after a fresh import; drift becomes a problem."""
  if problems:
    return None
  again = huggingface.read_config(folder, remat=False)
  fresh = probe(huggingface.load(folder, again, cfg.param_dtype), again)
  difference = float(np.abs(fresh - logits).max())
  if difference > 0 or not np.isfinite(difference):
    problems.append(f'logits of the probe batch differ by {difference}')
  return difference


def _files(folder):
  """Name -> size and hash of every file but the report."""
  entries = {}
  for path in sorted(folder.iterdir()):
    if path.is_file() and path.name != REPORT:
      with open(path, 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
      entries[path.name] = {'bytes': path.stat().st_size, 'sha256': digest}
  return entries
