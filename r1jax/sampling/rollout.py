"""Rollouts on the host: prompts in, completions as NumPy arrays out, in chunks of fixed shape."""

import dataclasses

import jax
import numpy as np

from r1jax import sharding
from r1jax.data import prompts
from r1jax.model import config as model_config
from r1jax.sampling import sample


@dataclasses.dataclass(frozen=True)
class Policy:
  """What samples: weights, their `ModelConfig`, and how it is asked (`prompts.Form`)."""

  params: dict
  cfg: model_config.ModelConfig
  form: prompts.Form

  @property
  def tokenizer(self):
    """Of the model."""
    return self.form.tokenizer


@dataclasses.dataclass(frozen=True)
class Rollout:
  """B = P * G completions of P prompts, on the host.

  Attributes:
    prompts: token ids of each prompt, P lists.
    token_BT, logp_BT, length_B, stopped_B: as in `sample.Completions`.
  """

  prompts: tuple
  token_BT: np.ndarray
  logp_BT: np.ndarray
  length_B: np.ndarray
  stopped_B: np.ndarray

  @property
  def group(self):
    """Samples a prompt."""
    return len(self.length_B) // len(self.prompts)

  def completion(self, b):
    """Token ids of completion b, the stopping token included."""
    return self.token_BT[b, : self.length_B[b]]

  def take(self, groups):
    """The rollout of some of the prompts."""
    # Samples of a prompt are next to each other.
    first = np.asarray(groups)[:, None] * self.group
    rows = (first + np.arange(self.group)).reshape(-1)
    arrays = (a[rows] for a in (self.token_BT, self.logp_BT, self.length_B, self.stopped_B))
    return Rollout(tuple(self.prompts[p] for p in groups), *arrays)


@dataclasses.dataclass(frozen=True)
class Limits:
  """Sizes of a rollout's calls.

  Attributes:
    width: tokens that prompts are padded to; a longer prompt is an error.
    cap: most new tokens, at most `SampleConfig.max_new`; may change from call to call.
    chunk: prompts of one call; 0 for all at once.
  """

  width: int
  cap: int
  chunk: int = 0


def join(rollouts):
  """Several rollouts with equal groups as one."""
  prompts = tuple(prompt for rollout in rollouts for prompt in rollout.prompts)
  fields = ('token_BT', 'logp_BT', 'length_B', 'stopped_B')
  whole = lambda field: np.concatenate([getattr(rollout, field) for rollout in rollouts])
  return Rollout(prompts, *map(whole, fields))


def pad_prompts(prompts, width):
  """Lists of ids -> (prompt_PT int32 padded with 0 on the right, length_P).

  Raises:
    ValueError: a prompt is longer than `width`.
  """
  length_P = np.array([len(prompt) for prompt in prompts], np.int32)
  if length_P.max() > width:
    worst = int(length_P.argmax())
    raise ValueError(
      f'prompt {worst} has {length_P[worst]} tokens, more than max_prompt={width}; '
      f'{int((length_P > width).sum())} of {len(prompts)} are too long: raise data.max_prompt'
    )
  prompt_PT = np.zeros((len(prompts), width), np.int32)
  for row, prompt in zip(prompt_PT, prompts):
    row[: len(prompt)] = prompt
  return prompt_PT, length_P


def run(policy, scfg, prompts, limits, key, stop_KW=None):
  """Samples `scfg.group` completions of every prompt; yields one `Rollout` a chunk, in order.

  Chunk k + 1 is dispatched before chunk k is handed out, so that the caller's work on one (rewards)
  overlaps with the sampling of the next.

  Args:
    policy: `Policy`.
    prompts: lists of ids; their number is a multiple of `limits.chunk`.
    limits: `Limits`.
    key: PRNG key; chunk i uses `fold_in(key, i)`.
    stop_KW: token sequences that end a completion; None for those of the policy's form.
  """
  # Every chunk has the same shape: one program for all.
  chunk = limits.chunk or len(prompts)
  if len(prompts) % chunk:
    raise ValueError(f'{len(prompts)} prompts do not divide into chunks of {chunk}')
  stop_KW = policy.form.stop_KW if stop_KW is None else stop_KW
  # One chunk ahead: JAX returns before the device is done, so the next is queued at once.
  waiting = None
  for i in range(len(prompts) // chunk):
    part = prompts[i * chunk : (i + 1) * chunk]
    prompt_PT, length_P = pad_prompts(part, limits.width)
    out = sample.generate(
      policy.params,
      policy.cfg,
      scfg,
      sharding.put(prompt_PT, sharding.act('batch', None)),
      sharding.put(length_P, sharding.act('batch')),
      jax.random.fold_in(key, i),
      cap=np.int32(limits.cap),
      stop_KW=stop_KW,
    )
    if waiting:
      yield _fetch(*waiting)
    waiting = (part, out)
  yield _fetch(*waiting)


def _fetch(prompts, out):
  # Here the host waits for the device.
  arrays = sharding.fetch((out.token_BT, out.logp_BT, out.length_B, out.stopped_B))
  return Rollout(tuple(prompts), *arrays)
