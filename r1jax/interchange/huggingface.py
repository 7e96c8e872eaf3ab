"""Checkpoints in the hub's layout, in and out, tensor by tensor.

    cfg = huggingface.read_config(folder)
    params = huggingface.load(folder, cfg, cfg.param_dtype)      # on the mesh that is set
    huggingface.save(folder, params, cfg)

Import never holds more on the host than one device's part of one (stacked) leaf and a chunk of a
file; export never more than one hub tensor.
"""

import dataclasses
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np

from r1jax import params as params_lib
from r1jax import sharding
from r1jax.interchange import checkpoints, hub_config, names, placement, tensors
from r1jax.model import lora, transformer

read_config = hub_config.read
config_json = hub_config.write

SHARD_BYTES = 4 << 30
_FLOATS = ('F64', 'F32', 'F16', 'BF16')
_SCALE, _SCALES = '_scale_inv', ('F32', 'BF16')  # Qwen's fp8 folders round the scales
# Old Llama files hold 'model.layers.0.self_attn.rotary_emb.inv_freq', which config.json gives; a
# 'rotary_emb.inv_freq.weight' would be a parameter and is none.
_BUFFER = re.compile(r'.*\.rotary_emb\.inv_freq')


@dataclasses.dataclass(frozen=True)
class Match:
  """A checked plan of what every tensor of a folder is.

  Attributes:
    entries: list of `names.Entry`, all of them present with the right shape and type.
    found: every tensor of the folder, by name.
    copies: tensors that repeat another one: name -> that name.
    ignored: tensors that the model has no use for: name -> reason.
    block: fp8 block size, None without.
  """

  entries: list
  found: dict
  copies: dict
  ignored: dict
  block: tuple[int, int] | None

  def read(self, name):
    """A tensor whole, as a float32 NumPy array, dequantised."""
    value = self.found[name].read()
    if self.found[name].dtype != 'F8_E4M3':
      return value.astype(np.float32)
    return placement.dequantise(value, self.found[name + _SCALE].read(), self.block)


def match(found, cfg, block=None, where='checkpoint'):
  """Assigns every tensor of a checkpoint its place in the model, shape by shape; reads no data.

  Args:
    found: name -> `tensors.Tensor`.
    cfg: ModelConfig.
    block: fp8 block size of config.json.
    where: what error messages call the checkpoint.

  Returns:
    `Match`.

  Raises:
    tensors.CheckpointFileError: a tensor is missing, unexpected, or of the wrong shape or type.
  """
  # What must be there: one tensor for each entry, and of the repeated ones those that are there.
  entries = names.table(cfg)
  same = {name: source for name, source in names.copies(cfg).items() if name in found}
  shapes = {e.name: e.shape for e in entries}
  missing = [name for name in shapes if name not in found]
  if missing:
    # Some exports of V3 leave the multi-token layer out but still count it in config.json.
    ahead = [name for name in missing if int(_layer(name) or 0) >= cfg.layers]
    hint = '; without that layer say "num_nextn_predict_layers": 0 in config.json'
    # A prefix that a trainer wrote, or the head of a classifier.
    known = {*shapes, *same}
    others = [name for name in found if name.removesuffix(_SCALE) not in known]
    instead = f'; holds {_some(others)} instead' if others else ''
    raise tensors.CheckpointFileError(
      f'{where}: lacks {_some(missing)}{hint if ahead == missing else instead}'
    )
  shapes |= {name: shapes[source] for name, source in same.items()}
  # Shapes and types; a matrix in fp8 needs a second tensor, the scales of its blocks.
  scales = {}
  for name, shape in shapes.items():
    _check(found[name], shape)
    if found[name].dtype == 'F8_E4M3':
      scales[name + _SCALE] = _check_scale(found, name, block, where)
  # What is left must have a reason to be passed over: a silent leftover may be half the model.
  rest = [name for name in found if name not in shapes and name not in scales]
  ignored = {name: _reason(name, cfg) for name in rest}
  unknown = [name for name, reason in ignored.items() if not reason]
  if unknown:
    raise tensors.CheckpointFileError(
      f'{found[unknown[0]].file}: the model has no place for {_some(unknown)}'
    )
  return Match(entries, found, same, ignored, block)


