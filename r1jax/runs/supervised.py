"""Runs that learn from given texts: pre-training, SFT, distillation, reward models."""

import dataclasses
import shlex

import jax
import rich.console

from r1jax.data import pairs, prompts, source, tokenizer
from r1jax.data.tasks import corpus
from r1jax.interchange import checkpoints, huggingface
from r1jax.rewards import service
from r1jax.runs import model, tables, train
from r1jax.sampling import rollout
from r1jax.stages import distill, judge, pretrain, reward_model, sft
from r1jax.train import progress


class Pretrain(train.Run):
  """A small base model from random weights, on the tiny world's documents."""

  def check(self):
    """Raises ValueError where a checkpoint is given or rows do not divide over the mesh."""
    if self.job.model is None:
      raise ValueError('pre-training starts from random weights: leave config.checkpoint empty')
    pretrain.check(self.job, self.mesh)

  def architecture(self):
    """(ModelConfig with the vocabulary of the tokenizer, tokenizer)."""
    # First the tokenizer: the size of its vocabulary is the model's.
    tok = self._tokenizer()
    return dataclasses.replace(self.job.model, vocab=tok.vocab_size), tok

  def _tokenizer(self):
    """That of `pretrain.tokenizer`, or a SentencePiece model trained on the job's corpus."""
    pre = self.job.pretrain
    if pre.tokenizer:
      return tokenizer.load(checkpoints.open(pre.tokenizer))
    # The first documents of the corpus itself: what is learned is cut as it will be read.
    documents = (corpus.document(self.job.seed, i, pre.corpus) for i in range(pre.vocab_documents))
    texts = [document.text for document in documents]
    # What the tokenizer has seen must not ask held-out questions either.
    corpus.check_training_texts(texts)
    trained = tokenizer.train_sentencepiece(texts, self.job.model.vocab)
    return tokenizer.SentencePieceTokenizer(trained)

  def asked(self, tok):
    """R1-Zero's template, which the documents hold."""
    return prompts.Form(tok)

  def needed(self):
    """Tokens of a row, or of a question and its reply."""
    pre = self.job.pretrain
    # It is examined in the same context that it is trained in.
    return max(pre.capacity, pre.max_prompt + pre.max_new)

  def read(self):
    """Nothing: the stage opens its corpus."""

  def stage(self, data):
    """The `pretrain.Stage`."""
    return pretrain.Stage(self.job, self.cfg, self.form.tokenizer)

  def rows(self, stage):
    """Size of the batches and their number."""
    pre = self.job.pretrain
    return [('batch', f'{pre.rows} rows x {pre.capacity} tokens, {pre.updates:,} updates')]

  def examine(self):
    """Asks held-out questions of the corpus's world."""
    pre, world = self.job.pretrain, self.job.pretrain.corpus.world
    # The documents are of levels and languages of this world; so are the questions.
    data = source.DataConfig(
      max_prompt=pre.max_prompt, levels=world.levels, languages=world.languages
    )
    _, held = source.problems(data, self.job.seed, self.form)
    return self.asking(held)

  def limits(self):
    """Of the questions."""
    pre = self.job.pretrain
    return rollout.Limits(pre.max_prompt, pre.max_new, self.job.sample.slots)

  def figures(self, stage, before, after):
    """Held-out scores."""
    return after.evaluation.as_json() | after.metrics


