"""How a model is examined, and fingerprints of all that decides the result.

Two results can be compared where their fingerprints agree: the same questions, prompts, way of
sampling and grader. Seed, batch and number of samples may differ: they move noise only.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import pathlib

import r1jax
from r1jax import ranges, sharding
from r1jax.sampling import rollout, sample

MAX_TOKENS = 32_768  # reference §1.9
# Sources that decide marks and draws: a change in one of them changes a fingerprint.
_GRADER = ('rewards', 'data/template.py', 'evaluation/exam/answers.py')
_SAMPLER = ('sampling/draw.py', 'sampling/sample.py')
_LIBRARIES = ('math-verify', 'sympy')
_PLACES, _PIECE = 16, 1 << 16  # of a weights file that its digest reads


@dataclasses.dataclass(frozen=True)
class Protocol:
  """R1's protocol by default (reference §1.9).

  Attributes:
    samples: k, answers per question.
    temperature, top_p: how they are drawn; greedy decoding repeats itself and was rejected.
    max_tokens: most tokens of an answer; 0 for 32,768 or what the model's context leaves.
    batch: answers drawn at once; memory decides. The draws depend on it.
    seed: of the draws.
  """

  samples: ranges.Count = 16
  temperature: ranges.Temperature = 0.6
  top_p: ranges.Mass = 0.95
  max_tokens: ranges.Size = 0
  batch: ranges.Count = 32
  seed: ranges.Seed = 0

  def __post_init__(self):
    ranges.check(self)


@dataclasses.dataclass(frozen=True)
class Shape:
  """Sizes of every sampling call of an examination, so that one program is compiled.

  Attributes:
    width: tokens that prompts are padded to.
    new: most new tokens.
    questions, group: prompts of a call, and answers it draws of each.
    rounds: calls that a question needs; `rounds * group` is k.
    asked: indices of the prompts that fit, the others are not asked.
  """

  width: int
  new: int
  questions: int
  group: int
  rounds: int
  asked: tuple[int, ...]

  @property
  def calls(self):
    """(indices of the questions, round) of each call, in order."""
    size = self.questions
    parts = [self.asked[i : i + size] for i in range(0, len(self.asked), size)]
    return [(part, number) for part in parts for number in range(self.rounds)]

  @property
  def limits(self):
    """Of `rollout.run`."""
    return rollout.Limits(self.width, self.new)


def shape(proto, prompts, context, mesh):
  """The `Shape` of an examination.

  Where the longest prompt leaves less than half of the context, half of it goes to the answer and
  the longer prompts are not asked.

  Args:
    proto: `Protocol`.
    prompts: list of `prompts.Prompt`.
    context: most tokens of prompt and answer.
    mesh: the mesh that is set.

  Raises:
    ValueError: no prompt fits, or `max_tokens` is more than the context.
  """
  lengths = [len(prompt.ids) for prompt in prompts]
  # One very long prompt must not cut the replies to all the others short.
  room = max(context - max(lengths), context // 2)
  new = proto.max_tokens or min(MAX_TOKENS, room)
  asked = tuple(i for i, length in enumerate(lengths) if length + new <= context)
  if not asked:
    long = min(lengths) >= context
    what = 'shorten the examples of --few_shot, or --system' if long else 'lower --max_tokens'
    raise ValueError(
      f'--max_tokens={new} and the shortest of {len(prompts)} prompts, {min(lengths)} tokens, do '
      f'not fit a context of {context}: {what}'
    )
  # The largest divisor of k within a batch, so that all rounds are alike.
  divisors = [n for n in range(1, proto.samples + 1) if proto.samples % n == 0]
  group = max(n for n in divisors if n <= proto.batch)
  shards = sharding.batch_shards(mesh)
  # Rounded up to a multiple of the shards, which share the prompts of a call.
  questions = -(-max(1, min(proto.batch // group, len(asked))) // shards) * shards
  width = max(lengths[i] for i in asked)
  return Shape(width, new, questions, group, proto.samples // group, asked)


def sampling(proto, shape_):
  """`sample.SampleConfig` of every call."""
  return sample.SampleConfig(
    group=shape_.group,
    max_new=shape_.new,
    temperature=proto.temperature,
    top_p=proto.top_p,
    # Few replies reach a long limit, so the cache grows with them; below that it is not worth it.
    cache_growth=4 if shape_.new >= 1024 else 1,
  )


def fingerprints(problems, prompts, template, dtype, sampling_, answer='tags'):
  """Name -> 16 hex digits of SHA-256, for `questions`, `prompts`, `sampler` and `grader`.

  `answer` is where one is looked for, as `service.RewardConfig.answer`: it is the grader's.
  """
  settings = {
    'temperature': sampling_.temperature,
    'top_p': sampling_.top_p,
    'top_k': sampling_.top_k,
    'max_tokens': sampling_.max_new,
    'template': template,  # it decides what ends a reply
    'dtype': dtype,
    'code': _sources(_SAMPLER),
  }
  versions = [f'{name} {importlib.metadata.version(name)}' for name in _LIBRARIES]
  return {
    'questions': digest([[p.question, repr(p.answer)] for p in problems]),
    'prompts': digest([p.text for p in prompts]),
    'sampler': digest(settings),
    # Without the usual place, as results had it before there was another.
    'grader': digest([_sources(_GRADER), versions, *([answer] if answer != 'tags' else [])]),
  }


def apart(one, other):
  """Names of what differs between two headers, of `fingerprints` and `protocol` their own parts."""
  names = []
  for key in sorted(one.keys() | other.keys()):
    pair = one.get(key), other.get(key)
    if all(isinstance(side, dict) for side in pair):
      names += [name for name in apart(*pair) if name not in names]
    elif pair[0] != pair[1]:
      names.append(key)
  return names


def digest(value):
  """16 hex digits of the SHA-256 of a JSON value."""
  # The order in which a dict was filled plays no part.
  text = json.dumps(value, sort_keys=True, ensure_ascii=False)
  return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]


def _sources(names):
  """Digest of the files, and of those in the folders, named from the package's root."""
  root = pathlib.Path(r1jax.__file__).parent
  files = []
  for path in (root / name for name in names):
    files += sorted(path.rglob('*.py')) or [path]
  # Attacks try the grader out and decide no mark.
  files = [path for path in files if 'attacks' not in path.parts]
  return digest([[p.relative_to(root).as_posix(), p.read_text()] for p in files])


def weights_digest(folder):
  """Digest of a model's folder: config.json whole, of each weights file its size and 16 pieces.

  Reads 1 MiB of a file of any size; training changes every one of them.
  """
  digest = hashlib.sha256((folder / 'config.json').read_bytes())
  for path in sorted(folder.glob('*.safetensors')):
    size = path.stat().st_size
    digest.update(f'{path.name} {size}\n'.encode())
    with path.open('rb') as file:
      # From the first bytes to the last, evenly spread.
      for place in range(_PLACES):
        file.seek(max(0, size - _PIECE) * place // (_PLACES - 1))
        digest.update(file.read(_PIECE))
  return digest.hexdigest()[:16]