def _some(listed):
  more = f' and {len(listed) - 3} more' if len(listed) > 3 else ''
  return ', '.join(listed[:3]) + more


def _check(tensor, shape):
  if tensor.shape != tuple(shape):
    raise tensors.CheckpointFileError(
      f'{tensor.file}: {tensor.name} has shape {list(tensor.shape)}, expected {list(shape)}'
    )
  if tensor.dtype not in (*_FLOATS, 'F8_E4M3'):
    raise tensors.CheckpointFileError(
      f'{tensor.file}: {tensor.name} has type {tensor.dtype}, expected one of {_FLOATS} or F8_E4M3'
    )


def _check_scale(found, name, block, where):
  scale = found.get(name + _SCALE)
  if scale is None or block is None:
    lack = f'{name + _SCALE}' if scale is None else 'quantization_config in config.json'
    raise tensors.CheckpointFileError(f'{where}: {name} is F8_E4M3 but there is no {lack}')
  expected = tuple(-(-size // step) for size, step in zip(found[name].shape, block))
  if scale.shape != expected or scale.dtype not in _SCALES:
    raise tensors.CheckpointFileError(
      f'{scale.file}: {scale.name} is {scale.dtype}{list(scale.shape)}, '
      f'expected {" or ".join(_SCALES)} {list(expected)}'
    )
  return scale


def _layer(name):
  """Number of the layer that a tensor belongs to, as text; None for one that stands outside."""
  found = re.match(r'model\.layers\.(\d+)\.', name)
  return found and found[1]


def _reason(name, cfg):
  """Why a tensor that no entry asks for may be left out; '' where there is no reason."""
  layer = _layer(name)
  if layer and not cfg.mtp_layers and cfg.attention == 'mla' and int(layer) >= cfg.layers:
    return 'multi-token-prediction layer, and mtp_layers=0'
  return 'a buffer that follows from config.json' if _BUFFER.fullmatch(name) else ''


def load(folder, cfg, dtype, notify=print):
  """Parameters from a hub folder, as arrays sharded over the mesh that is set.

  Args:
    folder: with config.json and model.safetensors (or its index and shards).
    cfg: ModelConfig, as `read_config` gives it (`mtp_layers=0` leaves the MTP layer out).
    dtype: of the matrices; norms and the router are float32 always.
    notify: called with one line that names what was ignored.

  Returns:
    Tree of `transformer.specs(cfg)`.

  Raises:
    tensors.CheckpointFileError: see `match`; also where two copies of a tensor differ.
  """
  params, leaves = {}, {}
  for path, leaf in stream(folder, cfg, dtype, notify):
    node = params
    for key in path[:-1]:
      node = node.setdefault(key, {})
    node[path[-1]] = leaves[path] = leaf
  # With one NaN every reply would be empty, without a word.
  finite = np.asarray(_are_finite(list(leaves.values())))
  if not finite.all():
    path = list(leaves)[int(finite.argmin())]
    _name_broken(check(folder, cfg), path, leaves[path].dtype)
  return params


def stream(folder, cfg, dtype, notify=print):
  """Yields (path, array) for every leaf, as `load` wants them, which looks for NaN at the end."""
  plan = check(folder, cfg)
  for line in unread(folder):
    notify(line)
  # A copy that differs would be lost: the model has one leaf for both.
  for name, source in plan.copies.items():
    _check_equal(plan.found[name], plan.found[source])
  if plan.ignored:
    reasons = ', '.join(sorted(set(plan.ignored.values())))
    notify(f'{folder}: ignored {_some(sorted(plan.ignored))} ({reasons})')
  # All tensors of a stacked leaf together, so that one leaf at a time is built and handed over.
  leaves = {}
  for entry in plan.entries:
    leaves.setdefault(entry.leaf, []).append(entry)
  specs = transformer.specs(cfg)
  for path, entries in leaves.items():
    yield path, _load_leaf(plan, cfg, names.spec_at(specs, path), entries, dtype)


def unread(folder):
  """What of a folder's files another program may read and we do not: lines of text."""
  hub, path = hub_config.load_json(folder)
  keys = ', '.join(hub_config.passed_over(hub))
  lines = [f'{path}: {keys} is not used, nor does transformers use it' if keys else '']
  return [line for line in (*lines, tensors.leftover(folder)) if line]


@jax.jit
def _are_finite(leaves):
  """Whether each leaf is finite: one program, where one for each would take a second to load."""
  return jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves])


