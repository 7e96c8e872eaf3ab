"""DeepSeek-R1's recipe in JAX.

Every array's name ends in its dimensions, one letter each, the same as in the einsum strings:

  B sequences (= P x G in RL)   P prompts          G samples per prompt   T query positions
  S key positions               X flattened tokens D residual width       N heads
  Y key heads                   H head width without position             R rotary width
  U value width                 Q query latent     C key-value latent     F dense ffn
  E routed experts              K experts per token  M expert ffn         V vocabulary   L layers
"""

__version__ = '0.1.0'
