"""Every metric that a run can log: its unit, when it is counted anew, meaning and healthy range.

docs/metrics.md is made from this table, and a test fails where the code logs a name that is not
here. A metric that you add to the code gets its row below; one that displays show, a label too.
"""

import dataclasses

# When a metric's count starts anew.
UPDATE = 'update'  # each policy update, or each step of supervised learning
ROLLOUT = 'rollout'  # each rollout; updates on an older one have no such figure
EXAM = 'examination'  # each examination on held-out questions
TOTAL = 'cumulative'  # never within a process
SPANS = (UPDATE, ROLLOUT, EXAM, TOTAL)


@dataclasses.dataclass(frozen=True)
class Metric:
  """One metric.

  Attributes:
    name: `family/name`, as in `metrics.jsonl`.
    unit: what it counts: 'share' is 0 to 1, nats are natural units of information.
    span: one of `SPANS`.
    meaning: one sentence.
    healthy: what a good run shows; '' where any value is.
    label, form: what displays call it, and how `format` writes its value.
    short: what the progress bar calls it.
  """

  name: str
  unit: str
  span: str
  meaning: str
  healthy: str
  label: str
  form: str
  short: str


# Families in the order of the page: name -> what its metrics are about.
FAMILIES = {
  'reward': 'what completions earn',
  'verdict': 'outcomes of the accuracy reward',
  'rollout': 'what completions look like',
  'grpo': 'the policy and its loss',
  'parity': 'the sampler against the trainer',
  'eval': 'examinations on held-out questions on the way',
  'optimizer': 'the optimizer',
  'packing': 'how full the rows are',
  'speed': 'speed',
  'compute': 'counted work',
  'handover': 'weights on their way to the sampler',
  'compile': 'compilation',
  'loss': 'supervised learning: the loss',
  'sft': 'supervised learning: its parts',
  'router': 'experts',
  'distill': 'distillation',
  'preference': 'reward models',
  'hacking': 'RL for all scenarios: signs of reward hacking',
  'exam': '`r1jax.evaluate`, on its progress bar',
  'metrics': 'the file itself',
}