class Sft(train.Run):
  """Supervised fine-tuning of `job.checkpoint` on `job.sft.path`.

  It is judged by the loss of held-out examples, by held-out questions (`job.data`), or by both.
  """

  def check(self):
    """Raises ValueError where there is no file, or rows do not divide over the mesh."""
    sft.check(self.job, self.mesh)

  @property
  def asks(self):
    """Whether questions are asked."""
    return self.job.data.name != 'none'

  def needed(self):
    """Tokens of a question and its reply; examples are measured when they are there."""
    return super().needed() if self.asks else 1

  def service(self):
    """What judges replies; no worker where there are none."""
    return super().service() if self.asks else service.RewardService()

  def read(self):
    """(examples to learn, held-out ones)."""
    with progress.Status(f'reading {self.job.sft.path}'):
      return sft.read(self.job.sft)

  def stage(self, data):
    """The `sft.Stage`."""
    learned, held = data
    self.size = len(learned)
    with progress.Status(f'encoding {self.size:,} examples'):
      return sft.Stage(self.job, self.cfg, self.form, learned, held)

  def rows(self, stage):
    """What is learned, and for how long."""
    return tables.sft_rows(self.job, stage, self.size, self.mesh, self.form.tokenizer)

  def examine(self):
    """Asks held-out questions, where there are any to ask."""
    return super().examine() if self.asks else None

  def before(self, stage):
    """Held-out loss of the weights that it begins with; None without held-out examples."""
    return self._loss(stage, stage.initial, 'before the first update')

  def after(self, stage):
    """(`heldout.Result` or None, held-out loss or None)."""
    loss = self._loss(stage, stage.weights, 'after the last')
    return (super().after(stage) if self.asks else None), loss

  def figures(self, stage, before, after):
    """Held-out scores and what was learned."""
    result, loss = after
    figures = result.evaluation.as_json() if result else {}
    if loss is not None:
      figures |= {'heldout_loss': {'before': before, 'after': loss}}
    long = {'too_long': len(stage.encoded.long)} if stage.encoded.long else {}
    return figures | {'examples': self.size, 'updates': stage.total} | long

  def show(self, stage, before, after):
    """Prints what came of it."""
    result, loss = after
    told = [f'pass@1 {result.evaluation.pass_at_1}'] if result else []
    if loss is not None:
      told.append(f'held-out loss {before:.3f} before, {loss:.3f} after')
    told.append(f'the model is in {self.folder}/model')
    rich.console.Console().print('; '.join(told))

  def _loss(self, stage, params, when):
    """The loss of the held-out examples, printed; None without any."""
    if not stage.held.tokens:
      return None
    with progress.Status(f'held-out loss {when}'):
      loss = stage.heldout_loss(params)
    if jax.process_index() == 0:
      print(
        f'held-out loss {when}: {loss:.3f} nats per token of {len(stage.held.tokens):,} examples'
      )
    return loss


