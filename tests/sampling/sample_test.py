"""The sampler against the trainer's forward pass, and against its own unstopped runs."""

import dataclasses

import jax
import numpy as np
import pytest

from r1jax.model import transformer
from r1jax.sampling import draw, rollout, sample
from r1jax.train import steps
from tests.model import tiny
from tests.sampling import table_test

WIDTH, NEW, GROUP = 6, 10, 4
LENGTHS = np.array([6, 2, 1, 4], np.int32)
NEVER = np.array([[-1, -1, 99], [99, 99, 99]], np.int32)
CONFIG = sample.SampleConfig(group=GROUP, max_new=NEW, temperature=0.7)
PROGRAMS = (sample.prefill, sample.admit, sample.compact, sample.decode)
UNROLLED = dataclasses.replace(tiny.GQA, scan_layers=False, layers=2, dense_layers=2)


def prompts():
  tokens = np.random.default_rng(0).integers(1, 64, (4, WIDTH))
  return np.where(np.arange(WIDTH) < LENGTHS[:, None], tokens, 0).astype(np.int32)


def generate(
  cfg=UNROLLED, scfg=CONFIG, stop_KW=NEVER, cap=NEW, seed=0, slots=0, heard=lambda count: None
):
  """`rollout.Rollout` of the four prompts on the mesh that is set."""
  policy = rollout.Policy(tiny.weights(cfg), cfg, None)
  asked = [row[:length].tolist() for row, length in zip(prompts(), LENGTHS)]
  limits = rollout.Limits(WIDTH, cap, slots)
  parts = rollout.run(policy, scfg, asked, limits, jax.random.key(seed), stop_KW, heard)
  return rollout.ordered(list(parts))


@pytest.fixture(scope='module', autouse=True)
def mesh():
  with tiny.mesh():
    yield


@pytest.fixture(scope='module')
def free():
  """Completions that nothing stops."""
  return generate()


@pytest.fixture(scope='module')
def greedy():
  """The most likely completions of the latent-attention model, with a cache that grows thrice."""
  scfg = dataclasses.replace(CONFIG, temperature=0.0, cache_growth=3)
  return generate(tiny.MLA, scfg)


