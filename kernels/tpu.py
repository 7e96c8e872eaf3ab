"""The ops on a TPU: Pallas attention, decoding and grouped matmul; the output head is plain JAX."""

from r1jax.kernels.decode_tpu import gqa_decode, mla_decode
from r1jax.kernels.flash_attention_tpu import attention
from r1jax.kernels.grouped_matmul_tpu import grouped_matmul
from r1jax.kernels.reference import token_scores

__all__ = ['attention', 'gqa_decode', 'grouped_matmul', 'mla_decode', 'token_scores']
