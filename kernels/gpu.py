"""The ops on a Hopper GPU: Pallas kernels, the output head backward apart."""

from r1jax.kernels.decode_gpu import gqa_decode, mla_decode
from r1jax.kernels.flash_attention_gpu import attention
from r1jax.kernels.grouped_matmul_gpu import grouped_matmul
from r1jax.kernels.output_head_gpu import token_scores

__all__ = ['attention', 'gqa_decode', 'grouped_matmul', 'mla_decode', 'token_scores']
