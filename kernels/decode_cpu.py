"""One query a sequence over MLA's latent cache, on the cores of a CPU."""

import jax
import jax.numpy as jnp

from r1jax.kernels import reference


def mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale):
  """As `reference.mla_decode`, in an order of axes that XLA:CPU multiplies fast.

  Its quick products take no transposed operand, and a softmax along a middle axis is slow. So the
  scores are turned round in memory between the two products, where they are small beside the cache.
  """
  score_BSN = jnp.einsum('bsa,bna->bsn', cache_BSA, q_BNA, preferred_element_type=jnp.float32)
  # The barriers keep XLA from turning round the cache instead.
  turned_BNS = jax.lax.optimization_barrier(score_BSN).transpose(0, 2, 1)
  score_BNS = jax.lax.optimization_barrier(turned_BNS) * scale
  prob_BNS = jax.nn.softmax(jnp.where(keep_BS[:, None], score_BNS, reference.MASKED), axis=-1)
  mixed_BNA = jnp.einsum('bns,bsa->bna', prob_BNS.astype(q_BNA.dtype), cache_BSA)
  return mixed_BNA[..., :value_width]
