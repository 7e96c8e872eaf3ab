"""Adapters in the layout of the library peft, out and in.

    peft.save(folder, params, cfg, base)     # adapter_config.json, adapter_model.safetensors
    folder = peft.unpack('adapter')          # a hub folder of base and adapter together
    found = peft.tensors_of(folder, cfg)     # hub name -> tensor, merged when it is read

A folder that comes in is merged in float32, row by row as it is read, so that it serves wherever a
checkpoint does. What its config says beyond plain LoRA is refused by name.
"""

import dataclasses
import functools
import math
import pathlib
import re
import shutil

import jax
import numpy as np

from r1jax import files, sharding
from r1jax.data import hub_files
from r1jax.interchange import checkpoints, huggingface, keys, names, placement, tensors
from r1jax.model import lora, transformer

CONFIG, WEIGHTS = checkpoints.ADAPTER_CONFIG, 'adapter_model.safetensors'
FOLDER = 'adapter'  # in the folder of a model that adapters were merged into
_PREFIX = 'base_model.model.'
_RANK, _ALPHA = 8, 8.0  # peft's, where the config says none
# Yes: `q_proj`, `model.layers.0.mlp.up_proj`. No: `layers\.[01].*q_proj`.
_PLAIN = re.compile(r'[\w.-]+')
_FORM = 1  # of what is unpacked: another number unpacks anew
# Keys that change nothing of what the two matrices of a module mean.
_NEUTRAL = {
  'auto_mapping', 'base_model_name_or_path', 'eva_config', 'exclude_modules', 'inference_mode',
  'layers_pattern', 'layers_to_transform', 'lora_alpha', 'lora_dropout', 'megatron_core',
  'peft_type', 'peft_version', 'qalora_group_size', 'r', 'rank_pattern', 'revision',
  'runtime_config', 'target_modules', 'task_type', 'use_rslora',
}  # fmt: skip
# Ways to begin that leave the base alone; 'pissa' and its like change it.
_BEGINNINGS = (True, False, None, 'gaussian', 'orthogonal', 'eva')
# A folder's own tokenizer goes before the base's, as in other tools.
_TOKENIZER = (
  'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json',
  'tokenizer.model', 'chat_template.jinja',
)  # fmt: skip


def save(folder, params, cfg, base):
  """Writes the adapters of a model as a folder that peft loads.

  Args:
    folder: created where absent.
    params: tree of `transformer.specs(cfg)`. Of several processes all must call; the first writes.
    cfg: ModelConfig with adapters.
    base: name or path of the model that they were trained beside.
  """
  pairs, modules = [], set()
  for entry in names.table(lora.without(cfg)):
    leaf = names.spec_at(params, entry.leaf)
    if lora.is_adapted(leaf):
      pairs += _pair(entry, leaf, cfg)
      modules.add(entry.name.removesuffix('.weight').rpartition('.')[2])
  if jax.process_count() > 1:
    # Small, and gathered by all before the first one writes.
    pairs = [(*told, functools.partial(np.asarray, get())) for *told, get in pairs]
  if jax.process_index() != 0:
    return
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  tensors.write(folder / WEIGHTS, pairs)
  told = {
    'peft_type': 'LORA',
    'task_type': 'CAUSAL_LM',
    'base_model_name_or_path': str(base),
    'r': cfg.lora.rank,
    'lora_alpha': cfg.lora.alpha,
    'lora_dropout': 0.0,
    'target_modules': sorted(modules),
    'bias': 'none',
    'fan_in_fan_out': False,
    'init_lora_weights': True,
    'use_rslora': False,
    'use_dora': False,
    'modules_to_save': None,
    'inference_mode': True,
  }
  tensors.write_json(folder / CONFIG, told)


def copy(model, folder):
  """Copies the adapter that lies beside a merged model into `folder`, for `r1jax export`.

  Raises:
    ValueError: there is none, as all weights were trained.
  """
  source, folder = pathlib.Path(model) / FOLDER, pathlib.Path(folder)
  if not (source / WEIGHTS).exists():
    raise ValueError(
      f'{model}: holds no {FOLDER}/: only a run with config.lora.rank above 0 leaves one, and its '
      'plan says where peft could not load it'
    )
  if folder.resolve() == source.resolve():
    raise ValueError(f'{folder} is the adapter itself; give another output folder')
  folder.mkdir(parents=True, exist_ok=True)
  for name in (WEIGHTS, CONFIG):
    shutil.copy(source / name, folder / name)


def limits(cfg):
  """Why the adapters of a ModelConfig cannot be written for peft, in one line; '' where they can.

  From transformers 5 on peft takes a target 'gate_proj', whatever stands before it, for the routed
  experts: it would load such a folder with a warning and compute something else.
  """
  specs = transformer.specs(cfg)
  blocks = [specs[kind] for kind in ('dense', 'moe') if kind in specs]
  leaves = jax.tree.leaves([block['ffn'] for block in blocks], is_leaf=lora.is_adapted)
  if cfg.moe_layers and any(map(lora.is_adapted, leaves)):
    return (
      'peft takes the dense and shared feed-forward of a model with routed experts for these; '
      "config.lora.targets=('attention',) can be written"
    )
  return ''


