"""The ops on the cores of a CPU: attention tile by tile, all else in the plain form."""

from r1jax.kernels.attention_cpu import attention
from r1jax.kernels.reference import gqa_decode, grouped_matmul, mla_decode, token_scores

__all__ = ['attention', 'gqa_decode', 'grouped_matmul', 'mla_decode', 'token_scores']
