"""The score card of the verifiers: what attacks get, how labelled answers are judged, how fast."""

import collections
import dataclasses
import json
import pathlib
import random
import re
import statistics
import time

from r1jax.rewards import format, language, repetition, service
from r1jax.rewards.attacks import table
from r1jax.rewards.code import attacks
from r1jax.rewards.math import value
from r1jax.rewards.verdict import Kind

# The result of a published solution. Yes: `#### 1,234`, `#### -5`. No: `### 5`.
_GOLD = re.compile(r'#### (-?[\d,]+)')
# The result of one of its steps. Yes: `<<16-3=13>>`. No: `<<13>>`.
_STEP = re.compile(r'<<[^=<>]*=(-?[\d.]+)>>')


@dataclasses.dataclass(frozen=True)
class Outcome:
  """One attack: its verifier and name, whether it was repelled, and what it got if not."""

  verifier: str
  name: str
  repelled: bool
  why: str


_TEXT = {'format': format.check, 'language': language.check, 'repetition': repetition.check}


def text_attacks(rows=None):
  """Outcomes of the attacks on the verifiers of text: `table.attacks()`, or some of them."""
  rows = table.attacks() if rows is None else rows
  return [_outcome(row.kind, row.name, verdict(row)) for row in rows]


def verdict(row):
  """What the verifier says of a `table.Row`."""
  if row.answer:
    return value.equal(row.gold.text, row.answer)
  judge = _TEXT.get(row.kind)
  return judge(row.completion) if judge else service.judge(row.completion, row.gold)


def code_attacks(chosen=None, allow_unsandboxed=False):
  """Outcomes of all attacks on the code verifier, or the chosen; a leak counts as not repelled."""
  cases = attacks.run(attacks.load() if chosen is None else chosen, allow_unsandboxed)
  return [_outcome('code', attack.name, judged, left) for attack, judged, left in cases]


def labelled(gsm8k=None, questions=150):
  """Labelled answers: (gold, answer, whether they are equal).

  They are those of the tables and, given a GSM8K file, some derived from its solutions.
  """
  answers = table.pairs()
  if gsm8k is None:
    return answers
  records = [json.loads(line) for line in pathlib.Path(gsm8k).read_text().splitlines()]
  for record in random.Random(0).sample(records, questions):
    answers += from_solution(record['answer'])
  return answers


def from_solution(solution):
  """Pairs from one published GSM8K solution: its result in other forms, and its other numbers."""
  gold = _GOLD.search(solution)[1].replace(',', '')
  value = int(gold)
  equal = [
    f'{value:,}',
    f'${value}',
    f'{value}.00',
    f'\\boxed{{{value}}}',
    f'x = {value}',
    f'{value} units',
  ]
  steps = {step.rstrip('.') for step in _STEP.findall(solution)}
  different = [step for step in steps if float(step) != value] + [
    str(value + 1),
    f'{value}0',
    f'{value} or {value + 1}',
  ]
  return [(gold, a, True) for a in equal] + [
    (gold, a, False) for a in different if value or a != f'{value}0'
  ]


def make(gsm8k=None, with_code=True):
  """The card as a dict (keys of `python -m r1jax.evaluate --verifiers --json`) and the Outcomes.

  A completion of the tables that is right and not paid counts as a false negative.
  """
  outcomes = text_attacks() + (code_attacks() if with_code else [])
  missed = [row for row in table.rights() if verdict(row).kind != Kind.CORRECT]
  # Starts the comparing process, which is not part of the latency.
  value.equal('\\sqrt{2}', '\\sqrt{3}')
  cases, times, wrong = labelled(gsm8k), [], collections.Counter(false_negatives=len(missed))
  for gold, answer, equal in cases:
    started = time.perf_counter()
    judged = value.equal(gold, answer)
    times.append((time.perf_counter() - started) * 1e3)
    wrong['false_negatives'] += equal and judged.kind != Kind.CORRECT
    wrong['false_positives'] += not equal and judged.kind == Kind.CORRECT
  card = {
    'attacks_total': len(outcomes),
    'attacks_repelled': sum(outcome.repelled for outcome in outcomes),
    'false_positives': wrong['false_positives'],
    'false_negatives': wrong['false_negatives'],
    'labelled': len(cases) + len(table.rights()),
    'latency_ms_p50': round(statistics.median(times), 3),
    'latency_ms_p99': round(statistics.quantiles(times, n=100)[98], 3),
  }
  return card, outcomes


def _outcome(verifier, name, judged, left=()):
  repelled = judged.scored and judged.score < 0.5 and not left
  why = '' if repelled else f'{judged.kind} {judged.score:g} {judged.why} {" ".join(left)}'
  return Outcome(verifier, name, repelled, why)