def _pair(entry, leaf, cfg):
  """Both tensors of one module as `tensors.write` takes them."""
  stem, (outputs, inputs) = _PREFIX + entry.name.removesuffix('.weight'), entry.shape
  rank = leaf.a.shape[-1]
  # A's columns are the residual's; only what comes out of B has rotary rows.
  plain = dataclasses.replace(entry.rule, rotary='')
  a = dataclasses.replace(entry, shape=(rank, inputs), rule=plain)
  b = dataclasses.replace(entry, shape=(outputs, rank))
  return [
    (f'{stem}.lora_A.weight', 'F32', a.shape, lambda: _extract(leaf.a, a, cfg)),
    (f'{stem}.lora_B.weight', 'F32', b.shape, lambda: _extract(leaf.b, b, cfg)),
  ]


def _extract(leaf, entry, cfg):
  leaf = sharding.fetch(leaf) if jax.process_count() > 1 else leaf
  return placement.extract(leaf, entry, cfg)


def unpack(folder):
  """A hub folder, in the user's cache, of an adapter and its base; the weights stay where they are.

  Raises:
    tensors.CheckpointFileError: the adapter is damaged, is not plain LoRA, or its base is not here.
  """
  folder = pathlib.Path(folder).resolve()
  try:
    told = hub_files.read_json(folder / CONFIG, required=True)
    _check(told)
    base = _base(folder, told)
    hub = hub_files.read_json(base / 'config.json', required=True)
  except hub_files.HubFileError as error:  # which names its file
    raise tensors.CheckpointFileError(str(error)) from error
  except (ValueError, TypeError) as error:
    raise tensors.CheckpointFileError(f'{folder / CONFIG}: {error}') from error
  hub_files.check_regular(folder / WEIGHTS)
  read = (folder / CONFIG, folder / WEIGHTS, base / 'config.json')
  stat = lambda path: (path.stat().st_size, path.stat().st_mtime_ns)
  stats = [(str(path), *stat(path)) for path in read]

  def fill(made):
    _copy_small(base, folder, made)
    # Merged matrices are float32: nothing may round them when "as it is" is asked for.
    tensors.write_json(made / 'config.json', hub | {'torch_dtype': 'float32'})
    shutil.copy(folder / CONFIG, made / CONFIG)
    (made / WEIGHTS).symlink_to(folder / WEIGHTS)
    (made / checkpoints.BASE).symlink_to(base)

  return files.kept_folder('peft', folder.name, f'{_FORM} {base} {stats}', fill)


def _copy_small(base, folder, made):
  """The base's small files, with the tokenizer that lies beside the adapter if one does."""
  own = folder if (folder / 'tokenizer.json').exists() else base
  for path in (*base.glob('*.json'), *base.glob('*.jinja'), *base.glob('*.model')):
    if path.name not in (tensors.INDEX, *_TOKENIZER):
      shutil.copy(path, made / path.name)
  for name in _TOKENIZER:
    if (own / name).is_file():
      shutil.copy(own / name, made / name)


def _check(told):
  """Raises ValueError for a config that means more than two matrices beside each module."""
  if told.get('peft_type') != 'LORA':
    raise ValueError(f'peft_type={told.get("peft_type")!r} is not LORA')
  if told.get('init_lora_weights', True) not in _BEGINNINGS:
    raise ValueError(
      f'init_lora_weights={told["init_lora_weights"]!r} changes the base; save it with peft as '
      'plain LoRA (path_initial_model_for_weight_conversion)'
    )
  _alpha(told)
  patterns = keys.section(told, 'rank_pattern')
  for key in patterns:
    keys.integer(patterns, key)
  keys.integer(told, 'r', _RANK)
  for key, value in told.items():
    if key == 'bias' and value == 'none' or key == 'init_lora_weights':
      continue
    # An empty or false value switches nothing on.
    if key not in _NEUTRAL and value:
      raise ValueError(f'{key}={value!r} is not supported: only plain LoRA is')


def _alpha(told):
  """The config's `lora_alpha`, a finite number above 0."""
  return keys.real(told, 'lora_alpha', _ALPHA, low=1e-9)


def _base(folder, told):
  """Folder of the base: as the config names it, or one of that name beside the adapter."""
  name = told.get('base_model_name_or_path')
  if not isinstance(name, str) or not name:
    raise ValueError('base_model_name_or_path names no base')
  short = pathlib.Path(name).name
  absent = (
    f'the base {name!r} is not here: put its folder beside the adapter, as {folder.parent / short}'
  )
  for place in (folder / name, folder.parent / short, folder / short, name):
    try:
      base = checkpoints.find(place) if pathlib.Path(place) != folder else None
    # The last place is the hub, where a name may be unknown, or no network be.
    except ValueError as error:
      raise ValueError(f'{absent} ({error})') from error
    if base and base != folder:
      return base.resolve()
  raise ValueError(absent)


