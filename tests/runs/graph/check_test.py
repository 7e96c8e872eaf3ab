"""What a graph's stages are told is checked before the first of them is made."""

import pytest

from r1jax.cli import overrides
from r1jax.runs import r1, rl_vs_distill


@pytest.mark.parametrize(
  'module, experiment, key, text',
  [
    (r1, 'r1', 'r1.sample.temperature', '0'),
    (r1, 'r1', 'scenarios.general.rows', '-1'),
    (r1, 'r1', 'report_card.evaluation.top_p', '2'),
    (r1, 'r1', 'runtime.dispatch', 'none'),
    (r1, 'r1', 'base_llama.model.layers', '-4'),
    (r1, 'r1', 'workers', '0'),
    (rl_vs_distill, 'rl_vs_distill', 'distill.optimizer.lr', 'nan'),
    (rl_vs_distill, 'rl_vs_distill', 'seeds', '(0, -1)'),
    (rl_vs_distill, 'rl_vs_distill', 'seeds', '()'),
  ],
)
def test_a_late_stage_is_refused_first_with_the_key_as_it_is_written(
  module, experiment, key, text, tmp_path
):
  config = overrides.experiment(experiment)
  config.workdir, config.checkpoint = str(tmp_path / 'run'), 'tiny'
  overrides.override(config, key, text)
  with pytest.raises(ValueError, match=rf'^config\.{key}='):
    module.run(config)
  assert not (tmp_path / 'run').exists()


def test_stages_that_are_not_to_be_made_are_not_asked(tmp_path):
  config = overrides.experiment('r1')
  config.workdir, config.checkpoint = str(tmp_path / 'run'), 'tiny'
  overrides.override(config, 'r1.optimizer.lr', 'nan')
  graph = r1.build(config)
  graph.check('dev1')
  with pytest.raises(ValueError, match=r'^config\.r1\.optimizer\.lr=nan'):
    graph.check('dev1,r1')
