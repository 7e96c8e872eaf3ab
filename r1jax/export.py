"""Hands a model on, as a hub folder, a GGUF file or an adapter, and checks what was written."""

import contextlib
import pathlib
import shlex
import sys

from r1jax import ranges
from r1jax.cli import commands, flags
from r1jax.interchange import checkpoints

_EXAMPLES = """
r1jax export --checkpoint=runs/r1_zero_tiny --output=hub
r1jax export --checkpoint=runs/r1_zero_tiny --output=gguf --format=gguf --dtype=q8_0
r1jax export --checkpoint=runs/lora --output=adapter --format=peft
r1jax export --verify=hub
"""
HUB_TYPES = ('float32', 'bfloat16', 'float16')


def parse(argv):
  """The command's flags; ValueError where they don't go together."""
  with commands.quiet():
    from r1jax.interchange import gguf  # JAX comes with it
  parser = flags.Parser('export', __doc__, _EXAMPLES)
  parser.add_argument('--checkpoint', help=checkpoints.PLACES)
  parser.add_argument('--output', help='folder to write')
  parser.add_argument(
    '--format',
    default='hub',
    choices=['hub', 'gguf', 'peft'],
    help='layout of the output; peft is the adapter of a run with config.lora.rank',
  )
  parser.add_argument(
    '--dtype',
    choices=[*HUB_TYPES, *gguf.TYPES],
    help='of the matrices: the first three for hub (default: unchanged), the others for gguf (f16)',
  )
  parser.add_argument(
    '--shard_gib',
    type=flags.number(ranges.Positive),
    default=4.0,
    help='largest weights file for hub',
  )
  parser.add_argument(
    '--devices',
    type=flags.number(ranges.Count),
    default=1,
    help='how many to spread the weights over',
  )
  parser.add_argument('--verify', help='only check this exported folder against its report')
  parsed = parser.parse(argv)
  if not parsed.verify and not (parsed.checkpoint and parsed.output):
    raise ValueError('give --checkpoint=DIR and --output=DIR, or --verify=DIR')
  if parsed.output and pathlib.Path(parsed.output).is_file():
    raise ValueError(f'--output={parsed.output} is a file: name a folder')
  # Each format has types of its own; an adapter is float32.
  types = {'hub': HUB_TYPES, 'gguf': gguf.TYPES, 'peft': ()}[parsed.format]
  if parsed.dtype not in (None, *types):
    kinds = f'takes {", ".join(types)}' if types else 'is float32 and takes no --dtype'
    raise ValueError(f'--dtype={parsed.dtype}: --format={parsed.format} {kinds}')
  return parsed


def run(given):
  """Exports or verifies; returns the exit status."""
  with commands.quiet():
    import jax

    from r1jax import sharding
    from r1jax.interchange import exporting, gguf, peft
    from r1jax.runs import opening
  if given.verify:
    return _judge(given.verify, exporting.verify(given.verify))
  devices = jax.local_devices()[: given.devices]
  # All devices over fsdp, which splits every matrix: none has to hold the whole model.
  mesh = sharding.make_mesh((1, given.devices, 1, 1), devices)
  with jax.set_mesh(mesh), _no_empty_folders(given.output):
    folder = opening.open_model(given.checkpoint)
    system = opening.asking(given.checkpoint).get('system', '')
    _tell_of(given.output)
    if given.format == 'gguf':
      path = gguf.export(folder, given.output, given.dtype or 'f16', system)
      written = shlex.quote(f'{path.parent}/Modelfile')
      print(f'{path} is written; next: ollama create my-model -f {written}')
      return 0
    if given.format == 'peft':
      peft.copy(folder, given.output)
      _tell_system(system)
      print(f'{given.output} is written; r1jax and peft find the base by its adapter_config.json')
      return 0
    size = int(given.shard_gib * (1 << 30))
    # Read back and compared with what was meant, which the report tells.
    report = exporting.export(folder, given.output, given.dtype, size)
    _tell_system(system)
  return _judge(given.output, report['problems'])


@contextlib.contextmanager
def _no_empty_folders(folder):
  """Removes what was made of the folder's path where nothing came to be written into it."""
  path = pathlib.Path(folder).absolute()
  made = [place for place in (path, *path.parents) if not place.exists()]
  try:
    yield
  finally:
    with contextlib.suppress(OSError):  # it holds something, or was never made
      for place in made:
        place.rmdir()


def _tell_of(folder):
  """Says what stands in the folder that is to be written; ValueError where that is a run's."""
  path = pathlib.Path(folder).absolute()
  for run in (path, path.parent if path.name.startswith('model') else path):
    made = (run / 'metrics.jsonl').exists() or (run / 'checkpoints').is_dir()
    if made and (run / 'config.json').exists():
      raise ValueError(
        f'--output={folder} belongs to the run in {run}, whose files would be replaced: name '
        'another folder'
      )
  held = sorted(p.name for p in path.iterdir()) if path.is_dir() else []
  if held:
    names = ', '.join(held[:3]) + (', ...' if len(held) > 3 else '')
    print(f'{folder} holds {names}: files of the same name are replaced, others stay')


def _tell_system(system):
  """Says what a folder of a model has no place for."""
  if system:
    print(
      f'learned with the system prompt {system!r}, which no file of this format holds: give it in '
      'the chat'
    )


def _judge(folder, problems):
  for problem in problems:
    print(problem, file=sys.stderr)
  print(f'{folder}: {f"{len(problems)} problems" if problems else "verified"}')
  return 1 if problems else 0


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  work = lambda: run(parse(sys.argv[1:] if argv is None else argv))
  return commands.ended(work, stopped='stopped; the same command starts anew')


if __name__ == '__main__':
  sys.exit(main())
