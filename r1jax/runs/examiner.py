"""Held-out questions of a run: asked of the base, while it learns, and of what came of it."""

import contextlib
import time

from r1jax.evaluation import content, heldout
from r1jax.sampling import handover, rollout
from r1jax.stages import sample_files, sample_log
from r1jax.train import progress


class Examiner:
  """Evaluates policies on the same held-out questions with the same random numbers."""

  def __init__(self, job, limits, cfg, form, held, rewards):
    """Asks nothing yet.

    Args:
      job: its `evaluation`, `seed`, `rl`, `reward` and `workdir` are read.
      limits: `rollout.Limits` of the questions.
      cfg: `ModelConfig` of the policies.
      form: the `prompts.Form` by which they are asked.
      held: random-access source of held-out problems.
      rewards: `service.RewardService`.
    """
    self.evaluation, self.limits, self.seed = job.evaluation, limits, job.seed
    self.cfg, self.form, self.rewards = cfg, form, rewards
    self.layout, self.reward = job.rl.rollout_layout, job.reward
    self.log = sample_log.Log(job.workdir, form, job.reward.answer, job.rl.samples_mib)
    self.doing = str  # () -> what is being done, for the progress bar
    # The same first questions each time, so that two policies can be compared in pairs.
    count = min(job.evaluation.questions, len(held))
    self.problems = [held[i] for i in range(count)]

  def to_compile(self):
    """The `programs.Program`s of an examination on all problems."""
    part, count = 'examination', len(self.problems)
    scfg = heldout.sampling(self.evaluation, self.limits)
    return [
      *handover.programs_of(self.cfg, self.layout, part),
      *rollout.programs_of(self.cfg, scfg, count, self.limits, self.form.stop_KW, part),
    ]

  def judge(self, weights, who, step=None):
    """`heldout.Result` on all held-out problems; `who` is examined is told while it goes on.

    With `step`, the updates that the weights have had, the replies are written to `samples/`. What
    is right whatever its form is judged too.
    """
    total = len(self.problems) * self.evaluation.samples
    with progress.Status(f'examining {who} on held-out questions', total) as status:
      out = self._replies(weights, self.problems, step, status.advance)
    with contextlib.closing(content.Reader(self.reward)) as reader:
      return heldout.result(out, reader.right(out))

  def figures(self, weights, step):
    """Metrics of an evaluation after update `step`; {} where none is due."""
    if not self.evaluation.every or step % self.evaluation.every:
      return {}
    problems, began = self.problems[: self.evaluation.few], time.monotonic()
    self.doing = lambda: f'examining {len(problems)} held-out questions'
    metrics = heldout.result(self._replies(weights, problems, step, lambda count: None)).metrics
    self.doing = str
    return metrics | {'speed/eval_seconds': time.monotonic() - began}

  def _replies(self, weights, problems, step, heard):
    """`replies.Replies` of a policy, written where `step` says after which update."""
    policy, _ = handover.take(rollout.Policy(weights, self.cfg, self.form), self.layout)
    # Not the step's: the luck of the draw is the same before, during and after.
    key = heldout.key(self.seed)
    out = heldout.ask(policy, self.evaluation, problems, self.limits, key, self.rewards, heard)
    if step is not None:
      self.log.write(sample_files.HELDOUT, step, out)
    return out
