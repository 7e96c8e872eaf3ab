"""Judges completions of any trainer: which are right, by the verifiers that rewards are made of.

A line of FILE.jsonl: {"kind": "math", "gold": "1/2", "completion": "\\boxed{0.5}"}. Kinds are math,
letter, numbers, order, code, json, and format, language, repetition, which need no gold. The field
"answer" instead of "completion" holds the final answer alone; "choices" are a letter's options
or their number, "tests" a program's tests. --json writes the records in their order with score,
verdict, extracted and why.
"""

import collections
import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable

from r1jax import cores
from r1jax.cli import commands, flags

_EXAMPLES = """
r1jax grade completions.jsonl                         # a table by kind
r1jax grade completions.jsonl --json=graded.jsonl     # and each record with its verdict
"""
_NAMED = 10  # unreadable lines that are named with their reason; of more there is a count
_START_SECONDS = 600.0  # that workers may take to start: nobody trains meanwhile
_GIB = 2  # address space of a worker, for programs' tests too


@dataclasses.dataclass(frozen=True)
class Record:
  """One line to be judged.

  Attributes:
    fields: dict of the line, extra columns with it.
    kind: name of what judges it.
    extracted: the final answer (str) that is judged, or None.
    check: () -> a `verdict.Verdict`, or the `verdict.Task` that will give it.
  """

  fields: dict
  kind: str
  extracted: str | None
  check: Callable


def parse(argv):
  """The command's flags."""
  parser = flags.Parser('grade', __doc__, _EXAMPLES)
  parser.add_argument('file', metavar='FILE.jsonl', type=pathlib.Path, help='what is judged')
  parser.add_argument(
    '--json',
    metavar='OUT.jsonl',
    type=flags.writable,
    help='the same records in the same order, each with score, verdict, extracted and why',
  )
  parser.add_argument(
    '--answer',
    choices=['tags', 'box', 'last_number'],
    default='tags',
    help='where a completion has its answer: in answer tags (else the last box), in the last box '
    'alone, or the last number that it has',
  )
  given = parser.parse(argv)
  out, file = given.json, given.file
  if out and out.exists() and file.exists() and out.samefile(file):
    raise ValueError(f'--json={out} is what is judged: name another file')
  return given


def read(path, answer='tags'):
  """The `Record`s of a JSONL file, whose completions have their answer as `answer` says.

  Raises:
    ValueError: lines can't be judged; it names them, and the reasons of the first ten.
    OSError: the file can't be opened.
  """
  from r1jax.data import records

  completions, bad = [], []
  with path.open('rb') as lines:
    for number, raw in enumerate(lines, 1):
      try:
        completions += [_record(records.line(raw), answer)] if raw.strip() else []
      except ValueError as error:
        bad.append((number, error))
  kind = records.other_kind(path) if bad and not completions else ''
  if kind:
    raise ValueError(f'{path}: looks like {kind}; wanted is one JSON object per line')
  if bad:
    named = '; '.join(f'line {number}: {error}' for number, error in bad[:_NAMED])
    more = f'; and {len(bad) - _NAMED} more' if len(bad) > _NAMED else ''
    lines = '1 line' if len(bad) == 1 else f'{len(bad)} lines'
    raise ValueError(f'{path}: {lines} cannot be judged, so none was. {named}{more}')
  if not completions:
    raise ValueError(f'{path}: no record in it, expected one JSON object per line')
  return completions


def _record(fields, answer):
  """The `Record` of a line's object; ValueError names the field that is malformed."""
  from r1jax.data import template
  from r1jax.rewards import accuracy, golds, service

  name = 'answer' if fields.get('completion') is None else 'completion'
  text, kind = fields.get(name), fields.get('kind')
  if text is None:
    raise ValueError(f"no field 'completion' or 'answer', found {sorted(fields)}")
  if not isinstance(text, str):
    raise ValueError(f'field {name!r} holds {text!r:.40}, expected text')
  judge = _judges(answer).get(kind) if isinstance(kind, str) else None
  if judge:
    if name == 'answer':
      raise ValueError(f"a {kind} is judged of a whole reply: give field 'completion'")
    return Record(fields, kind, None, judge(text, fields.get('gold')))
  if not isinstance(kind, str) or kind not in golds.NAMES:
    known = ', '.join((*golds.NAMES, *_judges(answer)))
    raise ValueError(f"field 'kind' holds {kind!r:.40}, expected one of {known}")
  gold, config = golds.graded(fields), service.RewardConfig(answer=answer)
  if name == 'answer' and kind == 'code':
    # In the tags a program needs no fence.
    text = f'{template.ANSWER}\n{text}\n{template.END_ANSWER}'
  alone = name == 'answer' and kind != 'code'
  reply = template.Reply(None, (text,), '') if alone else accuracy.read(text, config.answer)
  return Record(
    fields, kind, _extracted(gold, text, reply), lambda: gold.check(text, reply, config)
  )


