"""The ops on a TPU: Pallas attention and decoding; XLA's grouped matmul and the chunked head."""

from r1jax.kernels.decode_tpu import gqa_decode, mla_decode
from r1jax.kernels.flash_attention_tpu import attention
from r1jax.kernels.reference import grouped_matmul, token_scores

__all__ = ['attention', 'gqa_decode', 'grouped_matmul', 'mla_decode', 'token_scores']
