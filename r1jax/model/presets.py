"""Architectures by name: the shipped tiny one and its students, a small one, DeepSeek-V3 itself."""

from r1jax.model import config


def tiny(vocab=512):
  """1.2M parameters (1.5M with the MTP module) of every part of V3; runs on two CPU cores."""
  return config.ModelConfig(
    vocab=vocab,
    width=128,
    layers=4,
    heads=4,
    q_latent=96,
    kv_latent=64,
    head_nope=16,
    head_rope=16,
    head_value=32,
    ffn=384,
    dense_layers=1,
    moe=config.MoeConfig(experts=8, per_token=4, ffn=64, shared=1, groups=4, top_groups=3),
    rope=config.RopeConfig(),
    init_std=0.06,
    max_length=512,
  )


def small(vocab=512):
  """105M parameters (92M without the MTP module), for one GPU; the tiny world's vocabulary."""
  return config.ModelConfig(
    vocab=vocab,
    width=512,
    layers=8,
    heads=8,
    q_latent=256,
    kv_latent=128,
    head_nope=64,
    head_rope=32,
    head_value=64,
    ffn=2048,
    dense_layers=1,
    moe=config.MoeConfig(experts=16, per_token=4, ffn=448, shared=1, groups=4, top_groups=2),
    rope=config.RopeConfig(),
    init_std=0.02,
    max_length=4096,
  )


def tiny_qwen2(vocab=512):
  """A student of Qwen2's architecture, 0.5M parameters: two fifths of the tiny teacher."""
  return _tiny_student(vocab, qkv_bias=True, tied=True, rope=config.RopeConfig(theta=1e6))


def tiny_llama(vocab=512):
  """A student of Llama's architecture, 0.5M parameters, with Llama 3's scaled positions."""
  scaled = config.RopeConfig(
    theta=5e5, kind='llama3', factor=8.0, low_freq_factor=1.0, original_length=512
  )
  return _tiny_student(vocab, rope=scaled)


def _tiny_student(vocab, **family):
  return config.ModelConfig(
    vocab=vocab,
    width=96,
    layers=4,
    heads=4,
    attention='gqa',
    q_latent=0,
    kv_latent=0,
    head_nope=0,
    head_rope=24,
    head_value=24,
    kv_heads=2,
    ffn=288,
    dense_layers=4,
    moe=None,
    mtp_layers=0,
    init_std=0.06,
    max_length=512,
    **family,
  )


def bench_qwen2():
  """4 layers of Qwen2's architecture, for `benchmarks/rl_step.py`."""
  return config.ModelConfig(
    vocab=4096,
    width=256,
    layers=4,
    heads=8,
    attention='gqa',
    head_nope=0,
    head_rope=32,
    head_value=32,
    kv_heads=2,
    qkv_bias=True,
    ffn=1024,
    dense_layers=4,
    moe=None,
    mtp_layers=0,
    rope=config.RopeConfig(theta=1e6),
    tied=True,
    init_std=0.02,
    max_length=1024,
    compute_dtype='float32',
    param_dtype='float32',
    remat=False,
    scan_layers=False,
  )


def _qwen2(width, ffn, layers, heads, kv_heads, vocab, **more):
  """Qwen2.5's architecture, untied: biases on q, k, v, heads of 128 (reference §3.3)."""
  return config.ModelConfig(
    vocab=vocab,
    width=width,
    layers=layers,
    heads=heads,
    attention='gqa',
    head_nope=0,
    head_rope=128,
    head_value=128,
    kv_heads=kv_heads,
    qkv_bias=True,
    ffn=ffn,
    dense_layers=layers,
    moe=None,
    mtp_layers=0,
    init_std=0.02,
    max_length=131_072,
    **more,
  )


def qwen_1_5b():
  """R1-Distill-Qwen-1.5B, 1,777,088,000 parameters."""
  return _qwen2(1536, 8960, 28, 12, 2, 151_936, rope=config.RopeConfig(theta=1e4))


def qwen_7b():
  """R1-Distill-Qwen-7B, 7,615,616,512 parameters."""
  return _qwen2(3584, 18_944, 28, 28, 4, 152_064, rope=config.RopeConfig(theta=1e4))


def qwen_32b():
  """R1-Distill-Qwen-32B, 32,763,876,352 parameters."""
  return _qwen2(5120, 27_648, 64, 40, 8, 152_064, rope=config.RopeConfig(theta=1e6), norm_eps=1e-5)


def v3_671b():
  """DeepSeek-V3, 671.026B parameters without its MTP module (reference §2.1)."""
  return config.ModelConfig()
