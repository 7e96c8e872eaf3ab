"""What the ops mean, in float64 NumPy, gradients written out by hand: nothing here is fast.

Every form is measured against these functions (`tests/kernels/oracle_test.py`, `python -m
benchmarks.kernel_errors`), which share no code with any of them. Operands of any type are read as
float64; a cotangent has the shape of the result that it belongs to.
"""

import numpy as np


def attention(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale):
  """Softmax over the keys s <= t of the query's own segment -> [B, T, N, U]."""
  prob_BNTS, (_, _, v_BSNU) = _attended(q_BTNH, k_BTYH, v_BTYU, segment_BT, scale)
  return np.einsum('bnts,bsnu->btnu', prob_BNTS, v_BSNU)


def attention_gradients(operands, segment_BT, scale, d_BTNU):
  """(dq, dk, dv) of sum(attention * d); `operands` are (q, k, v)."""
  prob_BNTS, (q, k, v) = _attended(*operands, segment_BT, scale)
  d = np.float64(d_BTNU)
  d_v = np.einsum('bnts,btnu->bsnu', prob_BNTS, d)
  d_prob = np.einsum('btnu,bsnu->bnts', d, v)
  # Of a softmax: p * (dp - sum p dp).
  d_score = scale * prob_BNTS * (d_prob - (prob_BNTS * d_prob).sum(-1, keepdims=True))
  d_q = np.einsum('bnts,bsnh->btnh', d_score, k)
  d_k = np.einsum('bnts,btnh->bsnh', d_score, q)
  return d_q, *(_shared(x, operands[1].shape[2]) for x in (d_k, d_v))


def _attended(q, k, v, segment_BT, scale):
  """Probabilities, and the operands in float64 with a key head for every query head."""
  q, k, v = (np.float64(x) for x in (q, k, v))
  k, v = (np.repeat(x, q.shape[2] // x.shape[2], axis=2) for x in (k, v))
  segment, T = np.asarray(segment_BT), q.shape[1]
  # Query t (rows) sees key s <= t (columns) of its own segment.
  keep = (segment[:, :, None] == segment[:, None]) & np.tri(T, dtype=bool)
  score = scale * np.einsum('btnh,bsnh->bnts', q, k)
  return _softmax(score, keep[:, None]), (q, k, v)


def _softmax(score, keep):
  """Over the last axis and what is kept; zeros where nothing is."""
  score = np.where(keep, score, -np.inf)
  top = score.max(-1, keepdims=True)
  # Over nothing the maximum is -inf, and -inf - -inf is no number.
  weight = np.exp(score - np.where(np.isfinite(top), top, 0))
  total = weight.sum(-1, keepdims=True)
  return np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)


def _shared(x_BTNH, key_heads):
  """Sums the gradients of the query heads that read the same key head."""
  B, T, N, H = x_BTNH.shape
  return x_BTNH.reshape(B, T, key_heads, N // key_heads, H).sum(3)


def mla_decode(q_BNA, cache_BSA, keep_BS, value_width, scale):
  """One query a head over the kept rows of one cache -> [B, N, value_width]; zeros over none."""
  q, cache = np.float64(q_BNA), np.float64(cache_BSA)
  score = scale * np.einsum('bna,bsa->bns', q, cache)
  prob = _softmax(score, np.asarray(keep_BS)[:, None])
  return np.einsum('bns,bsu->bnu', prob, cache[..., :value_width])


def gqa_decode(q_BNH, k_BYHS, v_BYSU, keep_BS, scale):
  """One query a head over the kept slots of its key head -> [B, N, U]; zeros over none."""
  q, k, v = (np.float64(x) for x in (q_BNH, k_BYHS, v_BYSU))
  k, v = (np.repeat(x, q.shape[1] // x.shape[1], axis=1) for x in (k, v))
  prob = _softmax(scale * np.einsum('bnh,bnhs->bns', q, k), np.asarray(keep_BS)[:, None])
  return np.einsum('bns,bnsu->bnu', prob, v)


def token_scores(x_XD, w_VD, target_X, temperature):
  """(log-normaliser, logit of the target or 0 where it is no row of w, mean logit), each [X]."""
  z_XV = np.float64(x_XD) @ np.float64(w_VD).T / temperature
  top_X = z_XV.max(-1)
  norm_X = np.log(np.exp(z_XV - top_X[:, None]).sum(-1)) + top_X
  chosen_X = (z_XV * _hits(target_X, z_XV)).sum(-1)
  mean_X = (_likely(z_XV, norm_X) * z_XV).sum(-1)
  return norm_X, chosen_X, mean_X


def token_scores_gradients(operands, target_X, temperature, cotangents):
  """(dx, dw) of the three figures weighted by `cotangents`; `operands` are (x, w)."""
  x_XD, w_VD = (np.float64(a) for a in operands)
  z_XV = x_XD @ w_VD.T / temperature
  norm_X, _, mean_X = token_scores(x_XD, w_VD, target_X, temperature)
  d_norm, d_chosen, d_mean = (np.float64(d)[:, None] for d in cotangents)
  # d norm / dz = p; d mean / dz = p (1 + z - mean); d chosen / dz = 1 at the target.
  d_XV = _likely(z_XV, norm_X) * (d_norm + d_mean * (1 + z_XV - mean_X[:, None]))
  d_XV = (d_XV + d_chosen * _hits(target_X, z_XV)) / temperature
  return d_XV @ w_VD, d_XV.T @ x_XD


def _likely(z_XV, norm_X):
  return np.exp(z_XV - norm_X[:, None])


def _hits(target_X, z_XV):
  return np.asarray(target_X)[:, None] == np.arange(z_XV.shape[1])


def grouped_matmul(x_XD, w_EDM, size_E):
  """Consecutive groups of rows, each times its matrix; zeros behind them."""
  out = np.zeros((len(x_XD), w_EDM.shape[2]))
  for rows, matrix in _groups(size_E, np.float64(w_EDM)):
    out[rows] = np.float64(x_XD[rows]) @ matrix
  return out


def grouped_matmul_gradients(operands, size_E, d_XM):
  """(dx, dw) of sum(grouped_matmul * d); `operands` are (x, w)."""
  (x, w), d = (np.float64(a) for a in operands), np.float64(d_XM)
  d_x, d_w = np.zeros_like(x), np.zeros_like(w)
  for (rows, matrix), part in zip(_groups(size_E, w), d_w):
    # Rows behind the groups are never visited: their gradient stays zero.
    d_x[rows] = d[rows] @ matrix.T
    part[...] = x[rows].T @ d[rows]
  return d_x, d_w


def _groups(size_E, w_EDM):
  """(rows of a group, its matrix)."""
  ends = np.cumsum(size_E)
  return [(slice(end - n, end), matrix) for end, n, matrix in zip(ends, size_E, w_EDM)]
