"""Runs of RL: R1-Zero and Dev2 on rule rewards, R1 on reward models too."""

import dataclasses

import jax
import rich.console

from r1jax import files, processes
from r1jax.data import pairs, source
from r1jax.evaluation import heldout, scenarios
from r1jax.rewards import golds, service
from r1jax.runs import model, tables, train, workdir
from r1jax.runs.report import ending, fresh, outcome
from r1jax.stages import ahead, general_rl, judge, reasoning_rl, rl_schedule, rollouts
from r1jax.train import phases

_SILENT = 0.9  # share of the base's groups that agree, above which there is little to learn from
_UNREAD = (None,)  # in place of problems where only shapes are wanted


class ReasoningRl(train.Run):
  """GRPO on rule rewards, the base examined before and the policy after."""

  reporter = None

  def check(self):
    """Raises ValueError where the batch arithmetic does not work out."""
    rl_schedule.check(self.job, self.mesh)

  def read(self):
    """The training problems."""
    asked, self.held = source.problems(self.job.data, self.job.seed, self.form)
    self.told, self.first = source.told(self.job.data, asked, self.held), asked[0]
    return asked

  def unread(self):
    """One problem that nobody asks."""
    return _UNREAD

  def stage(self, data):
    """The `reasoning_rl.Stage`."""
    self.questions = questions = rollouts.Questions(data, self.job)
    where = ahead.check(self.job.rl, self.mesh)
    return reasoning_rl.Stage(
      self.job, self.cfg, self.form, questions, self.rewards, self.folder, where
    )

  def examine(self):
    """Asks the held-out problems that were read beside the others.

    Raises:
      ValueError: none of those that are asked on the way is of a level that has to be passed.
    """
    result, few = self.asking(self.held), self.job.evaluation.few
    asked = {problem.level for problem in result.problems[:few]}
    missing = sorted(set(self.questions.levels) - asked)
    if missing:
      raise ValueError(
        f'rl.next_level: none of the evaluation.few={few} held-out questions that are asked on the '
        f'way is of level {missing[0]}; ask more'
      )
    return result

  def rows(self, stage):
    """Batch arithmetic and memory."""
    # As it is sent, since what a template or a column loses is seen nowhere else.
    prompt = self.form.put(self.first.question).text
    return [
      ('questions', self.told),
      ('a prompt', tables.excerpt(prompt)),
      ('its answer', tables.excerpt(golds.of(self.first.answer).expected())),
      *tables.rl_rows(self.job, self.cfg, self.mesh),
    ]

  def to_compile(self, stage):
    """Those of the base's examination come first."""
    return self.examiner.to_compile() + super().to_compile(stage)

  def before(self, stage):
    """The base's `heldout.Result`, which is told before anything is trained."""
    result = self.examiner.judge(stage.initial, 'the base', step=0)
    stage.base = result.metrics
    if jax.process_index() == 0:
      evaluation = result.evaluation
      form = f'right in any form {evaluation.content.mean:.1%}'
      print(f'the base, held out: pass@1 {evaluation.pass_at_1}; {form}; {result.prospects.told()}')
      files.write_json(self.folder / 'base.json', result.evaluation.as_json() | result.metrics)
      if (result.prospects.unanimous or 0) > _SILENT:
        print('WARNING: most groups agree:', '; '.join(result.prospects.advice(self.job)))
    return result

  def refresh(self, always):
    """Picture and page, and what the doctor finds, on the first process."""
    if jax.process_index() == 0:
      self.reporter = self.reporter or fresh.Report(self.folder)
      self.reporter.refresh(always)

  def close(self, stage, before, after):
    """Writes what the run leaves: model, summary, report."""
    digest = self.save_model(stage)
    if jax.process_index() != 0:
      return
    # Also those of earlier starts of this run.
    rows = files.read_metrics(self.folder / 'metrics.jsonl')
    summary = outcome.of(before, after, self.examiner.problems, self.job.reward.answer) | {
      'seconds': self.ledger.seconds(),
      'peak_rss_gib': round(processes.peak_gib(), 3),
      'seed': self.job.seed,
      'final_params_sha256': digest,
      'length_accuracy_rank_correlation': outcome.length_accuracy(rows),
    }
    files.write_json(self.folder / workdir.SUMMARY, summary)
    with self.ledger.phase(phases.REPORT):
      self.refresh(True)

  def show(self, stage, before, after):
    """Prints the closing table, whether it is better, a gain and a failure, and the time."""
    ending.show(files.read_json(self.folder / workdir.SUMMARY), self.folder)

  @classmethod
  def show_ended(cls, folder, summary):
    """Says of a run that ended before that it has, and the end once more."""
    print(
      f'{folder} has ended: {summary["updates"]} updates; nothing is examined again (another run: '
      f'--config.workdir; a longer one: --config.rl.updates)'
    )
    ending.show(summary, folder)


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
    self.questions = questions = general_rl.Questions(*data, self.job)
    return general_rl.Stage(
      self.job, self.cfg, self.form, questions, self.rewards, self.folder, self.mesh
    )

  def show(self, stage, before, after):
    """As for reasoning RL, and how base and policy reply to held-out requests."""
    super().show(stage, before, after)
    replies = files.read_json(self.folder / workdir.SUMMARY)['general']
    rich.console.Console().print('general requests:', replies)

  def close(self, stage, before, after):
    """As for reasoning RL, and how base and policy reply to held-out requests."""
    super().close(stage, before, after)
    # The weights that training began with are donated by now: they are read again.
    base = dataclasses.replace(stage.policy, params=model.weights(self.job, self.cfg))
    with self.ledger.phase(phases.EXAMINATIONS):
      replies = {'before': self._asked(base), 'after': self._asked(stage.policy)}
    if jax.process_index() == 0:
      path = self.folder / workdir.SUMMARY
      files.write_json(path, files.read_json(path) | {'general': replies})

  def _asked(self, policy):
    """Mean scores of a policy's replies to held-out requests."""
    # As many as the config says, the same for both.
    held = self.held_requests[: self.job.general.questions]
    key = heldout.key(self.job.seed)
    scores = scenarios.ask(policy, self.job, held, self.rewards, key)
    return {name: v['mean'] if name != 'length' else v for name, v in scores.items()}
