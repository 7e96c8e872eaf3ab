"""Examines a model on a benchmark, or compares two finished results.

R1's protocol by default (temperature 0.6, top-p 0.95, up to 32,768 tokens, the paper's number of
samples): pass@1 with error bars, pass@k, majority vote, lengths, truncation; every reply in a file.
A killed examination goes on with the same command. --compare tests it against another result.
"""

import dataclasses
import datetime
import json
import math
import pathlib
import shlex
import sys

from r1jax import ranges, terminal
from r1jax.cli import commands, flags
from r1jax.interchange import checkpoints, tensors

_EXAMPLES = """
r1jax evaluate --checkpoint=tiny --benchmark=tiny_world
r1jax evaluate --checkpoint=run --benchmark=gsm8k --data=test.jsonl --questions=200
r1jax evaluate --checkpoint=qwen --benchmark=aime --data=aime_2024.jsonl --batch=16
r1jax evaluate --output=after.json --compare=before.json     # two finished results
r1jax evaluate --verifiers                                   # the reward verifiers
"""


def parse(argv):
  """The command's flags; ValueError where they don't go together."""
  with commands.quiet():
    from r1jax.evaluation.exam import benchmarks  # JAX comes with it
  parser = flags.Parser('evaluate', __doc__, _EXAMPLES)
  # A table below the flags: every benchmark, its k and the file that it needs.
  named = {name: (one.samples, one.file) for name, one in benchmarks.NAMED.items()}
  named['tiny_world'] = benchmarks.SAMPLES, 'none: held-out questions of the tiny world, generated'
  named['FILE.jsonl'] = benchmarks.SAMPLES, 'none: your own, as training takes it; FILE.parquet too'
  rows = [f'  {name:15} {samples:3}  {file}' for name, (samples, file) in named.items()]
  table = '\n'.join(['benchmarks:', '  NAME              K  PATH of --data', *rows])
  parser.epilog = f'{table}\n\n{parser.epilog}'
  _what(parser.add_argument_group('what is examined'))
  _how(parser.add_argument_group("how replies are drawn (defaults are the paper's)"))
  _put(parser.add_argument_group('how questions are put and answers read'))
  _after(parser.add_argument_group('what comes of it'))
  parsed = parser.parse(argv)
  # Which flags go together.
  _refuse_unused(parser, parsed)
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


def _refuse_unused(parser, parsed):
  """Raises ValueError for a flag of an examination where none is asked for."""
  if parsed.verifiers:
    what, used = '--verifiers examines no model', ('verifiers', 'json', 'gsm8k')
  elif not parsed.benchmark and parsed.compare:
    what, used = 'two results are compared', ('output', 'compare', 'mixed')
  else:
    return
  for name, value in vars(parsed).items():
    # What the parser adds itself is no flag.
    if name not in (*used, 'overrides') and value != parser.get_default(name):
      raise ValueError(f'--{name} is of an examination, and without --benchmark {what}')


def _what(group):
  from r1jax.evaluation.exam import benchmarks

  group.add_argument('--checkpoint', help=checkpoints.PLACES)
  group.add_argument('--benchmark', metavar='NAME', help='see below')
  group.add_argument('--data', default='', metavar='PATH', help='its file, or folder of files')
  group.add_argument(
    '--questions',
    type=flags.number(ranges.Size),
    default=0,
    help='so many of them, evenly spread (default: all)',
  )
  group.add_argument('--levels', default='1,3', help='of the tiny world (default: 1,3)')
  group.add_argument(
    '--dates',
    default='{}:{}'.format(*benchmarks.CONTESTS),
    metavar='FIRST:LAST',
    help="LiveCodeBench's contests to keep, or 'all' (default: the paper's, %(default)s)",
  )
  group.add_argument('--question_key', default='question', help='its field in FILE')
  group.add_argument('--answer_key', default='answer', help='its field in FILE')


