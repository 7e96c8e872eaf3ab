"""The paper's own numbers, for the claims that a report can repeat (reference §1.6, Table 3)."""

MODELS = ('r1_zero', 'dev1', 'dev2', 'dev3', 'r1')
# Columns as in MODELS.
STAGES = {
  'AIME 2024': (77.9, 59.0, 74.0, 78.1, 79.8),
  'MATH-500': (95.9, 94.2, 95.9, 95.4, 97.3),
  'LiveCodeBench': (50.0, 57.5, 63.5, 64.6, 65.9),
  'GPQA diamond': (75.8, 66.1, 70.7, 71.2, 71.5),
  'IF-Eval strict': (46.6, 71.7, 72.0, 78.1, 83.3),
  'AlpacaEval 2 LC': (24.7, 50.1, 55.8, 62.1, 87.6),
  'ArenaHard': (53.6, 77.0, 73.2, 75.6, 92.3),
}
# Accuracy of V3-Base and R1-Zero on AIME 2024 (reference §1.10).
BEFORE_RL, AFTER_RL = 15.6, 77.9


def change(benchmark, before, after):
  """(score of one stage, score of a later one) on a benchmark of Table 3."""
  row = dict(zip(MODELS, STAGES[benchmark]))
  return row[before], row[after]
