"""The ops on a TPU: Pallas kernels, the output head backward apart."""

from r1jax.kernels.decode_tpu import gqa_decode, mla_decode
from r1jax.kernels.flash_attention_tpu import attention
from r1jax.kernels.grouped_matmul_tpu import grouped_matmul
from r1jax.kernels.output_head_tpu import token_scores

__all__ = ['attention', 'gqa_decode', 'grouped_matmul', 'mla_decode', 'token_scores']
