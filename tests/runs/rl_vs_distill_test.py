"""RL against distillation: equal operations, a branch a seed, the table says what it saw."""

import io
import json

import numpy as np
import pytest
import rich.console

from r1jax.data import examples, prompts, tokenizer
from r1jax.experiments import rl_vs_distill as experiment
from r1jax.interchange import huggingface
from r1jax.model import flops, presets
from r1jax.runs import rl_vs_distill
from r1jax.runs.report import published
from r1jax.stages import distill
from tests import small_runs
from tests.model import tiny

# Everything the comparison does, as small as it goes.
SMALL = {
  'config': 'experiments/rl_vs_distill.py',
  'seeds': '(0,1)',
  'checkpoint': 'tiny',
  'student__pretrain__updates': 2,
  'rl__rl__updates': 2,
  'rl__rl__prompts': 4,
  'rl__rl__rows': 4,
  'rl__sample__group': 4,
  'curated__samples__questions': 32,
  'curated__samples__batch': 32,
  'curated__samples__heldout': 64,
} | {f'{part}__evaluation__{name}': 4 for part in ('student', 'rl', 'distill', 'report_card')
     for name in ('questions', 'few')}  # fmt: skip


def console(table):
  out = rich.console.Console(file=io.StringIO(), width=120)
  out.print(rl_vs_distill.show(table))
  return out.file.getvalue()


def test_epochs_are_as_many_as_take_the_operations_of_rl(tmp_path):
  cfg, tok = presets.tiny_qwen2(), tokenizer.load(rl_vs_distill.checkpoints.open('tiny'))
  with tiny.mesh():
    huggingface.save(tmp_path, tiny.weights(cfg), cfg)
  tok.save(tmp_path)
  data = [
    examples.Example(f'What is {i}', f'<answer> {i} </answer>', 'en', 'x', {}) for i in range(9)
  ]
  examples.write(tmp_path / 'data', data)
  rows = [{'step': i, 'compute/flops': 1e9 * i} if i % 2 else {'step': i} for i in range(4)]
  (tmp_path / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
  budget = distill.spent(tmp_path / 'metrics.jsonl')
  assert budget == 4e9
  source = examples.Examples(tmp_path / 'data')
  tokens = [one for i in range(len(source)) for one in source[i].tokens(prompts.Form(tok))]
  epochs = distill.equal_epochs(budget, tokens, cfg)
  tokens = [examples.encode(one, prompts.Form(tok)) for one in data]
  lengths, learned = [len(one.ids) for one in tokens], sum(one.learned.sum() for one in tokens)
  assert epochs * flops.training(cfg, lengths, learned) == pytest.approx(budget)
  teacher = presets.tiny()
  taught = distill.equal_epochs(budget, tokens, cfg, teacher)
  cost = flops.training(cfg, lengths, learned) + flops.forward(teacher, lengths, scored=learned)
  assert taught * cost == pytest.approx(budget)


def test_the_interval_over_seeds_is_students():
  found = rl_vs_distill.over_seeds([0.5, 0.6, 0.7])
  half = 4.302653 * np.std([0.5, 0.6, 0.7], ddof=1) / np.sqrt(3)
  assert found['mean'] == pytest.approx(0.6)
  assert found['ci95'] == pytest.approx([0.6 - half, 0.6 + half])
  assert rl_vs_distill.over_seeds([0.5])['ci95'] == [0.5, 0.5]


def test_a_stage_is_keyed_by_its_own_config_seed_and_inputs_alone():
  config = experiment.get_config()
  nodes = {node.name: node for node in rl_vs_distill.graph_nodes(config)}
  assert nodes['rl_0'].section['seed'] == 0 and nodes['rl_1'].section['seed'] == 1
  assert set(nodes['distill_2'].needs) == {'student', 'teacher', 'curated_2', 'rl_2'}
  with config.unlocked():
    config.rl.rl.updates = 44
  changed = {node.name: node for node in rl_vs_distill.graph_nodes(config)}
  same = [name for name in nodes if nodes[name].section == changed[name].section]
  assert set(nodes) - set(same) == {'rl_0', 'rl_1', 'rl_2'}


def test_the_table_shows_both_columns_of_operations_and_the_papers_numbers():
  row = lambda label, *values, **more: {
    'label': label, 'pass@1': rl_vs_distill.over_seeds(values), **more
  }  # fmt: skip
  rows = {
    'student': row('base', 0.1),
    'rl': row('RL', 0.2, 0.3, flops=[1e12, 3e12]),
    'distill': row('distilled', 0.5, 0.6, flops=[2e12, 2e12], teacher_flops=[1e12, 1e12]),
  }
  shown = console({'seeds': [0, 1], 'paper': published.RL_VS_DISTILL, 'rows': rows})
  for text in ('25.0%', '2e+12', '3e+12', '72.6, 94.3', '47.0, 91.6', '2 seeds'):
    assert text in shown


def test_without_a_teacher_or_seeds_it_is_refused():
  config = experiment.get_config()
  with pytest.raises(ValueError, match='config.checkpoint is empty: it is the teacher'):
    rl_vs_distill.run(config)


@pytest.mark.slow
def test_the_whole_comparison_is_made_once_and_ends_in_its_table(tmp_path):
  command = small_runs.command(tmp_path / 'run')
  plain = {name.replace('__', '.'): value for name, value in SMALL.items() if name != 'config'}
  flags = [f'--config.{name}={value}' for name, value in plain.items()]
  command = [*command[:3], f'--config={SMALL["config"]}', f'--config.workdir={tmp_path}', *flags]

  def finish():
    done = small_runs.subprocess.run(
      command,
      cwd=small_runs.ROOT,
      env=small_runs.environment(),
      capture_output=True,
      text=True,
      check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout

  first = finish()
  table = json.loads((tmp_path / 'report' / rl_vs_distill.TABLE).read_text())
  assert set(table['rows']) == {'student', 'rl', 'distill', 'teacher'}
  assert len(table['rows']['rl']['flops']) == len(table['rows']['distill']['flops']) == 2
  assert all(cost > 0 for cost in table['rows']['distill']['teacher_flops'])
  again = finish()
  assert 'begins' not in again and again.splitlines()[-8:] == first.splitlines()[-8:]
