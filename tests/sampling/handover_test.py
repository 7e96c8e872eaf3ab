"""A rollout's own layout of the weights: the same completions, nothing gathered in its loop."""

import dataclasses

import jax
import numpy as np
import pytest

from r1jax import params
from r1jax.planning import hlo
from r1jax.sampling import handover, rollout, sample
from tests.model import tiny
from tests.sampling import sample_test

HALF = dataclasses.replace(tiny.MLA, compute_dtype='bfloat16')
SEQUENCES, LENGTHS = 8 * sample_test.GROUP, sample_test.LENGTHS


def taken(cfg, layout='decode'):
  """(policy on the mesh that is set, the same handed over, metrics)."""
  policy = rollout.Policy(tiny.weights(cfg), cfg, None)
  return policy, *handover.take(policy, layout)


def sampled(weights, cfg):
  """(completions of eight prompts, bytes gathered before decoding and in one step of it)."""
  prompt_PT, length_P = np.tile(sample_test.prompts(), (2, 1)), np.tile(LENGTHS, 2)
  arguments = tiny.put(prompt_PT), tiny.put(length_P), jax.random.key(0)
  stops = {'cap': np.int32(sample_test.NEW), 'stop_KW': sample_test.NEVER}
  lowered = sample.generate.lower(weights, cfg, sample_test.CONFIG, *arguments, **stops)
  compiled = lowered.compile()
  program = hlo.read(compiled.as_text(), [0] * 8)
  gathered = [part.received['all-gather'] for part in (program.once, program.loop)]
  return tiny.host(compiled(weights, *arguments, **stops)), gathered


@pytest.mark.parametrize('cfg, shape', [(tiny.GQA, (1, 4, 1, 2)), (HALF, (1, 2, 4, 1))])
def test_both_layouts_give_the_same_completions_and_one_gathers_no_weights(cfg, shape):
  with tiny.mesh(*shape):
    mesh = jax.sharding.get_mesh()
    policy, decoding, figures = taken(cfg)
    (same, before), (own, after) = (sampled(p.params, cfg) for p in (policy, decoding))
    held = [x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(decoding.params)]
    assert sum(held) == handover.held(cfg, mesh)
    assert figures['handover/bytes'] == handover.received(cfg, mesh) > 0
  np.testing.assert_array_equal(own.token_BT, same.token_BT)
  np.testing.assert_array_equal(own.logp_BT, same.logp_BT)
  layers = 1 - 2 * cfg.vocab * cfg.width / params.count(handover.specs(cfg))
  for was, now in zip(before, after):  # the prompt's pass, and every decoded token
    assert was - now >= 0.9 * layers * figures['handover/bytes']
  if cfg.moe is None:  # what is left are the scores of half the vocabulary
    assert after[1] == SEQUENCES / 4 * cfg.vocab / 2 * 4


def test_one_device_and_the_layout_of_training_copy_nothing():
  with tiny.mesh():
    policy, decoding, figures = taken(tiny.GQA)
    assert decoding is policy and figures['handover/bytes'] == 0
  with tiny.mesh(1, 8, 1, 1):
    policy, decoding, figures = taken(tiny.GQA, 'same')
    assert decoding is policy and figures['handover/bytes'] == 0
