"""Examines a model: python -m r1jax.evaluate --checkpoint=DIR --benchmark=NAME|FILE.jsonl.

R1's protocol by default (temperature 0.6, top-p 0.95, up to 32,768 tokens, the paper's number of
samples): pass@1 with error bars, pass@k, majority vote, lengths, truncation; every reply in a file.
A killed examination goes on with the same command. --compare tests it against another result.
"""

import argparse
import datetime
import json
import math
import pathlib
import sys

import jax
import rich.console

from r1jax import sharding
from r1jax.evaluation import intervals
from r1jax.evaluation.exam import benchmarks, examination, prompts, protocol, result
from r1jax.interchange import source
from r1jax.rewards import sandbox, score_card, service
from r1jax.runs import opening, tables

_EXAMPLES = f"""
benchmarks:
  NAME              K  PATH of --data
{{named}}
  tiny_world      {benchmarks.SAMPLES:3}  none: held-out questions of the tiny world, generated
  FILE.jsonl      {benchmarks.SAMPLES:3}  none: your own, in the form that training takes

examples:
  python -m r1jax.evaluate --checkpoint=tiny --benchmark=tiny_world
  python -m r1jax.evaluate --checkpoint=run --benchmark=gsm8k --data=test.jsonl --questions=200
  python -m r1jax.evaluate --checkpoint=qwen --benchmark=aime --data=aime_2024.jsonl --batch=16
  python -m r1jax.evaluate --output=after.json --compare=before.json     # two finished results
  python -m r1jax.evaluate --verifiers                                   # the reward verifiers
"""


