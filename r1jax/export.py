"""Hands a model on: python -m r1jax.export --checkpoint=DIR --output=DIR [--format=gguf]."""

import pathlib
import sys

import jax
from absl import app, flags

from r1jax import sharding
from r1jax.interchange import exporting, gguf
from r1jax.interchange import source as checkpoints

_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, "hub folder, work directory of a run, or 'tiny'"
)
_OUTPUT = flags.DEFINE_string('output', None, 'folder to write')
_FORMAT = flags.DEFINE_enum('format', 'hub', ['hub', 'gguf'], 'layout of the output')
_DTYPE = flags.DEFINE_enum(
  'dtype',
  None,
  ['float32', 'bfloat16', 'float16', *gguf.TYPES],
  'type of the matrices: float32, bfloat16, float16 for hub (default: unchanged); '
  'f32, f16, q8_0 for gguf (default f16)',
)
_SHARD_GIB = flags.DEFINE_float('shard_gib', 4.0, 'largest weights file of the hub layout')
_VERIFY = flags.DEFINE_string('verify', None, 'only check this exported folder against its report')


def run():
  """Exports or verifies; returns the exit status."""
  if _VERIFY.value:
    return _judge(_VERIFY.value, exporting.verify(_VERIFY.value))
  if not _CHECKPOINT.value or not _OUTPUT.value:
    raise ValueError('give --checkpoint=DIR and --output=DIR (or --verify=DIR)')
  if (_FORMAT.value == 'gguf') != (_DTYPE.value in gguf.TYPES) and _DTYPE.value:
    raise ValueError(f'--dtype={_DTYPE.value} is not one of --format={_FORMAT.value}')
  source = checkpoints.open(_CHECKPOINT.value)
  with jax.set_mesh(sharding.make_mesh((1, 1, 1, 1), jax.local_devices()[:1])):
    if _FORMAT.value == 'gguf':
      return _to_gguf(source)
    size = int(_SHARD_GIB.value * (1 << 30))
    report = exporting.export(source, _OUTPUT.value, _DTYPE.value, size)
  return _judge(_OUTPUT.value, report['problems'])


def _to_gguf(source):
  path = gguf.export(source, pathlib.Path(_OUTPUT.value), _DTYPE.value or 'f16')
  print(f'{path} and Modelfile written; next: ollama create my-model -f {path.parent}/Modelfile')
  return 0


def _judge(folder, problems):
  for problem in problems:
    print(problem, file=sys.stderr)
  print(f'{folder}: {f"{len(problems)} problems" if problems else "verified"}')
  return 1 if problems else 0


def main(argv):
  try:
    if len(argv) > 1:
      raise ValueError(f'unknown arguments {argv[1:]}')
    return run()
  except (ValueError, OSError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1


if __name__ == '__main__':
  app.run(main)
