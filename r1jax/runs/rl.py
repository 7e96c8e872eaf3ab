"""Runs of RL: R1-Zero and Dev2 on rule rewards, R1 on reward models too."""

import dataclasses

import jax
import rich.console

from r1jax import files
from r1jax import params as params_lib
from r1jax.data import pairs, source
from r1jax.evaluation import heldout, scenarios
from r1jax.rewards import service
from r1jax.runs import model, tables, train
from r1jax.runs.report import fresh
from r1jax.runs.report import run as report
from r1jax.stages import ahead, general_rl, judge, reasoning_rl, rollouts

_SILENT = 0.9  # share of the base's groups that agree, above which there is little to learn from
_UNREAD = (None,)  # in place of problems where only shapes are wanted


class ReasoningRl(train.Run):
  """GRPO on rule rewards, the base examined before and the policy after."""

  reporter = None

  def check(self):
    """Raises ValueError where the batch arithmetic does not work out."""
    reasoning_rl.check(self.job, self.mesh)

  def read(self):
    """The training problems."""
    train_problems, self.held = source.problems(self.job.data, self.job.seed, self.form)
    return train_problems

  def unread(self):
    """One problem that nobody asks."""
    return _UNREAD

  def stage(self, data):
    """The `reasoning_rl.Stage`."""
    questions = rollouts.Questions(data, self.job)
    where = ahead.check(self.job.rl, self.mesh)
    return reasoning_rl.Stage(
      self.job, self.cfg, self.form, questions, self.rewards, self.folder, where
    )

  def examine(self):
    """Asks the held-out problems that were read beside the others."""
    return self.asking(self.held)

  def rows(self, stage):
    """Batch arithmetic and memory."""
    return tables.rl_rows(self.job, self.cfg, self.mesh)

  def before(self, stage):
    """The base's `heldout.Result`, which is told before anything is trained."""
    result = self.examiner.judge(stage.initial, 'the base', step=0)
    stage.base = result.metrics
    if jax.process_index() == 0:
      told = f'the base, held out: pass@1 {result.evaluation.pass_at_1}; {result.prospects.told()}'
      print(told)
      files.write_json(self.folder / 'base.json', result.evaluation.as_json() | result.metrics)
      if result.prospects.unanimous > _SILENT:
        print('WARNING: most groups agree:', '; '.join(result.prospects.advice(self.job)))
    return result

  def refresh(self, always):
    """Picture and page, and what the doctor finds, on the first process."""
    if jax.process_index() == 0:
      self.reporter = self.reporter or fresh.Report(self.folder)
      self.reporter.refresh(always)

  def close(self, stage, before, after):
    """Writes and prints what the run leaves: model, summary, report, table, two transcripts."""
    self.save(self.folder / 'model', stage)
    digest = params_lib.sha256(stage.state.params)
    if jax.process_index() != 0:
      return
    # Also those of earlier starts of this run.
    rows = files.read_rows(self.folder / 'metrics.jsonl')
    summary = report.Summary(
      before=before.evaluation,
      after=after.evaluation,
      seconds=stage.spent() | {'evaluation': self.examiner.seconds},
      seed=self.job.seed,
      final_params_sha256=digest,
      length_accuracy_rank_correlation=report.length_accuracy(rows),
    )
    report.write_summary(self.folder / train.SUMMARY, summary)
    self.refresh(True)
    self.show(stage, before, after)

  def show(self, stage, before, after):
    """Prints the closing table and one question answered before and after."""
    # The closing words of a run: figures, one example, and where to look next.
    console, folder = rich.console.Console(), self.folder
    console.print(report.table(before.evaluation, after.evaluation))
    pick = telling(before, after)
    # The same question twice: how the base answered it, and how the policy does.
    pair = [
      (result.completions[pick], result.verdicts[pick]['accuracy']) for result in (before, after)
    ]
    for part in report.transcripts(self.held[pick].question, *pair):
      console.print(part)
    console.print(
      f'Files in {folder}: report.html, report.png, summary.json, metrics.jsonl (and TensorBoard '
      f'events), samples/, checkpoints/, model/ (weights, config, tokenizer)\n'
      f'Next: r1jax show {folder}, r1jax chat --checkpoint={folder}'
    )


def telling(before, after):
  """A question answered wrongly before and rightly after, if there is one; else the first."""
  for i, (old, new) in enumerate(zip(before.verdicts, after.verdicts)):
    if new['accuracy'].score and not old['accuracy'].score and heldout.worked(after.completions[i]):
      return i
  return 0


class GeneralRl(ReasoningRl):
  """RL for all scenarios: general requests and reward models beside the rules."""

  def check(self):
    """Raises ValueError where the batch arithmetic does not work out."""
    general_rl.check(self.job, self.mesh)

  def service(self):
    """The rules and the reward models."""
    judges = general_rl.judges(self.job)
    rules = service.RewardService(self.job.reward)
    return judge.PreferenceService(rules, judges, self.job.general.weights)

  def read(self):
    """The training problems and requests."""
    path = self.job.general.path
    requests, self.held_requests = pairs.split(pairs.load_requests(path), path)
    return super().read(), requests

  def unread(self):
    """One problem and one request that nobody asks."""
    return _UNREAD, _UNREAD

  def stage(self, data):
    """The `general_rl.Stage`."""
    questions = general_rl.Questions(*data, self.job)
    return general_rl.Stage(
      self.job, self.cfg, self.form, questions, self.rewards, self.folder, self.mesh
    )

  def close(self, stage, before, after):
    """As for reasoning RL, and how base and policy reply to held-out requests."""
    super().close(stage, before, after)
    # The weights that training began with are donated by now: they are read again.
    base = dataclasses.replace(stage.policy, params=model.weights(self.job, self.cfg))
    replies = {'before': self._asked(base), 'after': self._asked(stage.policy)}
    if jax.process_index() == 0:
      path = self.folder / train.SUMMARY
      files.write_json(path, files.read_json(path) | {'general': replies})
      rich.console.Console().print('general requests:', replies)

  def _asked(self, policy):
    """Mean scores of a policy's replies to held-out requests."""
    # As many as the config says, the same for both.
    held = self.held_requests[: self.job.general.questions]
    key = heldout.key(self.job.seed)
    scores = scenarios.ask(policy, self.job, held, self.rewards, key)
    return {name: v['mean'] if name != 'length' else v for name, v in scores.items()}
