"""Hands a model on: python -m r1jax.export --checkpoint=DIR --output=DIR [--format=gguf]."""

import argparse
import sys

import jax

from r1jax import sharding
from r1jax.interchange import exporting, gguf, source
from r1jax.runs import opening

HUB_TYPES = ('float32', 'bfloat16', 'float16')


def parse(argv):
  """The command's flags; ValueError where they don't go together."""
  flags = argparse.ArgumentParser(
    prog='python -m r1jax.export', description=__doc__.split('\n')[0], allow_abbrev=False
  )
  flags.add_argument('--checkpoint', help=source.PLACES)
  flags.add_argument('--output', help='folder to write')
  flags.add_argument(
    '--format', default='hub', choices=['hub', 'gguf'], help='layout of the output'
  )
  flags.add_argument(
    '--dtype',
    choices=[*HUB_TYPES, *gguf.TYPES],
    help='of the matrices: the first three for hub (default: unchanged), the others for gguf (f16)',
  )
  flags.add_argument('--shard_gib', type=float, default=4.0, help='largest weights file for hub')
  flags.add_argument('--devices', type=int, default=1, help='how many to spread the weights over')
  flags.add_argument('--verify', help='only check this exported folder against its report')
  parsed = flags.parse_args(argv)
  if not parsed.verify and not (parsed.checkpoint and parsed.output):
    raise ValueError('give --checkpoint=DIR and --output=DIR, or --verify=DIR')
  if parsed.shard_gib <= 0:
    raise ValueError(f'--shard_gib={parsed.shard_gib} must be positive')
  if parsed.dtype not in (None, *(gguf.TYPES if parsed.format == 'gguf' else HUB_TYPES)):
    raise ValueError(f'--dtype={parsed.dtype} is not one of --format={parsed.format}')
  return parsed


def run(flags):
  """Exports or verifies; returns the exit status."""
  if flags.verify:
    return _judge(flags.verify, exporting.verify(flags.verify))
  devices = jax.local_devices()[: flags.devices]
  with jax.set_mesh(sharding.make_mesh((1, flags.devices, 1, 1), devices)):
    source = opening.open_model(flags.checkpoint)
    if flags.format == 'gguf':
      path = gguf.export(source, flags.output, flags.dtype or 'f16')
      print(f'{path} is written; next: ollama create my-model -f {path.parent}/Modelfile')
      return 0
    size = int(flags.shard_gib * (1 << 30))
    report = exporting.export(source, flags.output, flags.dtype, size)
  return _judge(flags.output, report['problems'])


def _judge(folder, problems):
  for problem in problems:
    print(problem, file=sys.stderr)
  print(f'{folder}: {f"{len(problems)} problems" if problems else "verified"}')
  return 1 if problems else 0


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  try:
    return run(parse(argv))
  except (ValueError, OSError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1


if __name__ == '__main__':
  sys.exit(main())
