"""Talks to a model: thoughts are dimmed, answers plain.

/reset forgets the conversation, Ctrl-C stops an answer, Ctrl-D leaves. Into a pipe or a file goes
plain text, and a pipe is one question.
"""

import os
import sys

from r1jax import ranges
from r1jax.cli import commands, flags
from r1jax.interchange import checkpoints

_COMPILES = 'compiling; the first reply waits for it, a large model for minutes'
_EXAMPLES = """
r1jax chat                                              # with the shipped base
r1jax chat --checkpoint=runs/r1_zero_tiny --temperature=1 --prompt='3 + 4 - 2'
echo 'How many hours are three days?' | r1jax chat --checkpoint=qwen
"""


def parse(argv):
  """The command's flags."""
  parser = flags.Parser('chat', __doc__, _EXAMPLES)
  number = flags.number
  parser.add_argument('--checkpoint', default='tiny', metavar='PLACE', help=checkpoints.PLACES)
  parser.add_argument('--prompt', metavar='TEXT', help='answer this and leave')
  parser.add_argument(
    '--system',
    metavar='TEXT',
    help="system prompt (default: the run's own where --checkpoint is one; '' for none)",
  )
  parser.add_argument(
    '--max_tokens', type=number(ranges.Count), default=32_768, help='most tokens of an answer'
  )
  # R1's recommendation (reference §3.4): 0.5 to 0.7, and top-p 0.95.
  parser.add_argument(
    '--temperature',
    type=number(ranges.Temperature),
    default=0.6,
    help='0 takes the most likely token',
  )
  parser.add_argument(
    '--top_p', type=number(ranges.Mass), default=0.95, help='probability that is drawn from'
  )
  parser.add_argument('--seed', type=number(ranges.Seed), help='for the same answers again')
  parser.add_argument(
    '--dtype',
    choices=['float32', 'bfloat16', 'float16'],
    help='of weights and computation; as stored where not given',
  )
  parser.add_argument(
    '--devices', type=number(ranges.Count), default=1, help='how many to split the model over'
  )
  return parser.parse(argv)


def piped():
  """The question on standard input; ValueError where there is none."""
  question = sys.stdin.read().strip()
  if not question:
    raise ValueError('standard input holds no question: type one, pipe one, or give --prompt')
  return question


def run(given):
  """Loads the model and answers the prompt, the pipe or the terminal."""
  with commands.quiet():  # JAX comes with these: help and mistyped flags do not wait for it
    import jax

    from r1jax import programs, sharding
    from r1jax.cli import conversation
    from r1jax.sampling import sample
  seed = int.from_bytes(os.urandom(4), 'little') if given.seed is None else given.seed
  scfg = sample.SampleConfig(
    group=1, max_new=given.max_tokens, temperature=given.temperature, top_p=given.top_p
  )
  programs.keep()
  devices = jax.devices()[: given.devices]
  mesh = sharding.make_mesh((1, 1, 1, given.devices), devices)
  with jax.set_mesh(mesh):
    model = conversation.load(given.checkpoint, given.dtype)
    # On stderr: what is piped on is the answers alone.
    print(_COMPILES, file=sys.stderr, flush=True)
    system = conversation.system_prompt(given.checkpoint, given.system)
    talk = conversation.Conversation(model, scfg, seed, system)
    if given.prompt is not None:
      conversation.answer(talk, given.prompt, sys.stdout)
    elif not sys.stdin.isatty():
      conversation.answer(talk, piped(), sys.stdout)
    else:
      conversation.converse(talk, sys.stdout)


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  return commands.ended(lambda: run(parse(sys.argv[1:] if argv is None else argv)))


if __name__ == '__main__':
  sys.exit(main())
