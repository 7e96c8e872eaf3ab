"""An examination made ready: who is asked what and how, in a header that is also its identity."""

import dataclasses
import datetime
import hashlib
import pathlib
import platform
import time

import jax

from r1jax import precision
from r1jax.data import chat_template, prompts, source, tokenizer
from r1jax.evaluation.exam import benchmarks, draw, protocol, result
from r1jax.interchange import huggingface
from r1jax.rewards import service
from r1jax.sampling import rollout

FOLDER = pathlib.Path('runs/evaluation')
# Where an answer is looked for, as `service.RewardConfig.answer`, and how that is said.
ANSWERS = {
  'tags': 'in answer tags, else the last box',
  'box': 'the last box',
  'last_number': 'the last number',
}
TEMPLATES = ('checkpoint', 'zero', 'text', 'r1')


@dataclasses.dataclass(frozen=True)
class Asking:
  """How the questions are put.

  Attributes:
    template: one of `TEMPLATES`.
    instruction: text below each question of a chat; None for the one of its kind of answer, or
      none where the last number counts.
    dtype: of weights and computation; None as stored.
    system: system prompt of a chat.
    few_shot: JSONL file of solved examples that stand before each question, see `source.shots`.
    answer: where an answer is looked for, as `service.RewardConfig.answer`.
  """

  template: str = 'checkpoint'
  instruction: str | None = None
  dtype: str | None = None
  system: str = ''
  few_shot: str = ''
  answer: str = 'tags'


class Examination:
  """One examination of one model on the mesh that is set; weights are read when first needed.

  Attributes:
    problems: list of `problem.Problem`.
    shape: `protocol.Shape`.
    header: JSON object with all that decides the replies and their marks.
  """

  def __init__(self, checkpoint, folder, choice, proto, asking):
    """Reads questions, tokenizer and architecture.

    Args:
      checkpoint: what the user called the model.
      folder: its hub folder.
      choice: `benchmarks.Choice`.
      proto: `protocol.Protocol`.
      asking: `Asking`.

    Raises:
      ValueError: the questions, the template or the sizes do not work out.
    """
    mesh = jax.sharding.get_mesh()
    self._folder, self._choice, self._proto, self._asking = folder, choice, proto, asking
    self._cfg = _architecture(folder, asking.dtype)
    # Sizes that do not divide are told before any weight is read.
    self._cfg.check_mesh(dict(mesh.shape))
    self._tokenizer = tokenizer.load(folder)
    self._form = form(asking, folder, self._tokenizer, choice.columns)
    self.problems = benchmarks.load(choice)
    self._check_examples()
    given = asking.instruction
    # None stands for the instruction of the kind of answer, '' for no instruction. What asks for a
    # box has no place where the last number is read.
    given = '' if given is None and asking.answer == 'last_number' else given
    self._prompts = [
      self._form.put(p.question, benchmarks.instruction(p) if given is None else given)
      for p in self.problems
    ]
    self.shape = protocol.shape(proto, self._prompts, self._cfg.max_length, mesh)
    scfg = protocol.sampling(proto, self.shape)
    template, dtype = self._form.title, self._cfg.compute_dtype
    # All that decides replies and marks: who goes on with a file, or compares two, checks this.
    self.header = {
      'benchmark': choice.name,
      'checkpoint': str(checkpoint),
      'weights': protocol.weights_digest(folder),
      'protocol': {
        'samples': proto.samples,
        'temperature': proto.temperature,
        'top_p': proto.top_p,
        'max_tokens': self.shape.new,
        'template': template,
        'dtype': dtype,
        'answer': asking.answer,
        'seed': proto.seed,
        # The draws depend on the shape of a call.
        'batch': [self.shape.questions, self.shape.group],
        'width': self.shape.width,
      },
      'fingerprints': protocol.fingerprints(
        self.problems, self._prompts, template, dtype, scfg, asking.answer
      ),
    } | _told(asking)

  def _check_examples(self):
    """Raises ValueError where a question is examined whose answer is shown."""
    shown = {shot.question for shot in self._form.shots}
    both = [one.question for one in self.problems if one.question in shown]
    if both:
      raise ValueError(
        f'--few_shot={self._asking.few_shot}: {len(both)} of the questions are examined too, the '
        f'first is {both[0]!r:.80}'
      )

  @property
  def output(self):
    """Where the result goes unless the user says: a name that no other examination has."""
    model = pathlib.Path(self.header['checkpoint']).resolve().name
    # Other settings give another name, so that no result is overwritten by a different one.
    own = protocol.digest(self.header)[:8]
    return FOLDER / f'{self._choice.name}-{model}-{own}.json'

  @property
  def rows(self):
    """(name, text) of what is about to be done."""
    shape, proto = self.shape, self._proto
    total, asked = len(self.problems), len(shape.asked)
    prints = '  '.join(f'{name} {text[:8]}' for name, text in self.header['fingerprints'].items())
    left = f', {total - asked:,} of them too long to ask' if asked < total else ''
    return [
      ('model', f'{self.header["checkpoint"]} ({self._folder}), weights {self.header["weights"]}'),
      ('questions', f'{total:,} of {self._choice.name}{left}'),
      ('prompt', f'{self._form.title} template, up to {shape.width:,} tokens'),
      *([('system', self._asking.system)] if self._asking.system else []),
      *([('examples', self._asking.few_shot)] if self._asking.few_shot else []),
      ('answer', ANSWERS[self._asking.answer]),
      (
        'sampling',
        f'{proto.samples} samples per question, temperature {proto.temperature:g}, top-p '
        f'{proto.top_p:g}, up to {shape.new:,} tokens (context {self._cfg.max_length:,})',
      ),
      (
        'calls',
        f'{len(shape.calls):,} of {shape.questions} questions x {shape.group} samples',
      ),
      ('fingerprints', prints),
    ]

  def run(self, output, interval='wilson'):
    """Draws what is missing, marks it, writes `output`; returns its content.

    Raises:
      draw.OtherExamError: `output` or its samples belong to another examination.
      VerifierFailure, SandboxError: replies cannot be marked.
    """
    output, began = pathlib.Path(output), time.monotonic()
    # Before the sampling, not hours later when the result is to be written.
    _check_free(output, self.header)
    output.parent.mkdir(parents=True, exist_ok=True)
    made = draw.Exam(
      self._choice.name,
      self._policy,
      self.problems,
      self._prompts,
      self._proto,
      self.shape,
      self._form.stop_KW,
      self._asking.answer,
    )
    # Worker processes, which must end whatever happens below.
    rewards = service.RewardService(benchmarks.rewards(self.problems, self._asking.answer))
    try:
      rows = draw.run(made, samples_file(output), self.header, rewards)
    finally:
      rewards.close()
    marks = result.marks(self.problems, rows, self._proto.samples)
    content = result.build(self.header, self.problems, marks, interval)
    # Not in the header: two equal examinations may differ in all of this.
    content['environment'] = {
      'finished': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
      'seconds': round(time.monotonic() - began, 1),
      'jax': jax.__version__,
      'python': platform.python_version(),
      'device': jax.devices()[0].device_kind,
    }
    result.write(output, content)
    return content

  def _policy(self):
    """The model with its weights."""
    cfg = self._cfg
    params = huggingface.load(self._folder, cfg, cfg.param_dtype, lambda line: None)
    return rollout.Policy(params, cfg, self._form)


