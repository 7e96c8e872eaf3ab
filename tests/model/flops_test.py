"""Counted operations against the compiler's count and against loops over tokens."""

import dataclasses

import jax
import numpy as np
import pytest

from r1jax import params
from r1jax.model import flops, lora, presets, transformer
from tests.model import tiny

WIDE = dataclasses.replace(
  presets.tiny_llama(), layers=2, dense_layers=2, compute_dtype='float32', param_dtype='float32',
  remat=False, scan_layers=False,
)  # fmt: skip
TOKENS = 32


def compiled(cfg, grad=False):
  """Operations of the compiled pass over two rows of TOKENS tokens."""
  with tiny.mesh():
    rows = tiny.rows([[TOKENS], [TOKENS]], TOKENS)
    run = lambda w: (tiny.scores(w, cfg, rows)[0] ** 2).sum()
    run = jax.jit(jax.grad(run) if grad else run)
    return run.lower(tiny.weights(cfg)).compile().cost_analysis()['flops']


def test_the_compiler_counts_about_the_same_forward_and_three_times_that_with_the_gradient():
  # It multiplies the masked half of the attention too, and counts norms and softmaxes.
  masked = 2 * WIDE.layers * WIDE.heads * 2 * 24 * 2 * TOKENS * (TOKENS - 1) // 2
  expected = flops.forward(WIDE, [TOKENS] * 2) + masked
  assert compiled(WIDE) == pytest.approx(expected, rel=0.05)
  assert compiled(WIDE, grad=True) == pytest.approx(3 * expected, rel=0.07)


def test_a_sequence_decoded_token_by_token_costs_what_it_costs_at_once():
  cfg = presets.tiny()
  steps = [flops.forward(cfg, [t], cached=t - 1) for t in range(1, 11)]
  assert sum(steps) == flops.forward(cfg, [10])
  assert flops.sampling(cfg, [4], [6], 1) == flops.forward(cfg, [10])


def test_a_prompt_is_read_once_whatever_the_number_of_its_replies():
  cfg = presets.tiny()
  reply = flops.forward(cfg, [9], cached=4)
  assert flops.sampling(cfg, [4], [5] * 3, 3) == flops.forward(cfg, [4]) + 3 * reply


def test_of_experts_those_chosen_count_and_deepseek_v3_has_its_37_billion():
  # Reference §0.1: 36.63B activated with the head and without the embedding, by another count.
  assert flops.weights_per_token(presets.v3_671b()) == pytest.approx(36.63e9, rel=1e-3)
  dense = presets.tiny_llama()
  layer = 96 * (96 + 48 + 48 + 96) + 3 * 96 * 288
  assert flops.weights_per_token(dense) == 4 * layer + 512 * 96
  assert flops.weights_per_token(presets.tiny_qwen2()) == 4 * layer + 512 * 96
  assert np.isscalar(flops.training(dense, [3, 4]))


def test_of_a_frozen_matrix_the_gradient_is_not_counted():
  cfg = transformer.with_adapters(WIDE, lora.LoraConfig(rank=4))
  lengths, base = [TOKENS] * 2, flops.weights_per_token(WIDE)
  adapters = flops.weights_per_token(cfg) - base
  assert adapters == params.count(params.trained(transformer.specs(cfg)))
  # Three passes, less one product per frozen weight and token.
  full = flops.training(WIDE, lengths)
  wanted = full - 2 * base * 2 * TOKENS + 3 * 2 * adapters * 2 * TOKENS
  assert flops.training(cfg, lengths) == wanted


@pytest.mark.parametrize('rank', [0, 4])
def test_where_nothing_is_learned_the_output_head_costs_nothing_in_either_pass(rank):
  cfg = transformer.with_adapters(WIDE, lora.LoraConfig(rank=rank))
  products = 2 if rank else 3  # a frozen head has no gradient of its own
  head = 2 * WIDE.vocab * WIDE.width
  for scored in (0, 5, 2 * TOKENS):
    left_out = (2 * TOKENS - scored) * head
    whole, some = (flops.training(cfg, [TOKENS] * 2, n) for n in (None, scored))
    assert whole - some == products * left_out
    assert (
      flops.forward(cfg, [TOKENS] * 2, scored=scored) == flops.forward(cfg, [TOKENS] * 2) - left_out
    )
