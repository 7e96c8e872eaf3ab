"""The paper's own numbers, for the claims that a report can repeat (reference §1.6, §1.10).

`STAGES` is Table 3 of v2. `STUDENTS` is Table 5 of v1, pass@1 of AIME 2024 and MATH-500, and
`RL_VS_DISTILL` the same of R1-Zero-Qwen-32B and R1-Distill-Qwen-32B from Table 6 of v1.
"""

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
STUDENTS = {
  'R1-Distill-Qwen-1.5B': (28.9, 83.9),
  'R1-Distill-Qwen-7B': (55.5, 92.8),
  'R1-Distill-Qwen-14B': (69.7, 93.9),
  'R1-Distill-Qwen-32B': (72.6, 94.3),
  'R1-Distill-Llama-8B': (50.4, 89.1),
  'R1-Distill-Llama-70B': (70.0, 94.5),
}
RL_VS_DISTILL = {'rl': (47.0, 91.6), 'distill': (72.6, 94.3)}
# Accuracy of V3-Base and R1-Zero on AIME 2024 (reference §1.10).
BEFORE_RL, AFTER_RL = 15.6, 77.9


def change(benchmark, before, after):
  """(score of one stage, score of a later one) on a benchmark of Table 3."""
  row = dict(zip(MODELS, STAGES[benchmark]))
  return row[before], row[after]