# Shares that rollouts and examinations both count over their completions.
_MANNER = (
  ('worked', 'share', 'Replies that work the answer out: an equation, or numbers ranked.', 'rises'),
  ('accuracy_worked', 'share', 'Right replies among those that work the answer out.',
   'above `accuracy_direct`, else working out does not pay'),
  ('accuracy_direct', 'share', 'Right replies among those that answer at once.', ''),
  ('wait', 'words per reply', 'How often "wait" or its Chinese form stands in a reply.',
   'no range: it rises where checking pays'),
  ('reflection', 'words per reply', 'Words of reflection, "wait" included.',
   'no range: it rises where checking pays'),
  ('language', 'share',
   "Words of a thought that are in the question's language, where it has words.",
   'near 1; falls where RL mixes languages'),
  ('mixed', 'share', 'Thoughts with words of another language, among those with words.', 'near 0'),
)  # fmt: skip
# Family -> its metrics: name, unit, span, meaning, healthy range.
_ROWS = {
  'reward': (
    ('total', 'reward', ROLLOUT,
     'Mean weighted sum of the parts, over completions that were scored.',
     'rises, then levels off below the sum of the weights'),
    ('accuracy', 'share', ROLLOUT, 'Mean of the accuracy reward: right answers.', 'rises'),
    ('format', 'share', ROLLOUT,
     'Mean of the format reward: both tags, once, in order; or one box, or a number.',
     'rises first, ends near 1'),
    ('language', 'share', ROLLOUT, 'Mean of the language reward.', 'near 1'),
    ('repetition', 'share', ROLLOUT, 'Mean share of distinct 6-grams.', 'near 1'),
    ('overlong', 'reward', ROLLOUT,
     'Mean penalty of completions near the cap, a part of the total.', 'near 0'),
    ('helpful', 'score', ROLLOUT, "Mean score of the helpful reward model's requests.", 'rises'),
    ('harmless', 'score', ROLLOUT, "Mean score of the harmless reward model's requests.", 'rises'),
    ('verifier_error_rate', 'share', TOTAL,
     'Completions among the latest 1,000 on which a verifier itself failed.',
     '0; above 0.02 training stops'),
    ('wait_seconds', 'seconds', TOTAL, 'Time that rollouts waited for verdicts.',
     'a small part of the run'),
    ('worker_restarts', 'processes', TOTAL, 'Verifier processes that were killed and replaced.',
     'few'),
  ),
  'verdict': (
    ('correct', 'share', ROLLOUT, 'Right answers.', 'rises'),
    ('wrong', 'share', ROLLOUT, 'Answers that were read and are wrong.', 'falls'),
    ('unparseable', 'share', ROLLOUT, 'Replies without an answer to read.', 'falls'),
    ('timeout', 'share', ROLLOUT, 'Answers too costly to compare; they score 0.', '0'),
    ('verifier_error', 'share', ROLLOUT, 'Failures of the verifier itself.', '0'),
  ),
  'rollout': (
    ('length', 'tokens', ROLLOUT, 'Mean length of a completion.',
     'grows with accuracy; growth without it is padding'),
    ('truncated', 'share', ROLLOUT, 'Completions that ran into the cap and so have no answer.',
     'below 0.1'),
    ('cap', 'tokens', ROLLOUT, 'Most new tokens at this update.', 'as `rl.length_schedule` says'),
    ('level', 'level', ROLLOUT, 'Highest level asked, where `rl.next_level` is set.', 'rises'),
    ('slots_busy', 'share', ROLLOUT,
     'Steps of slots that drew a token, of all steps of slots; the others waited for longer ones.',
     'above 0.8; fewer `sample.slots` raise it'),
    ('unanimous', 'share', ROLLOUT,
     'Groups whose completions all earned the same: they teach nothing.', 'below 0.6'),
    ('dropped_groups', 'groups', ROLLOUT,
     'Unanimous groups that dynamic sampling threw away; 0 without it.',
     'few: they were sampled for nothing'),
    ('unfilled_groups', 'groups', ROLLOUT,
     'Unanimous groups that were kept because the refills ran out.', '0'),
    ('staleness', 'rollouts', ROLLOUT,
     'How many rollouts old the weights are that sampled this one.', 'at most `rl.staleness`'),
    *((name, unit, ROLLOUT, *rest) for name, unit, *rest in _MANNER),
  ),
  'grpo': (
    ('loss', 'loss', UPDATE, 'The loss that is minimised.', 'near 0; its sign says little'),
    ('kl', 'nats per token', UPDATE,
     'Estimated divergence of the policy from the reference policy.',
     'grows slowly; falls where the reference is renewed'),
    ('old_kl', 'nats per token', UPDATE,
     'Mean log-ratio of the policy at the start of the rollout to the current one.', 'near 0'),
    ('entropy', 'nats per token', UPDATE, 'How unsure the policy is of its next token.',
     'falls slowly; near 0 nothing new is tried'),
    ('ratio', 'ratio', UPDATE,
     'Mean importance ratio: the policy over the one at the start of the rollout.', 'near 1'),
    ('ratio_max', 'ratio', UPDATE, 'The largest of these ratios.', 'below 10'),
    ('clip_fraction', 'share', UPDATE,
     'Tokens whose gradient (of CISPO: whose weight) the clip range cut off: the two below.',
     'below 0.1; much more means a learning rate that is too high'),
    ('clip_low', 'share', UPDATE, 'Tokens cut off at the lower end.', 'the two together below 0.1'),
    ('clip_high', 'share', UPDATE, 'Tokens cut off at the upper end.',
     'the two together below 0.1'),
    ('dual_clip', 'share', UPDATE, 'Tokens cut off by `grpo.dual_clip`, where it is set.',
     'near 0'),
    ('tis_weight', 'ratio', UPDATE,
     'Mean truncated importance weight of trainer over sampler, where `grpo.tis_cap` is set.',
     'near 1'),
    ('tis_capped', 'share', UPDATE, 'Tokens whose weight was truncated.', 'near 0'),
  ),
  'parity': (
    ('logp_mean', 'nats', UPDATE,
     "Mean difference of a token's log-probability between sampler and trainer.",
     'below 1e-5 in float32, 0.02 in bfloat16'),
    ('logp_max', 'nats', UPDATE, 'The largest of these differences.',
     'below 1e-3 in float32; more where rollouts are stale'),
  ),
  'eval': (
    ('pass_at_1', 'share', EXAM, 'Mean share of right samples per question.', 'rises'),
    ('pass_at_1_low', 'share', EXAM, 'Lower end of its 95 % interval (Wilson).', 'rises'),
    ('pass_at_1_high', 'share', EXAM, 'Upper end of its 95 % interval (Wilson).', 'rises'),
    ('format', 'share', EXAM, 'Well-formed replies.', 'near 1'),
    ('length', 'tokens', EXAM, 'Mean length of a reply.',
     'grows with accuracy; growth without it is padding'),
    ('truncated', 'share', EXAM, 'Replies that ran into the cap.', 'below 0.1'),
    ('loss', 'nats per token', EXAM,
     'Negative log-likelihood of the learned tokens of held-out examples of SFT.',
     'falls; where it rises the examples are learned by heart'),
    ('preference', 'share', EXAM, 'Held-out pairs that a reward model has in order.', 'above 0.5'),
    *(
      (f'level_{n}', 'share', EXAM, f'Mean share of right samples of level {n}.', 'rises')
      for n in range(1, 10)
    ),
    *((name, unit, EXAM, *rest) for name, unit, *rest in _MANNER),
  ),
  'optimizer': (
    ('lr', 'rate', UPDATE, 'Learning rate of this update.', 'as `optimizer.schedule` says'),
    ('grad_norm', 'norm', UPDATE, 'Norm of the gradient before clipping.', 'steady'),
    ('skipped', 'updates', TOTAL, 'Updates skipped for gradients not finite.', '0'),
    ('skipped_in_a_row', 'updates', UPDATE, 'Updates skipped one after the other, up to this one.',
     '0; at `optimizer.max_skipped` training stops'),
  ),
  'packing': (
    ('filled', 'share', UPDATE, 'Share of a training batch that holds real tokens.',
     'above 0.7; below it lower `rl.rows` or `rl.capacity`'),
    ('learned', 'share', UPDATE,
     'Share of a training batch that has a loss: the output head is computed for these alone.',
     'at most `packing/filled`'),
    ('shared', 'share', UPDATE,
     '1 where a prompt was computed once for its completions in a row, or 0: `rl.share_prompts`.'),
  ),
  'speed': (
    ('rollout_tokens_per_s', 'tokens per second', ROLLOUT, 'New tokens of the sampler.', 'steady'),
    ('train_tokens_per_s', 'tokens per second', ROLLOUT, 'Tokens of the updates.', 'steady'),
    ('wall_seconds', 'seconds', TOTAL, 'Wall time of the run, all its starts together.'),
    ('eval_seconds', 'seconds', EXAM, 'What an examination in training took.', 'steady'),
  ),
  'compute': (
    ('flops', 'operations', ROLLOUT,
     'Counted operations of sampling, scoring and updates; of each update in distillation.'),
  ),
  'handover': (
    ('seconds', 'seconds', ROLLOUT, 'Time to lay the weights out for the sampler.',
     'a small part of a rollout'),
    ('bytes', 'bytes per device', ROLLOUT, 'What that brought from other devices.'),
  ),
  'compile': (
    ('programs', 'programs', TOTAL, 'Programs compiled by this process.',
     'stops growing after the first updates and examinations'),
    ('loaded', 'programs', TOTAL, 'Those of them that an earlier start had compiled.',
     'at a second start most of `compile/programs`'),
  ),
  'loss': (
    ('total', 'nats', UPDATE, 'The loss, all its parts together.', 'falls'),
  ),
  'sft': (
    ('nll', 'nats per token', UPDATE, 'Negative log-likelihood of the text.', 'falls'),
    ('loss', 'nats', UPDATE, 'The loss in distillation; elsewhere it is `loss/total`.', 'falls'),
    ('token_probability', 'share', UPDATE, 'Mean probability of a learned token.', 'rises'),
    ('mtp1_nll', 'nats per token', UPDATE,
     'The same of the module that predicts one token further.', 'falls'),
  ),
  'router': (
    ('load_max', 'ratio', UPDATE, 'Load of the busiest expert over the mean, in the worst layer.',
     'below 2; 1 is even'),
  ),
  'distill': (
    ('kl', 'nats per token', UPDATE, "Divergence from the teacher's distribution.", 'falls'),
  ),
  'preference': (
    ('loss', 'nats', UPDATE, 'Loss of a reward model.', 'falls below 0.69'),
    ('accuracy', 'share', UPDATE, 'Pairs of the batch in order.', 'above 0.5'),
    ('margin', 'score', UPDATE, 'Mean score of chosen minus rejected.', 'above 0'),
    ('score', 'score', UPDATE, 'Mean score of all texts.'),
  ),
  'hacking': (
    ('accuracy_drop', 'share', ROLLOUT, 'Fall of rule accuracy since preference rewards began.',
     'near 0'),
    ('accuracy_error', 'share', ROLLOUT, 'Standard error of that fall.'),
    ('preference_gain', 'score', ROLLOUT, 'Rise of preference in the same time.', 'above 0'),
    ('suspected', '0 or 1', ROLLOUT,
     'Whether accuracy has fallen beyond tolerance and error while preference has risen.', '0'),
  ),
  'exam': (
    ('pass_at_1', 'share', TOTAL, 'Right replies so far.'),
    ('length', 'tokens', TOTAL, 'Mean length of a reply so far.'),
    ('truncated', 'share', TOTAL, 'Replies so far that ran into the cap.', 'below 0.1'),
    ('tokens_per_s', 'tokens per second', TOTAL, 'New tokens so far.', 'steady'),
  ),
  'metrics': (
    ('nonfinite', 'values', UPDATE, 'Metrics of this row without a finite value.', '0'),
  ),
}  # fmt: skip
# What displays call a metric, how they write its value, and what the progress bar calls it where
# there is less room.
_SHOWN = {
  'reward/total': ('reward', '.2f'),
  'reward/accuracy': ('accuracy', '.2f', 'acc'),
  'reward/format': ('format', '.2f'),
  'rollout/level': ('level', '.0f'),
  'rollout/length': ('length', '.1f'),
  'rollout/truncated': ('cut off', '.3f'),
  'rollout/unanimous': ('groups that agree', '.3f'),
  'rollout/language': ('language consistency', '.3f'),
  'rollout/wait': ('“wait”', '.2f'),
  'grpo/kl': ('KL', '.4f'),
  'grpo/entropy': ('entropy', '.2f'),
  'grpo/clip_fraction': ('clipped', '.3f', 'clip'),
  'parity/logp_mean': ('sampler - trainer', '.1e'),
  'eval/pass_at_1': ('held out', '.3f'),
  'eval/loss': ('held out', '.3f'),
  'eval/preference': ('held out', '.3f'),
  'loss/total': ('loss', '.3f'),
  'preference/loss': ('loss', '.3f'),
  'preference/accuracy': ('in order', '.2f'),
  'optimizer/lr': ('learning rate', '.2e', 'lr'),
  'optimizer/grad_norm': ('gradient', '.2f', 'grad'),
  'packing/filled': ('filled', '.0%'),
  'speed/rollout_tokens_per_s': ('rollout tok/s', ',.0f'),
  'speed/train_tokens_per_s': ('train tok/s', ',.0f'),
}


def _metric(name, unit, span, meaning, healthy=''):
  label, form, *short = _SHOWN.get(name, (name.partition('/')[2], '.2f'))
  return Metric(name, unit, span, meaning, healthy, label, form, *(short or [label]))


METRICS = tuple(
  _metric(f'{family}/{name}', *rest) for family, rows in _ROWS.items() for name, *rest in rows
)
_BY_NAME = {metric.name: metric for metric in METRICS}
NAMES = frozenset(_BY_NAME)


def of(name):
  """The `Metric` of a name; of a reward of the user's own what its name says."""
  return _BY_NAME.get(name) or _metric(name, 'reward', ROLLOUT, '')
