"""DeepSeek-R1's recipe in JAX.

Every array's name ends in its dimensions, one letter each, the same as in the einsum strings:

  B sequences (= P x G in RL)   P prompts          G samples per prompt   T query positions
  S key positions               X flattened tokens D residual width       N heads
  Y key heads                   H head width without position             R rotary width
  U value width                 Q query latent     C key-value latent     F dense ffn
  E routed experts              K experts per token  M expert ffn         V vocabulary   L layers

On the host, where none of these occur, a letter may stand for something else that the docstring
names: S shards, K texts or stop sequences, C chunks, W a window, A micro-batches, R requests.
"""

__version__ = '0.1.0'
