"""The ops on the cores of a CPU: attention tile by tile, MLA's decoding; else the plain form."""

from r1jax.kernels.attention_cpu import attention
from r1jax.kernels.decode_cpu import mla_decode
from r1jax.kernels.reference import gqa_decode, grouped_matmul, token_scores

__all__ = ['attention', 'gqa_decode', 'grouped_matmul', 'mla_decode', 'token_scores']
