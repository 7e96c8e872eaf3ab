"""A run with adapters: killed and resumed it ends in the same bits, beside the same base only."""

import json
import shutil

import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax.experiments import r1_zero
from r1jax.interchange import checkpoints, huggingface, names, tensors
from r1jax.runs import kinds, opening
from tests import small_runs


def asked(base, folder, **overrides):
  """The ConfigDict of a small R1-Zero run with adapters."""
  config = r1_zero.get_config('tiny')
  settings = {'rl.updates': 2, 'rl.length_schedule': '((0,12),)', 'sample.max_new': 12}
  small = small_runs.SMALL | settings | overrides
  with config.unlocked():
    config.update({'checkpoint': str(base), 'workdir': str(folder)})
    for name, value in small.items():
      section, _, key = name.partition('.')
      config[section][key] = eval(value) if isinstance(value, str) else value
    config.lora.update(rank=4, targets=('attention', 'ffn'))
    config.optimizer.lr = 1e-2
    config.grpo.beta = 0.01
  return config


def go(config):
  """Runs it, in this process."""
  kinds.run(config_lib.build(config), config)


@pytest.fixture(scope='module')
def base(tmp_path_factory):
  folder = tmp_path_factory.mktemp('base') / 'tiny'
  shutil.copytree(checkpoints.open('tiny'), folder)
  return folder


@pytest.fixture(scope='module')
def run(base, tmp_path_factory):
  """The folder of a run of two updates of one rollout."""
  folder = tmp_path_factory.mktemp('run') / 'whole'
  go(asked(base, folder))
  return folder


def sha(folder):
  return json.loads((folder / 'summary.json').read_text())['final_params_sha256']


def again(run, folder, kept=1):
  """A copy of the run as if it had been killed after update `kept`."""
  shutil.copytree(run, folder, ignore=shutil.ignore_patterns('model', 'summary.json'))
  for step in range(kept + 1, 3):
    shutil.rmtree(folder / 'checkpoints' / f'step_{step:08d}')
  return folder


def test_a_checkpoint_holds_adapters_and_the_name_of_their_base_alone(run, base):
  newest = run / 'checkpoints' / 'step_00000002'
  leaves = json.loads((newest / 'manifest.json').read_text().splitlines()[0])['leaves']
  held = [name for name, _ in leaves if 'params' in name or 'reference' in name or 'inner' in name]
  assert held and all(name.endswith(('.a', '.b', 'count')) for name in held)
  assert any(name.startswith('state.reference.') for name in held)
  saved = json.loads((newest / 'host.json').read_text())['frozen']
  assert saved == f'{base}, SHA-256 {checkpoints.digest(base)}'
  size = lambda folder: sum(p.stat().st_size for p in folder.rglob('*') if p.is_file())
  assert size(newest / 'arrays') < size(base)  # a full state holds the weights four times


def test_the_model_is_the_base_plus_the_adapters_products(run, base, one_device):
  before, after = tensors.read_folder(base), tensors.read_folder(run / 'model')
  assert before.keys() == after.keys()
  moved = {name for name in before if (before[name].read() != after[name].read()).any()}
  cfg = huggingface.read_config(base)
  entries = {entry.name: entry for entry in names.table(cfg)}
  places = {entries[name].leaf[0:1] + entries[name].leaf[-1:] for name in moved}
  assert ('dense', 'w_q_up') in places and ('moe', 'w_down') in places
  assert not any('experts' in entries[n].leaf and 'shared' not in n for n in moved)
  assert not any(entries[n].leaf[0] in ('mtp', 'embed', 'head', 'norm') for n in moved)
  # Of rank 4: a difference of matrices has no fifth direction.
  name = next(n for n in sorted(moved) if n.endswith('o_proj.weight'))
  values = np.linalg.svd(after[name].read() - before[name].read(), compute_uv=False)
  assert values[3] > 1e-4 and values[4] < 1e-3 * values[3]
  assert after[name].dtype == 'F32'


def test_the_sampler_and_the_trainer_agree(run):
  rows = [json.loads(line) for line in (run / 'metrics.jsonl').open()]
  found = [row['parity/logp_max'] for row in rows if 'parity/logp_max' in row]
  assert found and max(found) < 1e-4
  assert all(row['optimizer/grad_norm'] > 0 for row in rows)


def test_killed_and_resumed_it_ends_in_the_same_bits(run, base, tmp_path):
  folder = again(run, tmp_path / 'killed')
  go(asked(base, folder))
  assert sha(folder) == sha(run)


def test_another_base_is_refused_by_name(run, base, tmp_path):
  other = tmp_path / 'other'
  shutil.copytree(base, other)
  file = other / 'model.safetensors'
  changed, norm = bytearray(file.read_bytes()), tensors.read_header(file)['model.norm.weight']
  changed[norm.offset] ^= 1  # the last bit of one number
  file.write_bytes(changed)
  folder = again(run, tmp_path / 'killed')
  # The same config key, as if the folder had been written anew.
  saved = json.loads((folder / 'config.json').read_text())
  saved['checkpoint'] = str(other)
  (folder / 'config.json').write_text(json.dumps(saved))
  with pytest.raises(ValueError) as error:
    go(asked(other, folder))
  told = str(error.value)
  assert f'adapters of the base {base}, SHA-256 {checkpoints.digest(base)}' in told
  assert f'this run has {other}, SHA-256 {checkpoints.digest(other)}' in told and '\n' not in told


def test_a_run_that_has_not_ended_has_a_merged_model_too(run, tmp_path, one_device):
  folder = again(run, tmp_path / 'killed', kept=2)
  made = opening.open_model(folder, lambda line: None)
  ended, found = tensors.read_folder(run / 'model'), tensors.read_folder(made)
  for name, tensor in ended.items():
    np.testing.assert_array_equal(found[name].read(), tensor.read())


def test_adapters_without_a_base_are_refused():
  config = config_lib.default('sft')
  config.lora.rank = 16
  job = config_lib.build(config)
  with pytest.raises(ValueError, match='config.lora.rank=16 trains adapters.*config.checkpoint'):
    kinds.KINDS['sft'].learns(job, None)