@dataclasses.dataclass(frozen=True)
class MergedTensor(tensors.Tensor):
  """A tensor of the base to which the product of an adapter is added, in float32, as it is read.

  Attributes:
    base: the base's tensor.
    a, b: float32 [r, in] and [out, r].
    scale: of their product.
  """

  base: tensors.Tensor
  a: np.ndarray
  b: np.ndarray
  scale: float

  def read(self, start=0, stop=None):
    """Rows `start:stop` as a float32 array."""
    rows = self.base.read(start, stop).astype(np.float32)
    return rows + lora.delta(self.b[start:stop], self.a, self.scale)


def tensors_of(folder, cfg):
  """All tensors of an unpacked adapter's model, by the hub's names.

  Raises:
    tensors.CheckpointFileError: a tensor of the adapter has no place of its shape in the model.
  """
  folder = pathlib.Path(folder)
  by_name = dict(huggingface.tensors_of(folder / checkpoints.BASE, cfg))
  told = hub_files.read_json(folder / CONFIG, required=True)
  path = (folder / WEIGHTS).resolve()  # where the user knows it
  given = tensors.read_header(path)
  matrices = {f'{_PREFIX}{name.removesuffix(".weight")}': name for name in by_name}
  for name in given:
    stem, _, part = name.rpartition('.lora_')
    if stem not in matrices or part not in ('A.weight', 'B.weight'):
      raise tensors.CheckpointFileError(f'{path}: the model has no place for {name}')
  stems = sorted({name.rpartition('.lora_')[0] for name in given})
  # Modules of multi-token prediction, behind the last layer, have no adapters.
  layer = re.compile(rf'{re.escape(_PREFIX)}model\.layers\.(\d+)\.')
  ahead = lambda stem: (at := layer.match(stem)) and int(at[1]) >= cfg.layers
  _check_targets(path, told, stems, [stem for stem in matrices if not ahead(stem)])
  for stem in stems:
    a, b = (given.get(f'{stem}.lora_{part}.weight') for part in 'AB')
    name = matrices[stem]
    by_name[name] = _merged(path, stem, by_name[name], (a, b), told)
  return by_name


def _check_targets(path, told, stems, matrices):
  """Raises for a module that the config targets and the model has, but no tensor is of.

  A name that the model lacks is usual: lists of targets are written for many families.
  """
  targets = told.get('target_modules')
  if not isinstance(targets, list) or told.get('exclude_modules'):
    return  # one text is a pattern, or 'all-linear'
  some = told.get('layers_to_transform') is not None  # then of a target not all modules are meant
  for target in map(str, targets):
    wanted = [stem for stem in matrices if _is_of(stem, target)]
    missing = [stem for stem in wanted if stem not in stems]
    if missing and (not some or len(missing) == len(wanted)):
      raise tensors.CheckpointFileError(
        f'{path}: holds nothing for {target!r}, which target_modules of {CONFIG} names, at '
        f'{missing[0].removeprefix(_PREFIX)}: is it truncated, or the file of another adapter?'
      )


def _is_of(stem, name):
  """Whether a tensor's stem is the module `name`, which peft compares with the end of its path."""
  return f'.{stem}'.endswith(f'.{name}')


def _ranks(told, stem):
  """The ranks that the config allows a module: one, or with patterns all that may be meant."""
  patterns, rank = keys.section(told, 'rank_pattern'), keys.integer(told, 'r', _RANK)
  # A stranger's regular expression is not run: it may take for ever.
  if not all(re.fullmatch(_PLAIN, pattern) for pattern in patterns):
    return {rank, *patterns.values()}
  return {next((r for pattern, r in patterns.items() if _is_of(stem, pattern)), rank)}


def _merged(path, stem, base, pair, told):
  a, b = pair
  if a is None or b is None:
    raise tensors.CheckpointFileError(f'{path}: {stem} has only one of lora_A and lora_B')
  shapes = [list(tensor.shape) for tensor in (a, b)]
  rank = a.rows
  inner, outer = base.shape[1:], base.shape[:1]
  if len(base.shape) != 2 or shapes != [[rank, *inner], [*outer, rank]]:
    raise tensors.CheckpointFileError(
      f'{path}: {stem} has lora_A {shapes[0]} and lora_B {shapes[1]} beside {list(base.shape)}: is '
      'this the adapter of another base?'
    )
  if base.dtype.startswith('F8'):
    raise tensors.CheckpointFileError(f'{base.file}: {base.name} is {base.dtype}: convert the base')
  ranks = _ranks(told, stem)
  if rank not in ranks:
    raise tensors.CheckpointFileError(
      f'{path}: {stem} has rank {rank}, but {CONFIG} says {" or ".join(map(str, sorted(ranks)))} '
      '(r, rank_pattern): is it that of another adapter?'
    )
  values = [tensor.read().astype(np.float32) for tensor in pair]
  for tensor, value in zip(pair, values):
    if not np.isfinite(value).all():
      raise tensors.CheckpointFileError(f'{path}: {tensor.name} holds NaN or infinity')
  # By each module's own rank, which `rank_pattern` may have set.
  scale = _alpha(told) / (math.sqrt(rank) if told.get('use_rslora') else rank)
  return MergedTensor(base.name, base.file, 'F32', base.shape, 0, base, *values, scale)
