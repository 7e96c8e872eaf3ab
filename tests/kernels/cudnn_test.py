"""Attention by cuDNN as far as it goes without a GPU.

What is asked of cuDNN is computed by JAX's other implementation of the same function, and the
program that holds cuDNN's calls is lowered for a GPU that is not here. Nothing here runs cuDNN.
"""

import dataclasses
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import config as config_lib
from r1jax import kernels, sharding
from r1jax.experiments import r1_zero
from r1jax.kernels import cudnn, oracle
from r1jax.model import presets
from r1jax.planning import phases, topology

needs_compiler = pytest.mark.skipif(
  not importlib.util.find_spec('jax_cuda13_plugin'),
  reason="no GPU compiler: pip install -e '.[gpu-compiler]'",
)
# A prompt with two completions and padding; nothing but padding; one sequence.
SEGMENT = np.int32([[1, 1, 1, 2, 2, 3, 3, 4, 4, 4, 0, 0, 0], [0] * 13, [5] * 13])
PREFIX = np.int32([[-1, -1, -1, 1, 1, 1, 1, *[-1] * 6], [-1] * 13, [-1] * 13])
RNG, SCALE = np.random.default_rng(0), 0.3


def pull(operands, segment, prefix, d):
  """(result, gradients) of what cuDNN is asked for, by XLA."""

  def run(q, k, v):
    return cudnn._attention(q, k, v, segment, SCALE, prefix, 'xla')

  out, back = jax.jit(lambda *a: jax.vjp(run, *a))(*operands)
  return out, *back(d)


def alone(operands, segment, prefix, d):
  """The same in float64: each segment by itself, behind the one that is its prefix."""
  found = [np.zeros(d.shape), *(np.zeros(x.shape) for x in operands)]
  for b, one in enumerate(segment):
    for own in np.unique(one):
      first = prefix[b, one == own][0]
      at = np.flatnonzero((one == own) | (one == first))
      mine = np.where(one[at] == own, 1.0, 0.0)[:, None, None]
      part, same = [x[b : b + 1, at] for x in operands], np.ones((1, len(at)))
      gradients = oracle.attention_gradients(part, same, SCALE, d[b : b + 1, at] * mine)
      for total, x in zip(found, (oracle.attention(*part, same, SCALE) * mine, *gradients)):
        total[b, at] += x[0]
  return found


@pytest.mark.parametrize('dtype, bound', [('float32', 1e-5), ('bfloat16', 0.03)])
@pytest.mark.parametrize('shared', [False, True])
@pytest.mark.parametrize('length', [12, 13])
@pytest.mark.parametrize('heads', [(4, 2, 16, 16), (4, 1, 24, 16), (2, 2, 12, 12), (2, 2, 8, 16)])
def test_cudnn_is_asked_for_causal_attention_within_segments(heads, length, shared, dtype, bound):
  N, Y, H, U = heads
  segment, prefix = SEGMENT[:, :length], PREFIX[:, :length]
  prefix = prefix if shared else np.full_like(prefix, -1)
  shapes = ((3, length, N, H), (3, length, Y, H), (3, length, Y, U), (3, length, N, U))
  *operands, d = (jnp.asarray(RNG.normal(size=shape), dtype) for shape in shapes)
  found = pull(operands, segment, prefix if shared else None, d)
  exact = [np.float64(x) for x in operands]
  for one, expected in zip(found, alone(exact, segment, prefix, np.float64(d)), strict=True):
    assert one.dtype == dtype and np.isfinite(np.float64(one)).all()
    assert np.abs(np.float64(one) - expected).max() < bound * np.abs(expected).max()


@pytest.mark.parametrize('length', [12, 13])
def test_every_token_sees_itself_and_cudnn_gets_shapes_that_it_takes(monkeypatch, length):
  asked = []

  def record(q, k, v, mask, scale, implementation):
    asked.append((q, k, v, mask, scale, implementation))
    return q

  monkeypatch.setattr(jax.nn, 'dot_product_attention', record)
  q, k, v = (jnp.ones((3, length, n, width), 'bfloat16') for n, width in ((4, 20), (2, 20), (2, 4)))
  out = kernels.attention(q, k, v, SEGMENT[:, :length], SCALE, 'cudnn', PREFIX[:, :length])
  ((q, k, v, mask, scale, implementation),) = asked
  assert out.shape == (3, length, 4, 4) and (scale, implementation) == (SCALE, 'cudnn')
  # Rows of even length, as a mask that has a gradient must be; widths in multiples of 8.
  assert [x.shape for x in (q, k, v)] == [(3, length + length % 2, n, 24) for n in (4, 2, 2)]
  assert mask.dtype == bool and mask.shape == (3, 1, q.shape[1], q.shape[1])
  assert np.asarray(mask)[:, 0].diagonal(axis1=1, axis2=2).all()


def model(**changes):
  """A GQA model of two layers in bfloat16."""
  small = dict(layers=2, dense_layers=2, compute_dtype='bfloat16', kernels='cudnn')
  return dataclasses.replace(presets.tiny_llama(), **small | changes)


@needs_compiler
@pytest.mark.parametrize('program, backward', [('rollout', False), ('update', True)])
def test_a_program_of_two_ampere_gpus_calls_cudnn(monkeypatch, program, backward):
  from jax._src.cudnn import fused_attention_stablehlo as private

  # cuDNN itself is not here; its version is all that JAX asks of it while it lowers.
  monkeypatch.setattr(private, 'check_cudnn_version', lambda: 91200)
  cfg, job = model(), config_lib.build(r1_zero.get_config('tiny'))
  job = dataclasses.replace(job, checkpoint='', model=cfg)
  mesh = sharding.make_mesh((1, 1, 1, 2), list(topology.target('a100:2').devices))
  cfg.check_mesh(dict(mesh.shape))
  with jax.set_mesh(mesh):
    text = phases.LOWER[program](job, cfg, mesh).as_text()
  assert '@__cudnn$fmhaScaleBiasSoftmax(' in text
  assert ('@__cudnn$fmhaScaleBiasSoftmaxBackward(' in text) == backward


@pytest.mark.parametrize(
  'changes, why',
  [
    ({'compute_dtype': 'float32'}, "config.runtime.compute_dtype='float32' is not: use 'bfloat16'"),
    ({'head_rope': 130}, "heads of 128 values at most, here of 130: 'auto' leaves"),
    ({'head_value': 192}, "heads of 128 values at most, here of 192: 'auto' leaves"),
  ],
)
def test_a_model_that_cudnn_does_not_take_is_refused(changes, why):
  mesh = dict.fromkeys(sharding.MESH_AXES, 1)
  model().check_mesh(mesh)
  with pytest.raises(ValueError, match=f"^config.runtime.kernels='cudnn' .*{why}"):
    model(**changes).check_mesh(mesh)