def _name_broken(plan, path, dtype):
  """Raises with the first tensor of the leaf at `path` that is not finite in its type."""
  for entry in (one for one in plan.entries if one.leaf == path):
    tensor = plan.found[entry.name]
    with np.errstate(over='ignore'):
      if not all(np.isfinite(rows.astype(dtype)).all() for _, rows in tensor.chunks()):
        break
  raise tensors.CheckpointFileError(
    f'{tensor.file}: {tensor.name} holds NaN or infinity as {np.dtype(dtype).name}, so the model '
    'would reply nothing; download it again, or read it in another type'
  )


def check(folder, cfg):
  """The `Match` of a hub folder; raises what `load` would, as far as headers tell."""
  folder = pathlib.Path(folder)
  hub, _ = hub_config.load_json(folder)
  return match(tensors_of(folder, cfg), cfg, hub_config.block_size(hub), folder)


def tensors_of(folder, cfg):
  """All tensors of a folder by name: of the hub's files, a GGUF file, or a base with adapters."""
  if (folder / tensors.GGUF).exists():
    from r1jax.interchange import gguf_import  # imports gguf, which takes half a second

    return gguf_import.tensors_of(folder, cfg)
  if (folder / checkpoints.BASE).exists():
    from r1jax.interchange import peft  # imports this module

    return peft.tensors_of(folder, cfg)
  return tensors.read_folder(folder)


def _check_equal(tensor, original):
  if tensor.dtype == original.dtype:
    pairs = zip(tensor.chunks(), original.chunks())
    if all(_same_bytes(a, b) for (_, a), (_, b) in pairs):
      return
  raise tensors.CheckpointFileError(
    f'{tensor.file}: {tensor.name} must repeat {original.name} but differs from it'
  )


def _same_bytes(left, right):
  of_bytes = lambda array: np.ascontiguousarray(array).reshape(-1).view(np.uint8)
  left, right = of_bytes(left), of_bytes(right)
  return np.array_equal(left, right)


def _load_leaf(plan, cfg, spec, entries, dtype):
  """One stacked leaf; only one device's part of it is on the host at a time."""
  kind = params_lib.dtype_of(spec, dtype)
  where = jax.sharding.NamedSharding(jax.sharding.get_mesh(), sharding.param(spec.axes))
  # Devices that hold the same part, as replicas do, share one array on the host.
  parts, on_device = {}, []
  for device, index in where.addressable_devices_indices_map(spec.shape).items():
    bounds = tuple(s.indices(size)[:2] for s, size in zip(index, spec.shape))
    parts.setdefault(bounds, []).append(device)
  for bounds, devices in parts.items():
    part = np.empty([stop - start for start, stop in bounds], kind)
    for entry in entries:
      placement.fill(part, bounds, entry, plan.found, plan.block, cfg)
    on_device += [jax.device_put(part, device) for device in devices]
    jax.block_until_ready(on_device[-1])  # else the parts of all devices wait on the host
  return jax.make_array_from_single_device_arrays(spec.shape, where, on_device)


