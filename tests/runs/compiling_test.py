"""While programs are compiled a run says which of how many: its list is what XLA then compiles."""

import json
import re

import jax

from r1jax import config as config_lib
from r1jax import programs
from r1jax.experiments import r1_zero, sft
from r1jax.runs import kinds
from tests import programs_test, small_runs
from tests.model import tiny

COUNTED = re.compile(r"(?:(?P<part>[\w -]+)'s )?(?P<name>\w+) \((?P<which>\d+) of (?P<all>\d+)\)")


def compiled(monkeypatch, config, folder, **settings):
  """What the first start of a run says of each program that XLA compiles, in order."""
  with config.unlocked():
    config.workdir = str(folder)
    for name, value in settings.items():
      section, _, key = name.partition('__')
      config[section][key] = eval(value) if isinstance(value, str) else value
  watch, said = programs.Watch(), []
  monkeypatch.setattr(programs, 'watch', lambda: watch)

  def listen(event, *_, **__):
    if event == programs_test.LOWERED:
      said.append(watch.compiling()[0])

  jax.monitoring.register_event_duration_secs_listener(listen)
  jax.clear_caches()  # what other tests have compiled
  job = config_lib.build(config)
  with tiny.mesh():
    kinds.KINDS[job.stage].run(job, config, jax.sharding.get_mesh())
  return said


def listed(said):
  """'part name' of each program of the run's list; fails where it was not what was compiled."""
  counted = [COUNTED.fullmatch(text) for text in said]
  found = [match for match in counted if match]
  # From the first to the last of them, none left out.
  assert [int(match['which']) for match in found] == list(range(1, len(found) + 1))
  assert {int(match['all']) for match in found} == {len(found)}
  # And none of these functions was compiled beside the list.
  others = {text for text, match in zip(said, counted) if not match}
  assert not others & {match['name'] for match in found}
  return [f'{match["part"] or ""} {match["name"]}'.strip() for match in found]


SMALL = {name.replace('.', '__'): value for name, value in small_runs.SMALL.items()}
ONE = SMALL | {'rl__updates': 1, 'rl__mini_batches': 1, 'rl__samples_every': 1}


def test_rl_lists_examination_rollout_scoring_and_update(small, tmp_path, monkeypatch):
  config = r1_zero.get_config('notebook')
  with config.unlocked():
    config.checkpoint = str(small['checkpoint'])
  # Another temperature in examinations, in rollouts a cache that grows; at last half of the slots.
  other = {'sample__cache_growth': 2, 'evaluation__temperature': 0.6}
  names = listed(compiled(monkeypatch, config, tmp_path / 'run', **ONE | other))
  first = ['unstack', 'prefill', 'empty', 'admit', 'decode', 'compact', 'decode']
  # What is of the same size, or knows no temperature, is there already.
  then = ['empty', 'admit', 'decode', 'widen', 'decode', 'decode']
  sampled = [f'examination {name}' for name in first] + [f'rollout {name}' for name in then]
  state = len(first)  # between the examination and the rollout
  assert names == [*sampled[:state], 'state begin', *sampled[state:], 'score', 'grpo_update']


def test_sft_lists_its_held_out_loss_and_its_update(small, tmp_path, monkeypatch):
  rows = [{'prompt': f'{i}+1?', 'completion': str(i + 1)} for i in range(24)]
  (tmp_path / 'sums.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  config = sft.get_config('smollm2')
  with config.unlocked():
    config.checkpoint = str(small['checkpoint'])
    config.sft.path = str(tmp_path / 'sums.jsonl')
    config.data.prompt = 'zero'
  own = {
    'sft__batch': 8,
    'sft__rows': 8,
    'sft__capacity': 64,
    'sft__heldout': 0.3,
    'sft__epochs': 1,
  }
  names = listed(compiled(monkeypatch, config, tmp_path / 'run', **own))
  assert names == ['held-out loss _nll', 'state begin', 'language_update']
