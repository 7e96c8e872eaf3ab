"""From a rollout to packed mini-batches and back."""

import jax
import numpy as np
import pytest

from r1jax.algorithms import grpo
from r1jax.sampling import rollout
from r1jax.stages import packing

GROUP, PROMPTS = 3, 4
LAYOUT = packing.Layout(sequences=6, rows=2, capacity=20)


@pytest.fixture
def sampled():
  rng = np.random.default_rng(0)
  prompts = tuple(rng.integers(1, 90, rng.integers(2, 7)).tolist() for _ in range(PROMPTS))
  length_B = rng.integers(1, 11, PROMPTS * GROUP)
  real_BT = np.arange(10) < length_B[:, None]
  token_BT = np.where(real_BT, rng.integers(1, 90, real_BT.shape), 0).astype(np.int32)
  logp_BT = np.where(real_BT, -rng.random(real_BT.shape), 0).astype(np.float32)
  return rollout.Rollout(prompts, token_BT, logp_BT, length_B, length_B < 10)


def test_a_split_has_every_sequence_once_in_an_order_of_its_seed():
  parts = packing.split(12, 3, [0, 5, 7])
  assert sorted(np.concatenate(parts).tolist()) == list(range(12))
  assert [len(part) for part in parts] == [4, 4, 4]
  assert np.array_equal(parts, packing.split(12, 3, [0, 5, 7]))
  assert not np.array_equal(parts, packing.split(12, 3, [0, 6, 7]))


def test_groups_may_stay_together_in_an_order_of_the_seed():
  parts = packing.split(24, 2, [0, 5, 7], group=4)
  assert [len(part) for part in parts] == [12, 12]
  groups = np.concatenate(parts).reshape(-1, 4)
  assert (groups == groups[:, :1] + np.arange(4)).all() and (groups[:, 0] % 4 == 0).all()
  assert sorted(groups[:, 0].tolist()) == list(range(0, 24, 4)) != groups[:, 0].tolist()


def test_every_token_of_every_chosen_sequence_lies_somewhere_once(sampled):
  advantage_B = np.arange(12.0) - 5.5
  for chosen in packing.split(12, 2, 0):
    packed = packing.for_grpo(sampled, chosen, advantage_B, LAYOUT, grpo.GrpoConfig())
    rows, loss = packed.batch.rows, packed.batch.loss
    for b in chosen:
      at = packed.source == b
      prompt, reply = sampled.prompts[b // GROUP], sampled.completion(b)
      assert rows.token[at].tolist() == [*prompt, *reply]
      assert rows.position[at].tolist() == list(range(len(prompt) + len(reply)))
      assert len(set(rows.segment[at].tolist())) == 1
      assert loss.mask_BT[at].tolist() == [False] * len(prompt) + [True] * len(reply)
      replied = at & loss.mask_BT
      assert (loss.advantage_BT[replied] == advantage_B[b]).all()
      assert np.array_equal(loss.sampler_logp_BT[replied], sampled.logp_BT[b, : len(reply)])
    assert set(np.unique(packed.source)) == {-1, *chosen.tolist()}
    assert (packed.source[packed.batch.count :] == -1).all()
    assert (packed.source[: packed.batch.count] >= 0).any((1, 2)).all()


def test_weights_of_a_mini_batch_average_over_its_sequences(sampled):
  chosen = packing.split(12, 2, 0)[0]
  packed = packing.for_grpo(sampled, chosen, np.zeros(12), LAYOUT, grpo.GrpoConfig())
  weight = packed.batch.loss.weight_BT
  np.testing.assert_allclose(weight.sum(), 1, rtol=1e-6)
  for b in chosen:
    np.testing.assert_allclose(weight[packed.source == b].sum(), 1 / len(chosen), rtol=1e-6)


def test_packing_and_unpacking_is_the_identity(sampled):
  found = np.zeros_like(sampled.logp_BT)
  for chosen in packing.split(12, 2, 1):
    packed = packing.for_grpo(sampled, chosen, np.zeros(12), LAYOUT, grpo.GrpoConfig())
    values = packed.batch.loss.sampler_logp_BT
    packing.unpack(packed, values, found, sampled.prompts, GROUP)
  assert np.array_equal(found, sampled.logp_BT)


def test_an_empty_mini_batch_has_the_shapes_and_types_of_a_packed_one(sampled):
  packed = packing.for_grpo(sampled, [0, 5], np.zeros(12), LAYOUT, grpo.GrpoConfig())
  form = packing.empty(LAYOUT, False, False)
  described = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
  assert described(form) == described(packed)


def test_there_are_enough_micro_batches_even_if_no_two_sequences_share_a_row():
  assert packing.Layout(sequences=7, rows=2, capacity=5).micro == 4