def _how(group):
  from r1jax.evaluation.exam import protocol

  # The defaults stand once, in that dataclass.
  proto = protocol.Protocol()
  group.add_argument(
    '--samples',
    type=flags.number(ranges.Count),
    metavar='K',
    help="answers per question (default: the paper's, below)",
  )
  group.add_argument(
    '--temperature',
    type=flags.number(ranges.Temperature),
    default=proto.temperature,
    help='default %(default)s',
  )
  group.add_argument(
    '--top_p', type=flags.number(ranges.Mass), default=proto.top_p, help='default %(default)s'
  )
  group.add_argument(
    '--max_tokens',
    type=flags.number(ranges.Size),
    default=0,
    help='of an answer (default: 32,768, or what fits)',
  )
  group.add_argument(
    '--seed',
    type=flags.number(ranges.Seed),
    default=proto.seed,
    help='the same gives the same answers',
  )
  group.add_argument(
    '--batch',
    type=flags.number(ranges.Count),
    default=proto.batch,
    help='answers drawn at once: lower it where memory ends (default: %(default)s)',
  )
  group.add_argument('--dtype', help='of weights and computation (default: as stored)')
  group.add_argument(
    '--mesh',
    default='1,1,1,1',
    help='devices over data,fsdp,expert,tensor; -1 takes what is left (default: one device)',
  )


def _put(group):
  from r1jax.evaluation.exam import examination

  group.add_argument(
    '--template',
    choices=examination.TEMPLATES,
    default='checkpoint',
    help="the checkpoint's own chat template, R1-Zero's where it has none (default); R1-Zero's; "
    "the question as it stands; R1's chat template",
  )
  group.add_argument(
    '--system', default='', metavar='TEXT', help='system prompt of a chat (default: none)'
  )
  group.add_argument(
    '--few_shot',
    default='',
    metavar='FILE.jsonl',
    help='solved examples that stand before each question (default: none)',
  )
  group.add_argument(
    '--answer',
    choices=list(examination.ANSWERS),
    default='tags',
    help='where an answer is looked for: answer tags, else the last box (default); the last box; '
    'the last number',
  )
  group.add_argument(
    '--instruction',
    help="text below each question in a chat ('' for none; default: how to mark the answer)",
  )


def _after(group):
  from r1jax.evaluation import intervals

  group.add_argument(
    '--output',
    metavar='FILE.json',
    help='the result; replies go to FILE.samples.jsonl as they come (default: a name of its own in '
    'runs/evaluation)',
  )
  group.add_argument(
    '--compare', metavar='OTHER.json', help='paired test against another result on these questions'
  )
  group.add_argument(
    '--mixed',
    action='store_true',
    help='compare although prompts, sampler or grader differ',
  )
  group.add_argument(
    '--interval',
    choices=intervals.KINDS,
    default='wilson',
    help='of the main column (default: wilson, which covers better; the file holds both)',
  )
  group.add_argument(
    '--verifiers', action='store_true', help='only print the score card of the reward verifiers'
  )
  group.add_argument('--json', metavar='FILE', help='with --verifiers: also write the card here')
  group.add_argument(
    '--gsm8k', metavar='FILE', help='with --verifiers: more labelled pairs from its solutions'
  )


def print_score_card(given):
  """Attacks, labelled pairs and latency of the verifiers; returns whether all is well."""
  with commands.quiet():
    from r1jax.rewards import score_card
  card, outcomes = score_card.make(given.gsm8k)
  # Those that are repelled are only counted, in the card below.
  for outcome in outcomes:
    if not outcome.repelled:
      _say(f'NOT REPELLED  {outcome.verifier}: {outcome.name}  ({outcome.why})')
  for name, value in card.items():
    print(f'{name:18} {value}')
  if given.json:
    pathlib.Path(given.json).write_text(json.dumps(card, indent=2) + '\n')
  # A wrong answer that is taken can be learned, so there may be none; a right one that is refused
  # costs little, so one in a hundred may.
  whole = card['attacks_repelled'] == card['attacks_total']
  return (
    whole and not card['false_positives'] and card['false_negatives'] <= 0.01 * card['labelled']
  )


