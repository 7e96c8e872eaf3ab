"""Who is in which slot, by forced lengths and without a device: nobody is lost, few slots wait."""

import numpy as np
import pytest

from r1jax.sampling import rollout, table

CAP = 1024


def simulated(length_R, group, slots, shards=1):
  """(useful steps, all steps, requests in the order of their ends) of replies of these lengths."""
  prompts = len(length_R) // group
  one = table.Table(prompts, group, table.sizes(prompts, group, slots, shards))
  left_R, useful, steps, ended, prefilled = length_R.copy(), 0, 0, [], []
  while one.waiting or one.live:
    while True:
      wave = one.next_wave()
      prefilled += [] if wave is None else [wave]
      if one.admit() is None:
        break
    while one.halve() is not None:
      pass
    enough = one.enough()
    for _ in range(rollout.ROUND):
      request_SB = one.request_SB
      live_SB = (request_SB >= 0) & (left_R[request_SB] > 0)
      if live_SB.sum() <= enough:
        break
      left_R[request_SB[live_SB]] -= 1
      useful, steps = useful + live_SB.sum(), steps + live_SB.size
    live_SB = (one.request_SB >= 0) & (left_R[one.request_SB] > 0)
    ended += one.free(live_SB.reshape(-1)).tolist()
  return useful, steps, ended, prefilled


def r1_like(count, seed=0):
  """Lengths of replies: lognormal, an eighth of the cap on average."""
  drawn = np.random.default_rng(seed).lognormal(0, 1, count)
  return np.clip(drawn / np.exp(0.5) * CAP / 8, 1, CAP).astype(int)


@pytest.mark.parametrize('slots, shards', [(0, 1), (5, 1), (16, 3), (64, 4), (7, 8)])
def test_every_request_is_sampled_once_to_its_end_and_nobody_else_is(slots, shards):
  length_R = r1_like(30 * 4)
  useful, steps, ended, _ = simulated(length_R, 4, slots, shards)
  assert sorted(ended) == list(range(30 * 4))
  assert useful == length_R.sum() <= steps


def test_a_prompt_is_prefilled_once_on_one_shard():
  _, _, _, prefilled = simulated(r1_like(30 * 4), 4, 8)
  assert np.concatenate(prefilled).tolist() == list(range(30))


def test_fewer_prompts_than_shards_leave_some_idle():
  assert sorted(simulated(r1_like(2 * 4), 4, 0, 8)[2]) == list(range(8))


@pytest.mark.parametrize('per_slot, least', [(1, 0.7), (8, 0.8), (32, 0.85)])
@pytest.mark.parametrize('seed', range(3))
def test_slots_are_busy_where_many_requests_share_them(per_slot, least, seed):
  length_R = r1_like(32 * 16, seed)
  useful, steps, _, _ = simulated(length_R, 16, 32 * 16 // per_slot)
  assert useful / steps >= least
  # In lock-step each slot would wait for the longest.
  assert useful / steps > 1.5 * length_R.mean() / length_R.max()
