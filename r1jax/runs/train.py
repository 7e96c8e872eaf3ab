"""The one course of a run that learns: check, plan, prepare, examine, loop, close.

A kind of stage says in a subclass of `Run` what it learns from, how its stage is made and what it
leaves. `kinds.KINDS` lists them all.
"""

import contextlib
import pathlib
import time

import jax
import rich.console

from r1jax import files, programs
from r1jax import params as params_lib
from r1jax.data import source
from r1jax.interchange import peft
from r1jax.rewards import service
from r1jax.runs import best_model, examiner, model, tables, workdir
from r1jax.sampling import rollout
from r1jax.train import ledger, loop, phases, progress, sinks


class Run:
  """One run of a stage that learns, on the mesh that is set."""

  def __init__(self, job, mesh, imports=0.0):
    """Reads the architecture and the tokenizer; nothing is written.

    Args:
      job: `config.Job`.
      mesh: that is set.
      imports: seconds that loading the program has taken.

    Raises:
      ValueError: the job does not work out.
    """
    self.job, self.mesh, self.folder = job, mesh, pathlib.Path(job.workdir)
    self.ledger = ledger.Ledger(imports)
    with self.ledger.phase(phases.LOADING):
      model.check_base(self.job)
      self.check()
      self.cfg, tok = self.architecture()
      self.form = self.asked(tok)
    self.rewards = self.examiner = None

  # What a kind says of itself.

  def check(self):
    """Raises ValueError, with the numbers, where the job does not fit itself or the mesh."""

  def architecture(self):
    """(ModelConfig, tokenizer) of what is trained."""
    return model.architecture(self.job)

  def asked(self, tok):
    """The `prompts.Form` by which the model is asked."""
    return model.form(self.job, tok)

  def needed(self):
    """Most tokens of a prompt and its reply, or of a row."""
    return self.job.data.max_prompt + self.job.sample.max_new

  def service(self):
    """What judges completions; it is closed at the end."""
    return service.RewardService(self.job.reward)

  def read(self):
    """What is learned from, checked."""
    raise NotImplementedError

  def unread(self):
    """What stands in for it where a stage is made for its shapes alone, if anything can."""
    return self.read()

  def stage(self, data):
    """The stage as `train.loop` drives it."""
    raise NotImplementedError

  def rows(self, stage):
    """(name, text) rows of the plan beside those of the model."""
    return []

  def examine(self):
    """The `examiner.Examiner` of the run; None where no policy is examined."""
    _, held = source.problems(self.job.data, self.job.seed, self.form)
    return self.asking(held)

  def limits(self):
    """`rollout.Limits` of held-out questions."""
    job = self.job
    return rollout.Limits(job.data.max_prompt, job.sample.max_new, job.sample.slots)

  def to_compile(self, stage):
    """The `programs.Program`s up to the first update, in order."""
    return stage.to_compile()

  def before(self, stage):
    """What is known before the first update."""
    return None

  def refresh(self, always):
    """Writes what people look at while the run goes on; see `loop.run`."""

  def after(self, stage):
    """What came of it."""
    return self.examiner.judge(stage.weights, 'what has learned', step=stage.total)

  def save(self, folder, stage):
    """Writes the stage's model as a folder that others read, adapters in a folder of it too."""
    model.save(folder, stage.weights, self.cfg, self.form)
    if self.cfg.lora.rank and not peft.limits(self.cfg):
      base = model.named(self.job.checkpoint)
      peft.save(folder / peft.FOLDER, stage.weights, self.cfg, base)

  def figures(self, stage, before, after):
    """What `summary.json` holds beside the weights' digest and the seconds."""
    raise NotImplementedError

  def show(self, stage, before, after):
    """Prints what came of it, on the first process."""
    score = after.evaluation.pass_at_1
    rich.console.Console().print(f'pass@1 {score}; the model is in {self.folder}/model')

  @classmethod
  def show_ended(cls, folder, summary):
    """Says of a run that ended before that it has, and what came of it."""
    print(
      f'{folder} has ended: {summary["updates"]} updates; nothing is examined again (another run: '
      f'--config.workdir); the model is in {folder}/model'
    )

  # What all have in common.

  def go(self, config):
    """Runs the stage; `config` is the ConfigDict it was built from, for the record.

    Raises:
      ValueError: the job does not work out; nothing has been written.
      Interrupted, CheckpointError, VerifierFailure, NonFiniteError: it says why; nothing is lost.
    """
    began = time.monotonic()
    # All that can be refused is refused before the folder is touched.
    self.cfg.check_mesh(dict(self.mesh.shape))
    model.check_context(self.cfg, self.needed())
    sinks.check(self.job.loop.sinks)
    with self.ledger.phase(phases.LOADING):
      data = self.read()
    with contextlib.closing(self.service()) as self.rewards:
      with self.ledger.phase(phases.LOADING):
        stage = self.stage(data)
        stage.ledger = self.ledger
        self.examiner = self.examine()
      best_model.check(self.job, self.examiner)
      with workdir.opened(self.job.workdir, config):
        self._learn(stage, config, began)

  def _learn(self, stage, config, began):
    """From the plan to the files that the run leaves."""
    rows = tables.model_rows(self.cfg, self.mesh) + tables.export_rows(
      self.cfg, self.form.tokenizer
    )
    tables.show('Plan', rows + self.rows(stage))
    with self.ledger.phase(phases.LOADING), progress.Status('loading the weights'):
      stage.initial, stage.beside = model.weights(self.job, self.cfg), model.base(self.job)
    programs.watch().expect(self.to_compile(stage))
    with self.ledger.phase(phases.BASE):
      before = self.before(stage)
    if self.examiner:
      stage.examine = self._figures
      stage.examine_every = self.job.evaluation.every
      within = stage.doing
      stage.doing = lambda: self.examiner.doing() or within()
    # A stage may hold threads that ask ahead: they end with the loop, however that ends.
    with contextlib.closing(stage):
      try:
        best = loop.run(self.job.loop, stage, self.folder, self.job.optimizer, began, self.refresh)
      except Exception as error:
        # Whatever ended it: what there is can be seen. A stop that was asked for has seen to that.
        if not isinstance(error, loop.Interrupted):
          self.refresh(True)
        raise
    with self.ledger.phase(phases.EXAMINATIONS):
      after = self.after(stage)
    self.close(stage, before, after)
    if best:
      with self.ledger.phase(phases.CHECKPOINTS):
        best_model.write(self, stage, best)
    if jax.process_index() == 0:
      # Last of all: from here on the same command finds nothing to do.
      workdir.end(self.folder, config, stage.total, self.ledger.seconds())
      self.show(stage, before, after)

  def close(self, stage, before, after):
    """Saves the model and `summary.json`."""
    digest = self.save_model(stage)
    figures = self.figures(stage, before, after)
    # Weights are written and digested by all processes, the rest by the first.
    if jax.process_index() == 0:
      files.write_json(self.folder / workdir.SUMMARY, figures | {'params_sha256': digest})

  def save_model(self, stage):
    """Writes `model/`; the digest tells whether a run that was killed ends as one that was not."""
    with self.ledger.phase(phases.CHECKPOINTS):
      self.save(self.folder / 'model', stage)
      return params_lib.sha256(stage.state.params)

  def _figures(self, weights, step):
    """Metrics of an examination on the way, where one is due."""
    with self.ledger.phase(phases.EXAMINATIONS):
      return self.examiner.figures(weights, step)

  def asking(self, held, cfg=None, form=None):
    """An examiner on held-out problems, by default of the policy that is trained."""
    cfg, form = cfg or self.cfg, form or self.form
    return examiner.Examiner(self.job, self.limits(), cfg, form, held, self.rewards)