def _judges(answer):
  """Kind -> (text, gold) -> check, of those that judge a text without a right answer."""
  from r1jax.rewards import accuracy, format, language, repetition

  def spoken(text, wanted):
    wanted = wanted or 'en'
    if wanted not in language.LANGUAGES:
      raise ValueError(f"field 'gold' holds {wanted!r:.40}, expected one of {language.LANGUAGES}")
    return lambda: language.check(text, wanted)

  return {
    'format': lambda text, _: lambda: format.asked(text, accuracy.read(text, answer), answer),
    'language': spoken,
    'repetition': lambda text, _: lambda: repetition.check(text),
  }


def _extracted(gold, text, reply):
  from r1jax.rewards import code

  if isinstance(gold, code.Tests):
    return code.extract(text, prefer_python=True)
  return gold.stated(text, reply)


def judge(records, advance):
  """The Verdict of each `Record`, in order; all cores work on what takes more than reading.

  An answer that is given again to the same gold is judged once. `advance()` is called after each.
  """
  from r1jax.rewards import code
  from r1jax.rewards.code import sandbox
  from r1jax.rewards.verdict import Task
  from r1jax.rewards.workers import pool

  if any(record.kind == code.Tests.name for record in records):
    sandbox.require(False)
  workers, verdicts, asked = None, [], {}
  try:
    waiting = []
    for record in records:
      one = record.check()
      if isinstance(one, Task):
        workers = workers or pool.Pool(
          len(cores.available()), _GIB << 30, start_seconds=_START_SECONDS
        )
        one = _submitted(one, workers, asked)
      waiting.append(one)
      if not _comes(one):
        advance()
    for one in waiting:
      verdicts.append(one.result() if _comes(one) else one)
      if _comes(one):
        advance()
  finally:
    if workers:
      workers.close()
  return verdicts


def _submitted(task, workers, asked):
  """The future of a task's verdict; of mathematics that of an equal one before, kept in `asked`."""
  if task.check != 'math':
    return workers.submit(task)
  if task not in asked:
    asked[task] = workers.submit(task)
  return asked[task]


def _comes(found):
  """Whether it is the future of a verdict."""
  return hasattr(found, 'result')


def table(records, verdicts, seconds):
  """Counts of verdicts and the mean score by kind, and seconds, as a rich table."""
  import rich.box
  import rich.table

  from r1jax.rewards.verdict import Kind

  out = rich.table.Table(box=rich.box.SIMPLE, title_justify='left', pad_edge=False)
  for name in ('kind', 'records', *(kind.value.split('_')[-1] for kind in Kind), 'score'):
    out.add_column(name, justify='left' if name == 'kind' else 'right', no_wrap=True)
  by_kind = collections.defaultdict(list)
  for record, verdict in zip(records, verdicts):
    by_kind[record.kind].append(verdict)
  rows = [*by_kind.items(), ('all', verdicts)] if len(by_kind) > 1 else by_kind.items()
  for name, ones in rows:
    counts = collections.Counter(one.kind for one in ones)
    scored = [one.score for one in ones if one.scored]
    mean = f'{sum(scored) / len(scored):.3f}' if scored else '-'
    out.add_row(name, f'{len(ones):,}', *(f'{counts[kind]:,}' for kind in Kind), mean)
  out.title = f'{len(verdicts):,} records in {seconds:.1f} seconds'
  return out


def run(given):
  """Judges the file; errors of use are ValueErrors, of the file OSErrors."""
  with commands.quiet():
    import rich.console
    import rich.progress

    from r1jax import files
  started = time.monotonic()
  records = read(given.file, given.answer)
  with rich.progress.Progress(
    *rich.progress.Progress.get_default_columns(),
    rich.progress.MofNCompleteColumn(),
    console=rich.console.Console(stderr=True),
    transient=True,
  ) as bar:
    task = bar.add_task('judging', total=len(records))
    verdicts = judge(records, lambda: bar.advance(task))
  if given.json:
    rows = (_row(record, verdict) for record, verdict in zip(records, verdicts))
    files.write_atomically(given.json, ''.join(json.dumps(row) + '\n' for row in rows))
  rich.console.Console().print(table(records, verdicts, time.monotonic() - started))


def _row(record, verdict):
  return record.fields | {
    'score': verdict.score,
    'verdict': verdict.kind.value,
    'extracted': record.extracted,
    'why': verdict.why,
  }


def main(argv=None):
  """Runs the command; errors of use end in one line and exit status 1."""
  return commands.ended(lambda: run(parse(sys.argv[1:] if argv is None else argv)), _expected)


def _expected():
  from r1jax.rewards.code import sandbox

  return (sandbox.SandboxError,)


if __name__ == '__main__':
  sys.exit(main())