def examine(given):
  """Examines the checkpoint, prints what came of it; returns the result."""
  with commands.quiet():
    import jax
    import rich.console

    from r1jax import programs
    from r1jax.evaluation.exam import benchmarks, examination, protocol, result
    from r1jax.runs import opening, tables
  # 1. What is asked, and how it is drawn.
  choice = benchmarks.Choice(
    given.benchmark,
    given.data,
    given.questions,
    _levels(given.levels),
    _dates(given.dates),
    (given.question_key, given.answer_key),
  )
  proto = protocol.Protocol(
    choice.samples if given.samples is None else given.samples,
    given.temperature,
    given.top_p,
    given.max_tokens,
    given.batch,
    given.seed,
  )
  asked = {
    field.name: getattr(given, field.name) for field in dataclasses.fields(examination.Asking)
  }
  asking = examination.Asking(**asked)
  # 2. Who is asked: all below is computed on this mesh.
  programs.keep()
  with jax.set_mesh(_mesh(given.mesh)):
    note = lambda line: _say(line, sys.stderr)
    folder = opening.open_model(given.checkpoint, note)
    _warn_of_asking(given, opening.asking(given.checkpoint, note))
    if tensors.leftover(folder):
      _say(tensors.leftover(folder), sys.stderr)
    made = examination.Examination(given.checkpoint, folder, choice, proto, asking)
    output = pathlib.Path(given.output or made.output)
    # Before the first call, as all of them may take hours.
    tables.show('Examination', made.rows)
    content = made.run(output, given.interval)
  # 3. What came of it.
  console = rich.console.Console()
  console.print(result.table(content))
  _say(f'result {output}, replies {examination.samples_file(output)}')
  return content


def _warn_of_asking(given, trained):
  """Says which flags would ask a run's model as its training did, where they differ."""
  other = {name: value for name, value in trained.items() if value != getattr(given, name)}
  if other:
    needed = ' '.join(f'--{name}={shlex.quote(value)}' for name, value in other.items())
    _say(f'note: this model is not asked as it was trained; that is {needed}', sys.stderr)


def compare(given, content):
  """Prints whether the result differs from another one."""
  from r1jax.evaluation.exam import result

  other = result.read(given.compare)
  apart = result.disagreements(content, other)
  gap = result.compare(content, other, given.mixed)
  # Here only with --mixed: without it the comparison above has refused.
  if apart:
    _say(f"not the same in both: {', '.join(apart)}; the difference is not the model's alone")
  _say(result.judgement(content, other, gap))


def _say(text, out=None):
  """Prints what may hold a name or a text of others."""
  print(terminal.plain(text), file=out)


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
  import jax

  from r1jax import sharding

  try:
    shape = [int(size) for size in text.split(',')]
  except ValueError as error:
    raise ValueError(f'--mesh={text}: expected four numbers such as 1,1,1,1') from error
  # -1 takes all devices there are, else just as many as the mesh has places, if it has any.
  wanted = None if -1 in shape else max(1, math.prod(shape))
  return sharding.make_mesh(shape, jax.devices()[:wanted], '--mesh')


def run(given):
  """Does what the flags ask for; returns the exit status."""
  with commands.quiet():
    from r1jax.evaluation.exam import result
    from r1jax.rewards import service
    from r1jax.rewards.code import sandbox
  try:
    if given.verifiers:
      return 0 if print_score_card(given) else 1
    content = examine(given) if given.benchmark else result.read(given.output)
    if given.compare:
      compare(given, content)
    return 0
  # A status of its own: neither the model nor the command is wrong, but this machine.
  except sandbox.SandboxError as error:
    _say(str(error), sys.stderr)
    return 2
  except service.VerifierFailure as error:
    return commands.fail(error)


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  work = lambda: run(parse(sys.argv[1:] if argv is None else argv))
  return commands.ended(work, stopped='stopped; the same command goes on')


if __name__ == '__main__':
  sys.exit(main())
