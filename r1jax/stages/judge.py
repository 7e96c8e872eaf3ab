"""Trained reward models on the device, and the service that adds their verdicts to the rules'.

Rules are judged by worker processes while sampling goes on; the reward models are batched on the
devices that the policy uses, when the results of a batch are asked for.
"""

import dataclasses
import json
import math
import pathlib
from functools import partial

import jax
import numpy as np

from r1jax import programs, sharding
from r1jax.data import batches, template
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.interchange import huggingface, tensors
from r1jax.model import config as model_config
from r1jax.model import scalar_head
from r1jax.rewards import request, service
from r1jax.rewards.verdict import Kind, Verdict

HEAD_FILE, SETTINGS_FILE = 'scalar_head.safetensors', 'reward_model.json'
# How the reward model of each kind is trained (reference §1.4).
OBJECTIVES = {request.HELPFUL: 'pairwise', request.HARMLESS: 'pointwise'}


@dataclasses.dataclass(frozen=True)
class Calibration:
  """What turns a raw score into [0, 1]: sigmoid((score - centre) / scale).

  A pairwise loss leaves the zero of the scores open: `centre` and `scale` are their mean and
  standard deviation over training texts. A pointwise score is a log-odds: centre 0 and scale 1.
  """

  centre: float = 0.0
  scale: float = 1.0

  def __post_init__(self):
    if not (math.isfinite(self.centre) and 0 < self.scale < math.inf):
      raise ValueError(f'{self.centre=} must be finite and {self.scale=} positive')


@dataclasses.dataclass(frozen=True)
class RewardModel:
  """A trained reward model: weights of `scalar_head.specs(cfg)`, kind, and calibration."""

  params: dict
  cfg: model_config.ModelConfig
  tokenizer: tokenizer_lib.SentencePieceTokenizer | tokenizer_lib.HubTokenizer
  kind: str
  calibration: Calibration


def part(kind, completion):
  """What the model of `kind` reads of a reply: helpfulness the summary only, harmlessness all.

  The summary is what stands outside the thought; '' where a thought never ends.
  """
  # Harm may lie anywhere in a reply; usefulness is judged by what the user reads, so that the
  # thought stays free of a model's taste (reference §1.4).
  return completion if kind == request.HARMLESS else template.outside_thought(completion)


def encode(tokenizer, kind, question, completion):
  """Ids of the text that a reward model scores: prompt, part of the reply, end of sequence."""
  # The score is read at the last token, so every text ends in the same one.
  text = template.render(question) + part(kind, completion)
  return [*tokenizer.encode(text, bos=True), tokenizer.eos_id]


def verdict(raw, calibration, note=''):
  """`Verdict` of a raw score (float); a score that is no number is the model's failure."""
  if not math.isfinite(raw):
    return Verdict(0.0, Kind.VERIFIER_ERROR, f'the reward model gave {raw}')
  scaled = (raw - calibration.centre) / calibration.scale
  score = 0.5 * (1 + math.tanh(scaled / 2))  # the sigmoid, without overflow
  # A half is the mean training text of a pairwise model, even odds of a pointwise one.
  kind = Kind.CORRECT if score >= 0.5 else Kind.WRONG
  return Verdict(score, kind, f'raw score {raw:.2f}{note}')


class Judge:
  """A `RewardModel` with the static shape of its calls: `rows` texts of up to `capacity` tokens."""

  def __init__(self, model, rows, capacity):
    shards = sharding.batch_shards(jax.sharding.get_mesh())
    # Both are refused here: later they would be an error in the middle of a compilation.
    if rows < 1 or rows % shards:
      raise ValueError(f'{rows=} of a reward model do not divide over {shards} batch shards')
    if not 1 < capacity <= model.cfg.max_length:
      raise ValueError(f'{capacity=} is not within 2..{model.cfg.max_length}, the model context')
    self.model, self._rows, self._capacity = model, rows, capacity

  def scores(self, texts):
    """Raw scores, float32 [len(texts)], and which texts were cut to fit, bool.

    Args:
      texts: (question, completion) pairs; of a text that is too long the end is cut, but not its
        final token, the end of the sequence.
    """
    model, size = self.model, self._capacity
    ids = [encode(model.tokenizer, model.kind, *text) for text in texts]
    cut = np.array([len(one) > size for one in ids], bool)
    # The end is cut, but for the token at which the score is read.
    shortened = lambda one: one if len(one) <= size else [*one[: size - 1], one[-1]]
    ids = list(map(shortened, ids))
    score_N = np.zeros(len(ids), np.float32)
    for first in range(0, len(ids), self._rows):
      # One text a row and always as many rows, so that one program is compiled; the empty rows of
      # the last call are computed and dropped.
      some = ids[first : first + self._rows]
      alone = [[i] for i in range(len(some))]
      packed = batches.lay(some, alone, size, self._rows)
      put = lambda x: sharding.put(x, sharding.act('batch', None))
      arrays = (put(packed.token), put(packed.segment), put(packed.position))
      score_BK = sharding.fetch(_scores(model.params, model.cfg, *arrays))
      score_N[first : first + len(some)] = score_BK[: len(some), 0]
    return score_N, cut

  def to_compile(self):
    """The `programs.Program` of its calls."""
    key = (jax.sharding.get_mesh(), self.model.cfg, self._rows, self._capacity)
    return programs.Program(_scores.__name__, key, 'reward model')

  def verdicts(self, texts):
    """One `Verdict` for each (question, completion); 0 for a reply without what is to be read."""
    kind, calibration = self.model.kind, self.model.calibration
    lacking = Verdict(0.0, Kind.UNPARSEABLE, 'no summary outside the thought')
    verdicts = [lacking] * len(texts)
    # A reply without a summary is not shown to the model, which would score the empty text somehow.
    chosen = [i for i, text in enumerate(texts) if part(kind, text[1]).strip()]
    for i, raw, cut in zip(chosen, *self.scores([texts[i] for i in chosen])):
      note = f', cut to {self._capacity} tokens' if cut else ''
      verdicts[i] = verdict(float(raw), calibration, note)
    return verdicts


