"""Judges the kept replies of a run by another reward, and lists the verdicts that flip.

--reward.KEY=VALUE changes a key of the run's reward, as --config.reward.KEY does in training; what
is not given stays as the run had it. Nothing is sampled or trained, and the run stays as it is.
--json writes every row of samples/ with what the other reward says.
"""

import pathlib
import sys

from r1jax import ranges, terminal
from r1jax.cli import commands, flags

_EXAMPLES = """
r1jax rescore runs/r1_zero_tiny --reward.answer=last_number
r1jax rescore runs/r1_zero_tiny --reward.function=my_rewards.py:short --reward.format=0
"""
_KEY = '--reward.'


def parse(argv):
  """The command's flags; `changes` are the (key, text) of the reward."""
  parser = flags.Parser('rescore', __doc__, _EXAMPLES)
  parser.add_argument('run', metavar='RUN', type=pathlib.Path, help="a run's folder")
  parser.add_argument('--json', metavar='FILE.jsonl', type=pathlib.Path, help='every row')
  parser.add_argument(
    '--flips', type=flags.number(ranges.Size), default=10, help='of those that are printed, most'
  )
  changes = [text for text in argv if text.startswith(_KEY)]
  given = parser.parse([text for text in argv if not text.startswith(_KEY)])
  given.changes = []
  for text in changes:
    key, equals, value = text.removeprefix('--').partition('=')
    if not equals:
      raise ValueError(f'{text}: expected {_KEY}KEY=VALUE')
    given.changes.append((key, value))
  if not given.changes:
    raise ValueError(f'nothing to judge by: give {_KEY}KEY=VALUE, such as {_KEY}answer=last_number')
  return given


def run(given):
  """Judges and prints."""
  with commands.quiet():
    import rich.console

    from r1jax import config as config_lib
    from r1jax import files
    from r1jax.cli import overrides
    from r1jax.runs import opening, rescoring
    from r1jax.runs.show import reading
    from r1jax.train import progress
  trained = reading.read(given.run)
  if not trained.kept:
    raise ValueError(f'{given.run}/samples holds no replies')
  opening.read_job(given.run)  # refuses what is not of this version
  config = opening.read_config(given.run)
  for key, text in given.changes:
    overrides.override(config, key, text)
  job = config_lib.build(config)
  with progress.Status('judging the kept replies') as status:
    judged, left = rescoring.rescore(trained, job.data, job.reward, status.advance)
  if given.json:
    files.write_rows(given.json, (one.as_json() for one in judged))
  console = rich.console.Console(highlight=False)
  for part in told(judged, left, given.flips):
    console.print(part)


def told(judged, left, most):
  """What is printed of some `rescoring.Rescored`; at most `most` flips are shown."""
  import rich.text

  yield table(judged)
  flips = [one for one in judged if one.flips]
  turned = sum(one.turned for one in judged)
  yield rich.text.Text(
    f'{len(flips)} of {len(judged)} replies have a verdict that flips; {turned} would be pushed '
    'the other way within their group'
  )
  if left:
    yield rich.text.Text(
      f'{left} replies cannot be judged: their question has no rule, or its file is gone or has '
      'another answer by now'
    )
  shown = flips or [one for one in judged if one.turned]
  for one in shown[:most]:
    yield _reply(one)
  if len(shown) > most:
    yield rich.text.Text(f'and {len(shown) - most} more (--flips, --json)')


def table(judged):
  """By file of replies: mean reward and share of right replies, then and now."""
  import rich.box
  import rich.table

  out = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False)
  for name in ('replies', 'number', 'reward', 'now', 'right', 'now', 'flips', 'turned'):
    out.add_column(name, justify='left' if name == 'replies' else 'right', no_wrap=True)
  by_file = {}
  for one in judged:
    by_file.setdefault(one.kept.path, []).append(one)
  for ones in by_file.values():
    where = 'rollout' if ones[0].kept.name == 'step' else 'held out'
    right = lambda parts: parts['accuracy']['score'] > 0.5 if 'accuracy' in parts else None
    cells = (
      _mean([one.row['reward'] for one in ones]),
      _mean([one.total for one in ones]),
      _mean([right(one.row['rewards']) for one in ones]),
      _mean([one.verdicts['accuracy'].score for one in ones if 'accuracy' in one.verdicts]),
    )
    counts = (sum(bool(one.flips) for one in ones), sum(one.turned for one in ones))
    out.add_row(f'{where} {ones[0].kept.step}', str(len(ones)), *cells, *map(str, counts))
  return out


def _mean(values):
  known = [float(value) for value in values if value is not None]
  return f'{sum(known) / len(known):.3f}' if known else '-'


def _reply(one):
  """A reply whose verdict flips: what it was, what it is now, and why."""
  import rich.text

  where = 'rollout' if one.kept.name == 'step' else 'held out'
  parts = [f'\n{where} {one.kept.step}, reply {one.row["index"]}: {one.row["question"][-160:]}\n']
  parts.append(f'{one.row["completion"].strip()[:400] or "(empty)"}\n')
  for name in one.flips or one.verdicts:
    before, now = one.row['rewards'].get(name), one.verdicts[name]
    was = f'{before["kind"]} {_why(before["why"])}' if before else 'not judged'
    parts.append(f'  {name}: {was} -> {now.kind} {now.score:g} {_why(now.why)}\n')
  styles = ('bold', '', *['yellow'] * len(parts))
  plain = ((terminal.plain(text), style) for text, style in zip(parts, styles))
  return rich.text.Text.assemble(*plain, end='')


def _why(text):
  return f'({text})' if text else ''


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  return commands.ended(lambda: run(parse(sys.argv[1:] if argv is None else argv)), _expected)


def _expected():
  from r1jax.rewards import service

  return (service.VerifierFailure,)


if __name__ == '__main__':
  sys.exit(main())
