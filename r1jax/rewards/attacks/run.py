"""Runs the attacks and the labelled pairs and adds up the score card."""

import collections
import dataclasses
import json
import pathlib
import random
import re
import statistics
import time

from r1jax.rewards import accuracy, choice, format, language, math, puzzles, shaping
from r1jax.rewards.attacks import answers, decoys, pairs
from r1jax.rewards.code import attacks
from r1jax.rewards.verdict import Kind

_GOLD = re.compile(r'#### (-?[\d,]+)')
_STEP = re.compile(r'<<[^=<>]*=(-?[\d.]+)>>')


@dataclasses.dataclass(frozen=True)
class Outcome:
  """One attack: its verifier and name, whether it was repelled, and what it got if not."""

  verifier: str
  name: str
  repelled: bool
  why: str


def text_attacks():
  """Outcomes of all attacks on the verifiers of text."""
  cases = [('math', name, accuracy.check, (done, gold)) for name, gold, done in answers.MATH]
  cases += [('format', name, format.check, (done,)) for name, done in answers.FORMAT]
  cases += [('choice', name, choice.check, (done, gold)) for name, gold, done in answers.CHOICE]
  cases += [
    ('numbers', name, puzzles.check_numbers, (done, *given))
    for name, given, done in answers.NUMBERS
  ]
  cases += [
    ('order', name, puzzles.check_order, (done, gold)) for name, gold, done in answers.ORDER
  ]
  cases += [('language', name, language.check, (done,)) for name, done in answers.LANGUAGE]
  cases += [('repetition', name, shaping.repetition, (done,)) for name, done in answers.REPETITION]
  cases += _decoys()
  return [_outcome(verifier, name, check(*arguments)) for verifier, name, check, arguments in cases]


def _decoys():
  numbers, things = ((3, 3, 8, 8), 24), ('Ann', 'Bob', 'Cy')
  groups = [('math', accuracy.check, a, (g,)) for g, a in decoys.NOT_GOLD]
  groups += [('math', accuracy.check, a, ('5',)) for a in decoys.NOT_FIVE + decoys.BOMBS]
  groups += [('choice', choice.check, a, ('B',)) for a in decoys.NOT_B]
  groups += [('numbers', puzzles.check_numbers, a, numbers) for a in decoys.NOT_24]
  groups += [('order', puzzles.check_order, a, (things,)) for a in decoys.NOT_ANN_BOB_CY]
  return [
    (verifier, answer[:40], check, (f'<think>So.</think> <answer>{answer}</answer>', *rest))
    for verifier, check, answer, rest in groups
  ]


def code_attacks(chosen=None, allow_unsandboxed=False):
  """Outcomes of all attacks on the code verifier, or the chosen; a leak counts as not repelled."""
  cases = attacks.run(attacks.load() if chosen is None else chosen, allow_unsandboxed)
  return [_outcome('code', attack.name, verdict, left) for attack, verdict, left in cases]


def labelled(gsm8k=None, questions=150):
  """Labelled pairs: the hand-written ones and, given a GSM8K file, pairs derived from its
  solutions.
  """
  found = pairs.handwritten()
  if gsm8k is None:
    return found
  records = [json.loads(line) for line in pathlib.Path(gsm8k).read_text().splitlines()]
  for record in random.Random(0).sample(records, questions):
    found += from_solution(record['answer'])
  return found


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


def score_card(gsm8k=None, with_code=True):
  """The card as a dict (keys of `python -m r1jax.evaluate --verifiers --json`) and the Outcomes."""
  outcomes = text_attacks() + (code_attacks() if with_code else [])
  math.equal(
    '\\sqrt{2}', '\\sqrt{3}'
  )  # starts the comparing process, which is not part of the latency
  cases, times, wrong = labelled(gsm8k), [], collections.Counter()
  for gold, answer, equal in cases:
    started = time.perf_counter()
    verdict = math.equal(gold, answer)
    times.append((time.perf_counter() - started) * 1e3)
    wrong['false_negatives'] += equal and verdict.kind != Kind.CORRECT
    wrong['false_positives'] += not equal and verdict.kind == Kind.CORRECT
  card = {
    'attacks_total': len(outcomes),
    'attacks_repelled': sum(outcome.repelled for outcome in outcomes),
    'false_positives': wrong['false_positives'],
    'false_negatives': wrong['false_negatives'],
    'labelled': len(cases),
    'latency_ms_p50': round(statistics.median(times), 3),
    'latency_ms_p99': round(statistics.quantiles(times, n=100)[98], 3),
  }
  return card, outcomes


def _outcome(verifier, name, verdict, left=()):
  repelled = verdict.scored and verdict.score < 0.5 and not left
  why = '' if repelled else f'{verdict.kind} {verdict.score:g} {verdict.why} {" ".join(left)}'
  return Outcome(verifier, name, repelled, why)