def parse(argv):
  """The command's flags; ValueError where they don't go together."""
  named = '\n'.join(
    f'  {name:15} {one.samples:3}  {one.file}' for name, one in benchmarks.NAMED.items()
  )
  flags = argparse.ArgumentParser(
    prog='python -m r1jax.evaluate',
    description=__doc__,
    epilog=_EXAMPLES.format(named=named),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  _what(flags.add_argument_group('what is examined'))
  _how(flags.add_argument_group("how it is asked (defaults are the paper's)"))
  _after(flags.add_argument_group('what comes of it'))
  parsed = flags.parse_args(argv)
  if parsed.verifiers:
    return parsed
  if parsed.benchmark and not parsed.checkpoint:
    raise ValueError('give --checkpoint=DIR with --benchmark')
  if not parsed.benchmark and not (parsed.output and parsed.compare):
    raise ValueError(
      'give --checkpoint=DIR and --benchmark=NAME, or --output=A.json --compare=B.json for two '
      'finished results, or --verifiers; --help shows more'
    )
  return parsed


def _what(flags):
  flags.add_argument('--checkpoint', help=source.PLACES)
  flags.add_argument('--benchmark', metavar='NAME', help='see below')
  flags.add_argument('--data', default='', metavar='PATH', help='its file, or folder of files')
  flags.add_argument(
    '--questions', type=int, default=0, help='so many of them, evenly spread (default: all)'
  )
  flags.add_argument('--levels', default='1,3', help='of the tiny world (default: 1,3)')
  flags.add_argument(
    '--dates',
    default='{}:{}'.format(*benchmarks.CONTESTS),
    metavar='FIRST:LAST',
    help="LiveCodeBench's contests to keep, or 'all' (default: the paper's, %(default)s)",
  )
  flags.add_argument('--question_key', default='question', help='its field in FILE.jsonl')
  flags.add_argument('--answer_key', default='answer', help='its field in FILE.jsonl')


def _how(flags):
  proto = protocol.Protocol()
  flags.add_argument(
    '--samples', type=int, metavar='K', help="answers a question (default: the paper's, below)"
  )
  flags.add_argument(
    '--temperature', type=float, default=proto.temperature, help='default %(default)s'
  )
  flags.add_argument('--top_p', type=float, default=proto.top_p, help='default %(default)s')
  flags.add_argument(
    '--max_tokens', type=int, default=0, help='of an answer (default: 32,768, or what fits)'
  )
  flags.add_argument(
    '--template',
    choices=prompts.FORMS,
    default='checkpoint',
    help="the checkpoint's own chat template, R1-Zero's where it has none (default); R1-Zero's; "
    "R1's chat template",
  )
  flags.add_argument(
    '--instruction',
    help="text below each question in a chat ('' for none; default: how to mark the answer)",
  )
  flags.add_argument('--seed', type=int, default=proto.seed, help='the same gives the same answers')
  flags.add_argument(
    '--batch',
    type=int,
    default=proto.batch,
    help='answers drawn at once: lower it where memory ends (default: %(default)s)',
  )
  flags.add_argument('--dtype', help='of weights and computation (default: as stored)')
  flags.add_argument(
    '--mesh',
    default='1,1,1,1',
    help='devices over data,fsdp,expert,tensor; -1 takes what is left (default: one device)',
  )


def _after(flags):
  flags.add_argument(
    '--output',
    metavar='FILE.json',
    help='the result; replies go to FILE.samples.jsonl as they come (default: a name of its own in '
    'runs/evaluation)',
  )
  flags.add_argument(
    '--compare', metavar='OTHER.json', help='paired test against another result on these questions'
  )
  flags.add_argument(
    '--mixed',
    action='store_true',
    help='compare although prompts, sampler or grader differ',
  )
  flags.add_argument(
    '--interval',
    choices=intervals.KINDS,
    default='wilson',
    help='of the main column (default: wilson, which covers better; the file holds both)',
  )
  flags.add_argument(
    '--verifiers', action='store_true', help='only print the score card of the reward verifiers'
  )
  flags.add_argument('--json', metavar='FILE', help='with --verifiers: also write the card here')
  flags.add_argument(
    '--gsm8k', metavar='FILE', help='with --verifiers: more labelled pairs from its solutions'
  )


def print_score_card(flags):
  """Attacks, labelled pairs and latency of the verifiers; returns whether all is well."""
  card, outcomes = score_card.make(flags.gsm8k)
  for outcome in outcomes:
    if not outcome.repelled:
      print(f'NOT REPELLED  {outcome.verifier}: {outcome.name}  ({outcome.why})')
  for name, value in card.items():
    print(f'{name:18} {value}')
  if flags.json:
    pathlib.Path(flags.json).write_text(json.dumps(card, indent=2) + '\n')
  whole = card['attacks_repelled'] == card['attacks_total']
  return (
    whole and not card['false_positives'] and card['false_negatives'] <= 0.01 * card['labelled']
  )


def examine(flags):
  """Examines the checkpoint, prints what came of it; returns the result."""
  choice = benchmarks.Choice(
    flags.benchmark,
    flags.data,
    flags.questions,
    _levels(flags.levels),
    _dates(flags.dates),
    (flags.question_key, flags.answer_key),
  )
  proto = protocol.Protocol(
    choice.samples if flags.samples is None else flags.samples,
    flags.temperature,
    flags.top_p,
    flags.max_tokens,
    flags.batch,
    flags.seed,
  )
  asking = examination.Asking(flags.template, flags.instruction, flags.dtype)
  with jax.set_mesh(_mesh(flags.mesh)):
    folder = opening.open_model(flags.checkpoint, lambda line: print(line, file=sys.stderr))
    made = examination.Setting(flags.checkpoint, folder, choice, proto, asking)
    output = pathlib.Path(flags.output or made.output)
    tables.show('Examination', made.rows)
    content = made.run(output, flags.interval)
  console = rich.console.Console()
  console.print(result.table(content))
  console.print(
    f'result {output}, replies {examination.samples_file(output)}', soft_wrap=True, highlight=False
  )
  return content


def compare(flags, content):
  """Prints whether the result differs from another one."""
  other = result.read(flags.compare)
  apart = result.disagreements(content, other)
  found = result.compare(content, other, flags.mixed)
  if apart:
    print(f"not the same in both: {', '.join(apart)}; the difference is not the model's alone")
  print(result.judgement(content, other, found))


def _levels(text):
  try:
    low, high = map(int, text.split(','))
  except ValueError as error:
    raise ValueError(f'--levels={text}: expected two numbers such as 1,3') from error
  return low, high


def _dates(text):
  if text == 'all':
    return None
  try:
    first, last = map(datetime.date.fromisoformat, text.split(':'))
  except ValueError as error:
    raise ValueError(f"--dates={text}: expected 2024-08-01:2025-01-31 or 'all'") from error
  return first, last


def _mesh(text):
  try:
    shape = [int(size) for size in text.split(',')]
  except ValueError as error:
    raise ValueError(f'--mesh={text}: expected four numbers such as 1,1,1,1') from error
  wanted = None if -1 in shape else math.prod(shape)
  return sharding.make_mesh(shape, jax.devices()[:wanted])


def run(flags):
  """Does what the flags ask for; returns the exit status."""
  if flags.verifiers:
    return 0 if print_score_card(flags) else 1
  content = examine(flags) if flags.benchmark else result.read(flags.output)
  if flags.compare:
    compare(flags, content)
  return 0


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  try:
    return run(parse(argv))
  except sandbox.SandboxError as error:
    print(error, file=sys.stderr)
    return 2
  except (ValueError, OSError, service.VerifierFailure) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    print('stopped; the same command goes on', file=sys.stderr)
    return 130


if __name__ == '__main__':
  sys.exit(main())