@partial(jax.jit, static_argnames='cfg')
def _scores(params, cfg, token_BT, segment_BT, position_BT):
  return scalar_head.scores(params, cfg, token_BT, segment_BT, position_BT, 1)


class PreferenceService:
  """A `service.RewardService` and reward models behind the same interface.

  An item whose gold is a `request.Query` gets the verdict of that kind's model beside those of
  the rules, its score weighted by `weights[kind]`.
  """

  def __init__(self, rules, judges, weights):
    """`judges`: kind -> `Judge`; the service owns `rules` and closes it."""
    self._rules, self._judges, self._weights = rules, judges, weights

  def submit(self, items):
    """Rules start at once; the reward models score when `result()` is asked for."""
    # The devices sample others now; the models wait until they are free.
    return _Batch(self, list(items), self._rules.submit(items))

  def to_compile(self):
    """The `programs.Program`s of the reward models."""
    return [one.to_compile() for one in self._judges.values()]

  def metrics(self):
    """The rules' counters."""
    return self._rules.metrics()

  def close(self):
    """Stops the worker processes."""
    self._rules.close()

  def _judge(self, items, rewards):
    rewards = list(rewards)
    for kind, judge in self._judges.items():
      chosen = [i for i, item in enumerate(items) if _asks_for(item, kind)]
      texts = [(items[i].question, items[i].completion) for i in chosen]
      for i, judgement in zip(chosen, judge.verdicts(texts)):
        total = rewards[i].total + self._weights[kind] * judgement.score
        rewards[i] = service.Reward(rewards[i].verdicts | {kind: judgement}, total)
    # Without this a request would pass with the reward of the rules alone.
    lacking = {item.gold.kind for item in items if isinstance(item.gold, request.Query)}
    if lacking - self._judges.keys():
      raise ValueError(f'no reward model for requests of the kind {lacking - self._judges.keys()}')
    return rewards


def _asks_for(item, kind):
  return isinstance(item.gold, request.Query) and item.gold.kind == kind


class _Batch:
  def __init__(self, owner, items, rules):
    self._owner, self._items, self._rules, self._rewards = owner, items, rules, None

  def done(self):
    """Whether the rules have judged."""
    return self._rules.done()

  def result(self):
    """The Rewards in the order of the items."""
    if self._rewards is None:
      self._rewards = self._owner._judge(self._items, self._rules.result())
    return self._rewards


def save(folder, model):
  """Writes a reward model: a hub folder, its scalar head beside it, kind and calibration."""
  folder = pathlib.Path(folder)
  huggingface.save(folder, model.params, model.cfg)
  # A collective: all processes fetch, the first one writes.
  head_D = sharding.fetch(model.params[scalar_head.HEAD])
  if jax.process_index() != 0:
    return
  model.tokenizer.save(folder)
  tensors.write(folder / HEAD_FILE, [('score.weight', 'F32', head_D.shape, lambda: head_D)])
  settings = {'kind': model.kind, 'calibration': dataclasses.asdict(model.calibration)}
  tensors.write_json(folder / SETTINGS_FILE, settings)


def load(folder, **runtime):
  """The `RewardModel` of a folder that `save` wrote; `runtime` is as for `read_config`.

  Raises:
    ValueError: the folder holds no reward model; the message names what is missing.
  """
  folder = pathlib.Path(folder)
  try:
    settings = json.loads((folder / SETTINGS_FILE).read_text())
  except (OSError, json.JSONDecodeError) as error:
    raise ValueError(f'{folder / SETTINGS_FILE}: not a reward model ({error})') from error
  cfg = scalar_head.trunk(huggingface.read_config(folder, **runtime))
  params = huggingface.load(folder, cfg, cfg.param_dtype)
  head_D = tensors.read_header(folder / HEAD_FILE)['score.weight'].read()
  if head_D.shape != (cfg.width,):
    raise ValueError(f'{folder / HEAD_FILE}: {head_D.shape} values for a width of {cfg.width}')
  params[scalar_head.HEAD] = sharding.put(head_D, sharding.param((None,)))
  calibration = Calibration(**settings['calibration'])
  return RewardModel(params, cfg, tokenizer_lib.load(folder), settings['kind'], calibration)
