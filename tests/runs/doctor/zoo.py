"""A zoo of small real runs: broken on purpose, each by a diff of its config, and healthy ones.

python -m tests.runs.doctor.zoo FOLDER [NAME ...]

runs them, all or those named, and prints the table of docs/show.md: what was changed and what the
doctor says. A run takes a minute of two cores.
"""

import pathlib
import sys

from r1jax.runs.doctor import rules
from r1jax.runs.show import reading
from tests import small_runs

# 24 updates of 8 x 8 replies, each on a rollout of its own.
COMMON = {
  'rl.updates': 24,
  'sample.group': 8,
  'sample.max_new': 64,
  'rl.mini_batches': 1,
  'rl.length_schedule': '((0,64),)',
  'rl.capacity': 112,
  'rl.samples_every': 8,
  'rl.silent_rollouts': 0,
  'loop.checkpoint_every': 24,
  'loop.keep': 2,
}
FAULTY = 'tests/runs/doctor/faulty_rewards.py'
# name -> (diff, findings of which at least one must be named).
BROKEN = {
  'too short to answer': (
    {'sample.max_new': 4, 'rl.length_schedule': '((0,4),)'},
    {'no reward'},
  ),
  'too short for most': (
    {'sample.max_new': 12, 'rl.length_schedule': '((0,12),)'},
    {'replies are cut off', 'the cap teaches brevity'},
  ),
  'too cold to differ': ({'sample.temperature': 0.02}, {'groups agree'}),
  'too hot to say anything': ({'sample.temperature': 6.0}, {'no reward'}),
  'refills that cannot help': (
    {'sample.temperature': 0.02, 'rl.dynamic_sampling': True, 'rl.max_refills': 1},
    {'refills run out'},
  ),
  'no learning rate': ({'optimizer.lr': 1e-9}, {'the policy does not move'}),
  'a learning rate a hundred times too high': (
    {'optimizer.lr': 3e-2},
    {'accuracy falls', 'the policy runs away', 'updates are too large', 'no reward'},
  ),
  'a clip range that holds everything': (
    {'rl.mini_batches': 4, 'grpo.clip_low': 1e-4, 'grpo.clip_high': 1e-4},
    {'updates are too large'},
  ),
  'rows of which hardly any is used': (
    {'rl.rows': 8, 'rl.capacity': 1024},
    {'batches are mostly padding'},
  ),
  'questions that the base cannot answer': (
    {'data.levels': '(5,5)', 'reward.format': 0.0, 'rl.prompts': 16, 'sample.group': 4},
    {'groups agree', 'no reward'},
  ),
  'the same, where the form still pays': (
    {'data.levels': '(5,5)'},
    {'only the format grows', 'groups agree'},
  ),
  'a reward that fails': (
    {'reward.function': f'{FAULTY}:fails', 'reward.max_verifier_error_rate': 1.0},
    {'verifiers fail'},
  ),
  'a reward that is slow': (
    {'reward.function': f'{FAULTY}:waits'},
    {'rollouts wait for verdicts'},
  ),
  'questions in two languages, rewarded for neither': (
    {'checkpoint': 'tiny_bilingual', 'data.languages': "(('en',0.5),('zh',0.5))"},
    {'languages are mixed'},
  ),
}
# name -> diff; what a user may well set, and other seeds.
HEALTHY = {f'seed {seed}': {'seed': seed} for seed in range(8)} | {
  'DAPO': {
    'grpo.aggregation': 'token',
    'grpo.clip_high': 0.28,
    'grpo.beta': 0.0,
    'rl.dynamic_sampling': True,
  },
  'Dr. GRPO': {
    'grpo.aggregation': 'dr_grpo',
    'grpo.max_length': 64,
    'grpo.advantage_scale': 'none',
    'grpo.beta': 0.0,
  },
  'RLOO': {
    'grpo.advantage': 'leave_one_out',
    'grpo.aggregation': 'dr_grpo',
    'grpo.max_length': 64,
    'grpo.advantage_scale': 'none',
  },
  'GSPO': {'grpo.importance': 'sequence', 'grpo.clip_low': 3e-4, 'grpo.clip_high': 4e-4},
  'CISPO': {'grpo.aggregation': 'cispo', 'grpo.clip_low': 1.0, 'grpo.clip_high': 4.0},
  'LoRA': {'lora.rank': 8, 'optimizer.lr': 1e-3},
  'two mini-batches': {'rl.mini_batches': 2, 'rl.rows': 16},
  'one rollout ahead': {'rl.staleness': 1, 'grpo.tis_cap': 2.0},
  'groups of 16': {'rl.prompts': 4, 'sample.group': 16},
  'half the rate': {'optimizer.lr': 1.5e-4},
  'twice the rate': {'optimizer.lr': 6e-4},
  'easy questions': {'data.levels': '(1,2)'},
  'prompts shared': {'rl.share_prompts': True, 'rl.rows': 2, 'rl.capacity': 600},
  'no reference': {'grpo.beta': 0.0},
}


def findings(folder, diff):
  """Runs `COMMON` with this diff in the folder; the doctor's findings, name -> line.

  Fails where something that is wrong at the end was not said while the run went on.
  """
  changed = {name.replace('.', '__'): value for name, value in (COMMON | diff).items()}
  # Ahead of training one device samples, or devices of its own.
  run = small_runs.finish(folder, devices=1 if 'rl.staleness' in diff else 2, **changed)
  found = rules.of(reading.read(run.folder))
  unsaid = [one.name for one in found if f'WARNING: {one.name}' not in run.stdout]
  assert not unsaid, f'not said while it ran: {unsaid}'
  return {one.name: one.told() for one in found}


def main(folder, *names):
  """Prints a row for each run, broken ones first."""
  print('| run | changed | the doctor says |\n|---|---|---|')
  diffs = {name: diff for name, (diff, _) in BROKEN.items()} | HEALTHY
  for number, (name, diff) in enumerate(diffs.items()):
    if names and name not in names:
      continue
    found = findings(pathlib.Path(folder) / str(number), diff)
    if name in BROKEN and not BROKEN[name][1] & found.keys():
      name = f'{name} (NOT NAMED)'
    changed = ', '.join(f'`{key}={value}`' for key, value in diff.items())
    print(f'| {name} | {changed} | {"<br>".join(found.values()) or "nothing"} |', flush=True)


if __name__ == '__main__':
  main(*sys.argv[1:])
