"""Ops of the performance-critical core; the model calls these names and nothing below them."""

from r1jax.kernels.reference import attention, gqa_decode, grouped_matmul, mla_decode

__all__ = ['attention', 'gqa_decode', 'grouped_matmul', 'mla_decode']