def trainer_rows(completions):
  """The completions as the trainer sees them, and the column where each one starts."""
  B = GROUP * len(LENGTHS)
  start_B = np.repeat(LENGTHS, GROUP)
  end_B = start_B + completions.length_B
  column, token_BT = np.arange(WIDTH + NEW), np.zeros((B, WIDTH + NEW), np.int32)
  for b in range(B):
    token_BT[b, : start_B[b]] = prompts()[b // GROUP, : start_B[b]]
    token_BT[b, start_B[b] : end_B[b]] = completions.token_BT[b, : completions.length_B[b]]
  segment_BT = (column < end_B[:, None]).astype(np.int32)
  position_BT = np.broadcast_to(column, token_BT.shape).astype(np.int32)
  return steps.Rows(*(tiny.put(x) for x in (token_BT, segment_BT, position_BT))), start_B


def logp_of(cfg, completions, temperature):
  """A full forward pass's log-probabilities of the completions' tokens, and its logits."""
  rows, start_B = trainer_rows(completions)
  logits_BTV = np.asarray(tiny.forward(tiny.weights(cfg), cfg, rows)[0], np.float64) / temperature
  at_BT = start_B[:, None] + np.arange(NEW) - 1
  logits_BTV = logits_BTV[np.arange(len(at_BT))[:, None], at_BT]
  logp_BTV = logits_BTV - np.log(np.exp(logits_BTV).sum(-1, keepdims=True))
  return np.take_along_axis(logp_BTV, completions.token_BT[..., None], -1)[..., 0], logits_BTV


def truncated(free, stops, cap):
  """What stops and a cap leave of unstopped completions: tokens, (length, stopped)."""
  token_BT, ends = np.zeros_like(free.token_BT), []
  for b, row in enumerate(free.token_BT.tolist()):
    length = next(
      (n for n in range(1, cap + 1) for stop in stops if tuple(row[:n][-len(stop) :]) == stop), None
    )
    ends.append((length or cap, length is not None))
    token_BT[b, : length or cap] = row[: length or cap]
  return token_BT, ends


def same(left, right):
  np.testing.assert_array_equal(left.token_BT, right.token_BT)
  np.testing.assert_allclose(left.logp_BT, right.logp_BT, atol=1e-4)


def test_log_probabilities_are_those_of_a_full_forward_pass_at_the_sampling_temperature(free):
  expected, _ = logp_of(UNROLLED, free, CONFIG.temperature)
  assert np.abs(free.logp_BT - expected).max() < 1e-4


def test_the_host_hears_how_many_completions_have_ended_and_may_leave_them(monkeypatch):
  monkeypatch.setattr(rollout, 'ROUND', 2)
  ended = []
  generate(slots=GROUP, heard=ended.append)
  assert sum(ended) == GROUP * len(LENGTHS) and len(ended) > len(LENGTHS)

  def leave(count):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    generate(heard=leave)


def test_a_draw_is_by_request_and_place_alone(free):
  _, logits_BTV = logp_of(UNROLLED, free, 1.0)
  for b in range(0, GROUP * len(LENGTHS), 3):
    key = jax.random.fold_in(jax.random.key(0), b)
    key_T = jax.vmap(jax.random.fold_in, (None, 0))(key, np.arange(NEW))
    logits_TV = logits_BTV[b].astype(np.float32)
    drawn_T, _ = draw.draw(logits_TV, draw.uniforms(key_T), CONFIG.temperature)
    np.testing.assert_array_equal(drawn_T, free.token_BT[b])


@pytest.mark.parametrize('slots, growth', [(1, 1), (5, 3), (8, 1)])
def test_other_slots_give_the_same_completions(free, slots, growth):
  stop_KW = np.array([free.token_BT[5, 4:7], (-1, -1, free.token_BT[10, 3])], np.int32)
  scfg = dataclasses.replace(CONFIG, cache_growth=growth)
  refilled, whole = (generate(scfg=scfg, stop_KW=stop_KW, slots=n) for n in (slots, 0))
  # Not one draw falls otherwise here; in general those within rounding of a bound may.
  same(refilled, whole)
  np.testing.assert_array_equal(refilled.length_B, whole.length_B)
  np.testing.assert_array_equal(refilled.stopped_B, whole.stopped_B)
  assert refilled.useful == whole.useful == whole.length_B.sum()


def test_the_same_slots_give_the_same_bits_and_no_rollout_compiles_after_the_first():
  scfg = dataclasses.replace(CONFIG, group=10, cache_growth=2)
  caps = np.random.default_rng(0).integers(1, NEW + 1, 40)
  first = generate(scfg=scfg, cap=tuple(caps.tolist()))
  programs = [f._cache_size() for f in PROGRAMS]
  # All end at once: the cache never widens, the slots are never halved.
  assert set(generate(scfg=scfg, cap=1).length_B) == {1}
  again = generate(scfg=scfg, cap=tuple(caps.tolist()))
  assert [f._cache_size() for f in PROGRAMS] == programs
  for name in ('token_BT', 'logp_BT', 'length_B', 'stopped_B'):
    np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
  np.testing.assert_array_equal(first.length_B, caps)
  useful, steps, _, _ = table_test.simulated(caps, 10, 0)
  assert not first.stopped_B.any() and (first.useful, first.steps) == (useful, steps)
  assert steps < 40 * caps.max()
  # Slots that are not halved and refill draw the same.
  same(generate(scfg=scfg, cap=tuple(caps.tolist()), slots=8), first)


def test_sampling_may_be_unrolled_where_training_scans(free):
  scanned = dataclasses.replace(UNROLLED, scan_layers=True, unroll_sampling=True)
  np.testing.assert_array_equal(generate(scanned).token_BT, free.token_BT)
  weights, key = tiny.weights(UNROLLED), jax.random.key(0)
  arrays = tiny.put(prompts()), tiny.put(LENGTHS)

  def text(cfg):
    call = lambda weights: sample.generate(
      weights, cfg, CONFIG, *arrays, key, cap=np.int32(NEW), stop_KW=NEVER
    )
    return str(jax.make_jaxpr(call)(weights))

  looped = dataclasses.replace(UNROLLED, scan_layers=True)
  # Only a loop over layers reads one layer after the other at a place that it counts.
  assert text(looped).count('scan[') > text(scanned).count('scan[')


@pytest.mark.parametrize('cfg', [UNROLLED, tiny.MLA])
def test_on_cores_a_loop_over_layers_draws_what_unrolled_layers_draw(cfg):
  cfg = dataclasses.replace(cfg, kernels='cpu', scan_layers=False)
  scanned = dataclasses.replace(cfg, scan_layers=True)
  np.testing.assert_array_equal(generate(scanned).token_BT, generate(cfg).token_BT)


def in_a_loop(form):
  """(config, weights, slots with a wide cache) of sixteen layers in a loop."""
  cfg = dataclasses.replace(UNROLLED, scan_layers=True, layers=16, dense_layers=16, kernels=form)
  weights = tiny.weights(cfg)
  entries = sample.prefill(weights, cfg, tiny.put(prompts()), tiny.put(LENGTHS))
  return cfg, weights, sample.empty(entries, rows=8, columns=1024, window=NEVER.shape[1])


def nbytes(arrays):
  return sum(x.size * x.dtype.itemsize for x in arrays)


@pytest.mark.parametrize('form', ['reference', 'cpu'])
def test_a_loop_over_layers_holds_no_second_cache(form):
  cfg, weights, slots = in_a_loop(form)
  key = jax.random.key(0)
  until = {'steps': np.int32(4), 'enough': np.int32(0), 'most': 4}
  lowered = sample.decode.lower(weights, cfg, CONFIG.how, slots, key, NEVER, **until)
  # A copy of one layer's part, which it reads.
  held = nbytes(jax.tree.leaves(slots.cache))
  assert lowered.compile().memory_analysis().temp_size_in_bytes < held / 4


def test_on_cores_of_a_loop_over_layers_come_their_new_entries_and_no_part_of_the_cache():
  cfg, weights, slots = in_a_loop('cpu')
  step = lambda cache: transformer.decode_step(weights, cfg, slots.token_B, slots.position_B, cache)
  [loop] = [one for one in jax.make_jaxpr(step)(slots.cache).eqns if one.primitive.name == 'scan']
  assert nbytes(out.aval for out in loop.outvars) < nbytes(jax.tree.leaves(slots.cache)) / 100


def test_greedy_completions_are_the_forward_pass_s_best_tokens_with_its_log_probabilities(greedy):
  expected, logits_BTV = logp_of(tiny.MLA, greedy, 1.0)
  np.testing.assert_array_equal(greedy.token_BT, logits_BTV.argmax(-1))
  assert np.abs(greedy.logp_BT - expected).max() < 1e-4


def test_samples_of_a_prompt_differ_and_greedy_ones_agree(free, greedy):
  for p in range(len(LENGTHS)):
    own = slice(p * GROUP, (p + 1) * GROUP)
    assert len(np.unique(free.token_BT[own], axis=0)) == GROUP
    assert len(np.unique(greedy.token_BT[own], axis=0)) == 1


def test_stop_sequences_of_one_and_three_tokens_cut_and_leave_zeros(free):
  three, one = tuple(free.token_BT[5, 4:7].tolist()), (int(free.token_BT[10, 3]),)
  stop_KW = np.array([three, (-1, -1, *one)], np.int32)
  stopped = generate(stop_KW=stop_KW)
  token_BT, ends = truncated(free, [three, one], NEW)
  np.testing.assert_array_equal(stopped.token_BT, token_BT)
  assert list(zip(stopped.length_B, stopped.stopped_B)) == ends
  assert stopped.stopped_B.any()
  assert not stopped.stopped_B.all()
  beyond_BT = np.arange(NEW) >= stopped.length_B[:, None]
  assert not stopped.logp_BT[beyond_BT].any()
  np.testing.assert_allclose(stopped.logp_BT[~beyond_BT], free.logp_BT[~beyond_BT], atol=1e-5)


def test_a_lower_cap_cuts_without_recompilation(free):
  programs = sample.decode._cache_size()
  for cap in (1, 4):
    cut = generate(cap=cap)
    token_BT, _ = truncated(free, [], cap)
    np.testing.assert_array_equal(cut.token_BT, token_BT)
    assert set(cut.length_B) == {cap}
    assert not cut.stopped_B.any()
  assert sample.decode._cache_size() == programs


def test_a_stop_on_the_very_first_token_is_seen(free):
  first = int(free.token_BT[0, 0])
  stopped = generate(stop_KW=np.array([(-1, -1, first), (99, 99, 99)], np.int32))
  assert (stopped.length_B[0], stopped.stopped_B[0]) == (1, True)


def test_the_same_key_gives_the_same_completions_and_another_gives_others(free):
  same(generate(), free)
  assert not np.array_equal(generate(seed=1).token_BT, free.token_BT)


def test_a_growing_cache_gives_the_same_completions(free):
  same(generate(scfg=dataclasses.replace(CONFIG, cache_growth=3)), free)


@pytest.mark.parametrize('shape', [(2, 1, 2, 2), (1, 1, 1, 2, 4)])
def test_another_mesh_gives_the_same_completions(free, shape):
  with tiny.mesh(*shape):
    same(generate(slots=2), free)


@pytest.mark.parametrize(
  'changes', [{'group': 0}, {'max_new': 0}, {'temperature': -1.0}, {'top_p': 0.0}, {'top_k': -1}]
)
def test_impossible_settings_are_refused_with_the_numbers(changes):
  field, value = next(iter(changes.items()))
  with pytest.raises(ValueError, match=f'{field}={value}'):
    sample.SampleConfig(**changes)