class Distill(Sft):
  """A student learns its teacher's samples; both are judged on the same held-out questions.

  Without a teacher it learns samples that somebody has published, and is judged as in SFT.
  """

  def check(self):
    """Raises ValueError where a teacher is missing or the arithmetic does not work out."""
    distill.check(self.job, self.mesh)

  def architecture(self):
    """(ModelConfig, tokenizer) of the student: its checkpoint's, or the teacher's tokenizer."""
    self.place = self.teacher_cfg = None
    if not self.job.distill.teacher:
      return super().architecture()
    self.place = checkpoints.open(self.job.distill.teacher)
    teacher_tok = tokenizer.load(self.place)
    cfg = huggingface.read_config(self.place, **self.job.runtime.of_model())
    # Its next-token distribution is all that is learned from: no module that looks further.
    self.teacher_cfg = dataclasses.replace(cfg, mtp_layers=0)
    data = self.job.data
    shots = source.shots(data.few_shot, data.named())
    self.teacher_form = prompts.Form(teacher_tok, data.prompt, self.place, data.system, shots)
    if self.job.model is None:
      cfg, tok = model.architecture(self.job)
    else:
      tok = teacher_tok
      cfg = dataclasses.replace(self.job.model, vocab=tok.vocab_size)
    # Distributions over tokens are compared one by one: the vocabularies must be the same.
    if self.job.distill.kl.weight:
      distill.check_tokenizers(teacher_tok, tok)
    return cfg, tok

  def stage(self, data):
    """The `distill.Stage`, for as many epochs as `distill.equal_to` asks for."""
    learned, held = data
    self.size, self.teacher = len(learned), distill.Teacher({}, self.teacher_cfg)
    self.job = distill.with_epochs(self.job, learned, self.form, self.cfg, self.teacher_cfg)
    # Without that term its weights need not be there while the student learns.
    taught = self.teacher if self.job.distill.kl.weight else None
    with progress.Status(f'encoding {self.size:,} examples'):
      return distill.Stage(self.job, self.cfg, self.form, learned, held, taught)

  def rows(self, stage):
    """Who teaches, what is learned, and for how long."""
    return tables.distill_rows(self.job, stage, self.size, self.mesh, self.form.tokenizer)

  def to_compile(self, stage):
    """Those of the teacher's examination come behind the held-out loss."""
    *loss, begin, update = super().to_compile(stage)
    asked = self.place is not None and self.asks
    return [*loss, *(self._teaching().to_compile() if asked else ()), begin, update]

  def before(self, stage):
    """(the teacher's `heldout.Result` or None, the student's held-out loss or None).

    The teacher's weights are read here.
    """
    loss = super().before(stage)
    if self.place is None:
      return None, loss
    cfg = self.teacher_cfg
    params = huggingface.load(self.place, cfg, cfg.param_dtype, lambda line: None)
    if stage.teacher:
      stage.teacher = distill.Teacher(params, cfg)
    if not self.asks:
      return None, loss
    return self._teaching().judge(params, 'the teacher'), loss

  def _teaching(self):
    """The `examiner.Examiner` of the teacher."""
    return self.asking(self.held, self.teacher_cfg, self.teacher_form)

  def examine(self):
    """Asks teacher and student the same held-out problems, where there are any to ask."""
    if not self.asks:
      return None
    _, self.held = source.problems(self.job.data, self.job.seed, self.form)
    return self.asking(self.held)

  def figures(self, stage, before, after):
    """Held-out scores of teacher and student, and what the student's training took."""
    (teacher, loss), (student, _) = before, after
    scores = {'teacher': teacher, 'student': student}
    figures = {name: result.evaluation.as_json() for name, result in scores.items() if result}
    # The student's score stands under its name.
    told = super().figures(stage, loss, (None, after[1]))
    return figures | told | {'flops': distill.spent(self.folder / 'metrics.jsonl')}

  def show(self, stage, before, after):
    """Prints both scores."""
    teacher, loss = before
    super().show(stage, loss, after)
    lines = [f'Next: r1jax chat --checkpoint={shlex.quote(str(self.folder))}']
    if teacher:
      scores = [result.evaluation.pass_at_1.mean for result in (teacher, after[0])]
      # A teacher that answers nothing has no share.
      share = f' ({scores[1] / scores[0]:.0%} of it)' if scores[0] else ''
      lines.insert(0, f'pass@1: teacher {scores[0]:.1%}, student {scores[1]:.1%}{share}')
    rich.console.Console().print('\n'.join(lines))


class RewardModel(train.Run):
  """A scalar head on the policy, trained on pairs of `job.reward_model.path`."""

  def check(self):
    """Raises ValueError where there are no pairs or rows do not divide over the mesh."""
    reward_model.check(self.job, self.mesh)

  def needed(self):
    """Tokens of one text of a pair."""
    return self.job.reward_model.capacity // 2

  def service(self):
    """Nothing to judge: a service that starts no worker."""
    # It is not asked anything: the accuracy of pairs needs no rule.
    return service.RewardService()

  def read(self):
    """(training, held-out) pairs."""
    path = self.job.reward_model.path
    return pairs.split(pairs.load(path), path)

  def stage(self, data):
    """The `reward_model.Stage`."""
    return reward_model.Stage(self.job, self.cfg, self.form.tokenizer, *data)

  def rows(self, stage):
    """Batch arithmetic."""
    return tables.preference_rows(self.job)

  def examine(self):
    """No policy is examined."""

  def after(self, stage):
    """Share of held-out pairs in order."""
    return stage.accuracy()

  def save(self, folder, stage):
    """Writes the weights, the scalar head beside them, kind and calibration."""
    judge.save(folder, stage.model())

  def figures(self, stage, before, after):
    """Kind and accuracy."""
    # With its interval, as held-out pairs are few.
    estimate = after.as_json()
    return {
      'kind': self.job.reward_model.kind,
      'accuracy': estimate['mean'],
      'ci95': estimate['ci95'],
      'pairs': estimate['questions'],
    }

  def show(self, stage, before, after):
    """Prints the accuracy."""
    rich.console.Console().print(
      f'{self.job.reward_model.kind}: {after} of {after.questions} held-out pairs in order; the '
      f'reward model is in {self.folder}/model'
    )
