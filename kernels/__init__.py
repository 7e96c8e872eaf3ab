"""Ops of the performance-critical core; the model calls these names and nothing below them.

All but `product` take `form`, which of their implementations runs: 'reference' (plain JAX, any
platform), 'cpu' (for the cores of one), 'tpu' (Pallas, Mosaic TPU), 'gpu' (Pallas, Mosaic GPU,
Hopper) or 'cudnn' (NVIDIA's attention on GPUs from Ampere on). `resolve` turns what a user asks for
into one of them. `product` goes by the platform that a program is compiled for.
README.md has the contracts.
"""

if __name__ == 'kernels':
  # A Python that starts in the checkout finds this folder where a library asks whether the package
  # of that name is installed: it learns that this one has no version, and goes on without.
  def __getattr__(name):
    if name.startswith('__'):
      raise AttributeError(name)
    raise ImportError(
      f"kernels.{name}: this is the folder of r1jax.kernels, found since Python's path begins with "
      'the checkout; for the package called kernels start Python elsewhere, or with -P'
    )

else:
  from r1jax.kernels.ops import (
    ASKED,
    FORMS,
    SHARING,
    attention,
    describe,
    gqa_decode,
    grouped_matmul,
    mla_decode,
    resolve,
    token_scores,
    whole_blocks,
  )
  from r1jax.kernels.output_head import Scores
  from r1jax.kernels.products import product

  __all__ = [
    'ASKED',
    'FORMS',
    'SHARING',
    'Scores',
    'attention',
    'describe',
    'gqa_decode',
    'grouped_matmul',
    'mla_decode',
    'product',
    'resolve',
    'token_scores',
    'whole_blocks',
  ]
