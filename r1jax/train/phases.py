"""Phases of a run, for the account of its time, and how that is told; no JAX in here."""

IMPORTS, LOADING, COMPILE = 'imports', 'loading', 'compile'
BASE, ROLLOUTS, SCORING, UPDATES = 'base', 'rollouts', 'scoring', 'updates'
EXAMINATIONS, CHECKPOINTS, REPORT = 'examinations', 'checkpoints', 'report'
AGAIN, REST = 'done_again', 'rest'
WHOLE = 'whole'
# In the order of a run: phase -> what it is, for people.
PHASES = {
  IMPORTS: 'imports',
  LOADING: 'loading: data, weights, checkpoint',
  COMPILE: 'compilation, or loading what was compiled',
  BASE: 'examining the base',
  ROLLOUTS: 'rollouts: sampling, and waiting for verdicts',
  SCORING: 'scoring: advantages, packing, log-probabilities',
  UPDATES: 'updates',
  EXAMINATIONS: 'examinations, the last one too',
  CHECKPOINTS: 'checkpoints and the model',
  REPORT: 'report',
  AGAIN: 'lost by a sudden end, done again',
  REST: 'the rest',
}


def rows(seconds):
  """(what, seconds, share of the whole) of each phase that took any; `seconds` as of a `Ledger`."""
  whole = seconds.get(WHOLE) or 1.0
  spent = ((told, seconds.get(name, 0.0)) for name, told in PHASES.items())
  return [(told, value, value / whole) for told, value in spent if value > 0]


def clock(seconds):
  """Duration as h:mm:ss or m:ss."""
  minutes, seconds = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f'{hours}:{minutes:02d}:{seconds:02d}' if hours else f'{minutes}:{seconds:02d}'
