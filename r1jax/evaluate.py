"""Evaluation commands: `python -m r1jax.evaluate --verifiers [--json=FILE] [--gsm8k=FILE]`."""

import json
import pathlib
import sys

from absl import app, flags

from r1jax.rewards import sandbox
from r1jax.rewards.attacks import run

_VERIFIERS = flags.DEFINE_bool('verifiers', False, 'print the score card of the reward verifiers')
_JSON = flags.DEFINE_string('json', None, 'also write the card to this file')
_GSM8K = flags.DEFINE_string(
  'gsm8k', None, 'GSM8K JSONL from whose solutions more labelled pairs are derived'
)


def print_score_card():
  """Attacks, labelled pairs and latency of the verifiers; returns whether all is well."""
  card, outcomes = run.score_card(_GSM8K.value)
  for outcome in outcomes:
    if not outcome.repelled:
      print(f'NOT REPELLED  {outcome.verifier}: {outcome.name}  ({outcome.why})')
  for name, value in card.items():
    print(f'{name:18} {value}')
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps(card, indent=2) + '\n')
  whole = card['attacks_repelled'] == card['attacks_total']
  return (
    whole and not card['false_positives'] and card['false_negatives'] <= 0.01 * card['labelled']
  )


def main(_):
  """Runs the evaluation asked for; the exit status is 0 when all is well."""
  if not _VERIFIERS.value:
    raise app.UsageError('nothing to evaluate: give --verifiers')
  try:
    return 0 if print_score_card() else 1
  except sandbox.SandboxError as error:
    print(error, file=sys.stderr)
    return 2


if __name__ == '__main__':
  app.run(main)