def samples_file(output):
  """Where the replies of a result lie."""
  return output.with_name(f'{output.stem}.samples.jsonl')


def _told(asking):
  """The header's part on how questions are put, of what is not as usual."""
  told = {'system': asking.system, 'instruction': asking.instruction, 'few_shot': None}
  if asking.few_shot:
    contents = pathlib.Path(asking.few_shot).read_bytes()
    told['few_shot'] = [asking.few_shot, hashlib.sha256(contents).hexdigest()]
  told = {name: value for name, value in told.items() if value not in (None, '')}
  return {'asking': told} if told else {}


def form(asking, folder, tok, columns=None):
  """The `prompts.Form` of an `Asking`; 'checkpoint' is what the folder has, else R1-Zero's.

  `columns` is what the fields of its examples are called. Raises ValueError, with the flag, where
  the form has no place for what is asked.
  """
  name = asking.template
  if name == 'checkpoint':
    name = chat_template.load(folder, tok).name  # a base model has no chat of its own
  if asking.system and name in ('zero', 'text'):
    why = 'the checkpoint has no chat template, and ' if asking.template == 'checkpoint' else ''
    raise ValueError(
      f"--system: {why}the template '{name}' has no place for a system prompt; leave it out, or "
      'take --template=r1 where the vocabulary has its tokens'
    )
  if asking.few_shot and name == 'zero':
    raise ValueError("--few_shot: R1-Zero's template has no place for examples: --template=text")
  return prompts.Form(tok, name, folder, asking.system, source.shots(asking.few_shot, columns))


def _architecture(folder, dtype):
  # Unrolled layers and experts without sorting are what XLA's CPU code is fast at.
  cpu = jax.default_backend() == 'cpu'
  how = {'scan_layers': False, 'dispatch': 'dense'} if cpu else {}
  cfg = huggingface.read_config(folder, dtype, dtype, remat=False, **how)
  chosen = dtype or precision.compute_dtype(cfg.compute_dtype, jax.devices()[0])
  # Replies do not depend on the multi-token module (reference §2.5), so it is not read.
  return dataclasses.replace(cfg, mtp_layers=0, compute_dtype=chosen)


def _check_free(output, header):
  if not output.exists():
    return
  held = result.read(output)
  names = protocol.apart({name: held.get(name) for name in header}, header)
  if names:
    raise draw.OtherExamError(
      f'{output} is the result of another examination ({", ".join(names)} differ): give another '
      '--output, or remove it'
    )