def save(folder, params, cfg, dtype=None, shard_bytes=SHARD_BYTES, extra=None):
  """Writes weights, index and config.json in the hub's layout, tensor by tensor.

  Finished files of an interrupted export are kept where their bytes are the ones to be written.

  Args:
    folder: created where absent.
    params: tree of `transformer.specs(cfg)`; adapters are merged, their matrices written in
      float32. Of several processes all must call; the first one writes, and every one of them holds
      the whole model for the time.
    cfg: ModelConfig.
    dtype: type of the matrices in the file; None keeps every tensor as it is, bit by bit.
    shard_bytes: files larger than this are split into shards with an index.
    extra: more keys of config.json, such as token ids.

  Returns:
    What was written, see `hub_tensors`.
  """
  folder = pathlib.Path(folder)
  if jax.process_count() > 1:
    params = sharding.fetch(params)
  contents = hub_tensors(params, cfg, dtype)
  if jax.process_index() != 0:
    return contents
  folder.mkdir(parents=True, exist_ok=True)
  files = _split(contents, shard_bytes)
  for file, part in files.items():
    if not _is_written(folder / file, part):
      tensors.write(folder / file, part)
  if len(files) > 1:
    tensors.write_json(folder / tensors.INDEX, _index(files))
  # Files of an earlier export in another number of shards would be read beside these.
  stale = [p for p in folder.glob('model*.safetensors*') if p.name not in {*files, tensors.INDEX}]
  stale += [folder / tensors.INDEX] if len(files) == 1 else []
  for path in stale:
    path.unlink(missing_ok=True)
  # The type that readers load in: a merged matrix must not be rounded to the base's.
  dtype = 'float32' if cfg.lora.rank and dtype is None else dtype
  kind = {'torch_dtype': str(np.dtype(dtype))} if dtype else {}
  hub = config_json(cfg) | kind | (extra or {})
  tensors.write_json(folder / 'config.json', hub)
  return contents


def hub_tensors(params, cfg, dtype=None):
  """What `save` writes: list of (name, dtype as 'BF16', shape, function returning the array)."""
  cfg = lora.without(cfg)
  specs, contents = transformer.specs(cfg), {}
  for entry in names.table(cfg):
    leaf = names.spec_at(params, entry.leaf)
    spec = names.spec_at(specs, entry.leaf)
    own = np.float32 if lora.is_adapted(leaf) else leaf.dtype
    kind = np.dtype(own if dtype is None else params_lib.dtype_of(spec, dtype))

    def get(entry=entry, leaf=leaf, kind=kind):
      return placement.extract(leaf, entry, cfg).astype(kind)

    contents[entry.name] = (entry.name, tensors.NAMES[kind], entry.shape, get)
  # A tied head is left out, as the library does; the multi-token layer's copies are written.
  for name, source in names.copies(cfg).items():
    if not cfg.tied or name != 'lm_head.weight':
      contents[name] = (name, *contents[source][1:])
  return list(contents.values())


def _split(contents, shard_bytes):
  """File name -> its part of the contents."""
  parts, room = [[]], shard_bytes
  for item in contents:
    size = np.dtype(tensors.DTYPES[item[1]]).itemsize * int(np.prod(item[2]))
    if size > room and parts[-1]:
      parts.append([])
      room = shard_bytes
    parts[-1].append(item)
    room -= size
  if len(parts) == 1:
    return {tensors.SINGLE: parts[0]}
  return {f'model-{i + 1:05d}-of-{len(parts):05d}.safetensors': p for i, p in enumerate(parts)}


def _index(files):
  size = {n: np.dtype(tensors.DTYPES[n]).itemsize for n in tensors.DTYPES}
  items = [item for part in files.values() for item in part]
  total = sum(size[item[1]] * int(np.prod(item[2])) for item in items)
  where = {item[0]: file for file, part in files.items() for item in part}
  return {'metadata': {'total_size': total}, 'weight_map': where}


def _is_written(path, part):
  """Whether an earlier run left exactly this file: same tensors, same bytes."""
  if not path.exists():
    return False
  try:
    found = tensors.read_header(path)
  except tensors.CheckpointFileError:
    return False
  if [(t.name, t.dtype, t.shape) for t in found.values()] != [
    (n, d, tuple(s)) for n, d, s, _ in part
  ]:
    return False
  return all(_same_bytes(found[name].read(), get()) for name, _, _, get in part)
