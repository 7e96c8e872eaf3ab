"""Every metric that a run can log: its unit, when it is counted anew, meaning and healthy range.

docs/metrics.md is made from this table, and a test fails where the code logs a name that is not
here. A metric that you add to the code gets its line below.
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
  """

  name: str
  unit: str
  span: str
  meaning: str
  healthy: str = ''


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

# Shares that rollouts and examinations both count over their completions: name, unit, meaning,
# healthy range.
_MANNER = (
  ('worked', 'share', 'Replies that work the answer out: an equation, or numbers ranked.', 'rises'),
  ('accuracy_worked', 'share', 'Right replies among those that work the answer out.', ''),
  ('accuracy_direct', 'share', 'Right replies among those that answer at once.', ''),
  ('wait', 'words per reply', 'How often "wait" or its Chinese form stands in a reply.', ''),
  ('reflection', 'words per reply', 'Words of reflection, "wait" included.', ''),
  (
    'language',
    'share',
    "Words of a thought that are in the question's language, where it has words.",
    'near 1; falls where RL mixes languages',
  ),
  ('mixed', 'share', 'Thoughts with words of another language, among those with words.', 'near 0'),
)


def _manner(family, span):
  return tuple(Metric(f'{family}/{name}', unit, span, *rest) for name, unit, *rest in _MANNER)


_REWARD = (
  Metric(
    'reward/total',
    'reward',
    ROLLOUT,
    'Mean weighted sum of the parts, over completions that were scored.',
    'rises, then levels off below the sum of the weights',
  ),
  Metric(
    'reward/accuracy', 'share', ROLLOUT, 'Mean of the accuracy reward: right answers.', 'rises'
  ),
  Metric(
    'reward/format',
    'share',
    ROLLOUT,
    'Mean of the format reward: both tags, once, in order; or one box, or a number.',
    'rises first, ends near 1',
  ),
  Metric('reward/language', 'share', ROLLOUT, 'Mean of the language reward.', 'near 1'),
  Metric('reward/repetition', 'share', ROLLOUT, 'Mean share of distinct 6-grams.', 'near 1'),
  Metric(
    'reward/overlong',
    'reward',
    ROLLOUT,
    'Mean penalty of completions near the cap, a part of the total.',
    'near 0',
  ),
  Metric('reward/helpful', 'score', ROLLOUT, "Mean score of the helpful reward model's requests."),
  Metric(
    'reward/harmless', 'score', ROLLOUT, "Mean score of the harmless reward model's requests."
  ),
  Metric(
    'reward/verifier_error_rate',
    'share',
    TOTAL,
    'Completions among the latest 1,000 on which a verifier itself failed.',
    '0; above 0.02 training stops',
  ),
  Metric(
    'reward/wait_seconds',
    'seconds',
    TOTAL,
    'Time that rollouts waited for verdicts.',
    'a small part of the run',
  ),
  Metric(
    'reward/worker_restarts',
    'processes',
    TOTAL,
    'Verifier processes that were killed and replaced.',
    'few',
  ),
)
_VERDICT = (
  Metric('verdict/correct', 'share', ROLLOUT, 'Right answers.', 'rises'),
  Metric('verdict/wrong', 'share', ROLLOUT, 'Answers that were read and are wrong.'),
  Metric('verdict/unparseable', 'share', ROLLOUT, 'Replies without an answer to read.', 'falls'),
  Metric('verdict/timeout', 'share', ROLLOUT, 'Answers too costly to compare; they score 0.', '0'),
  Metric('verdict/verifier_error', 'share', ROLLOUT, 'Failures of the verifier itself.', '0'),
)
_ROLLOUT = (
  Metric(
    'rollout/length',
    'tokens',
    ROLLOUT,
    'Mean length of a completion.',
    'grows with accuracy; growth without it is padding',
  ),
  Metric(
    'rollout/truncated',
    'share',
    ROLLOUT,
    'Completions that ran into the cap and so have no answer.',
    'below 0.1',
  ),
  Metric('rollout/cap', 'tokens', ROLLOUT, 'Most new tokens at this update.'),
  Metric('rollout/level', 'level', ROLLOUT, 'Highest level asked, where `rl.next_level` is set.'),
  Metric(
    'rollout/slots_busy',
    'share',
    ROLLOUT,
    'Steps of slots that drew a token, of all steps of slots; the others waited for longer ones.',
    'above 0.8; fewer `sample.slots` raise it',
  ),
  Metric(
    'rollout/unanimous',
    'share',
    ROLLOUT,
    'Groups whose completions all earned the same: they teach nothing.',
    'below 0.6',
  ),
  Metric(
    'rollout/dropped_groups',
    'groups',
    ROLLOUT,
    'Unanimous groups that dynamic sampling threw away; 0 without it.',
  ),
  Metric(
    'rollout/unfilled_groups',
    'groups',
    ROLLOUT,
    'Unanimous groups that were kept because the refills ran out.',
    '0',
  ),
  Metric(
    'rollout/staleness',
    'rollouts',
    ROLLOUT,
    'How many rollouts old the weights are that sampled this one.',
    'at most `rl.staleness`',
  ),
  *_manner('rollout', ROLLOUT),
)
_GRPO = (
  Metric(
    'grpo/loss', 'loss', UPDATE, 'The loss that is minimised.', 'near 0; its sign says little'
  ),
  Metric(
    'grpo/kl',
    'nats per token',
    UPDATE,
    'Estimated divergence of the policy from the reference policy.',
    'grows slowly; falls where the reference is renewed',
  ),
  Metric(
    'grpo/old_kl',
    'nats per token',
    UPDATE,
    'Mean log-ratio of the policy at the start of the rollout to the current one.',
    'near 0',
  ),
  Metric(
    'grpo/entropy',
    'nats per token',
    UPDATE,
    'How unsure the policy is of its next token.',
    'falls slowly; near 0 nothing new is tried',
  ),
  Metric(
    'grpo/ratio',
    'ratio',
    UPDATE,
    'Mean importance ratio: the policy over the one at the start of the rollout.',
    'near 1',
  ),
  Metric('grpo/ratio_max', 'ratio', UPDATE, 'The largest of these ratios.', 'below 10'),
  Metric(
    'grpo/clip_fraction',
    'share',
    UPDATE,
    'Tokens whose gradient the clip range cut off (CISPO: whose weight it clipped): the two below.',
    'below 0.1; much more means a learning rate that is too high',
  ),
  Metric('grpo/clip_low', 'share', UPDATE, 'Tokens cut off at the lower end.'),
  Metric('grpo/clip_high', 'share', UPDATE, 'Tokens cut off at the upper end.'),
  Metric('grpo/dual_clip', 'share', UPDATE, 'Tokens cut off by `grpo.dual_clip`, where it is set.'),
  Metric(
    'grpo/tis_weight',
    'ratio',
    UPDATE,
    'Mean truncated importance weight of trainer over sampler, where `grpo.tis_cap` is set.',
    'near 1',
  ),
  Metric('grpo/tis_capped', 'share', UPDATE, 'Tokens whose weight was truncated.', 'near 0'),
)
_PARITY = (
  Metric(
    'parity/logp_mean',
    'nats',
    UPDATE,
    "Mean difference of a token's log-probability between sampler and trainer.",
    'below 1e-5 in float32, 0.02 in bfloat16',
  ),
  Metric(
    'parity/logp_max',
    'nats',
    UPDATE,
    'The largest of these differences.',
    'below 1e-3 in float32; more where rollouts are stale',
  ),
)
_EVAL = (
  Metric('eval/pass_at_1', 'share', EXAM, 'Mean share of right samples per question.', 'rises'),
  Metric('eval/pass_at_1_low', 'share', EXAM, 'Lower end of its 95 % interval (Wilson).'),
  Metric('eval/pass_at_1_high', 'share', EXAM, 'Upper end of its 95 % interval (Wilson).'),
  Metric('eval/format', 'share', EXAM, 'Well-formed replies.', 'near 1'),
  Metric('eval/length', 'tokens', EXAM, 'Mean length of a reply.'),
  Metric('eval/truncated', 'share', EXAM, 'Replies that ran into the cap.', 'below 0.1'),
  Metric(
    'eval/loss',
    'nats per token',
    EXAM,
    'Negative log-likelihood of the learned tokens of held-out examples of SFT.',
    'falls; where it rises the examples are learned by heart',
  ),
  Metric('eval/preference', 'share', EXAM, 'Held-out pairs that a reward model has in order.'),
  *(
    Metric(f'eval/level_{n}', 'share', EXAM, f'Mean share of right samples of level {n}.', 'rises')
    for n in range(1, 10)
  ),
  *_manner('eval', EXAM),
)
_TRAINING = (
  Metric('optimizer/lr', 'rate', UPDATE, 'Learning rate of this update.'),
  Metric('optimizer/grad_norm', 'norm', UPDATE, 'Norm of the gradient before clipping.', 'steady'),
  Metric('optimizer/skipped', 'updates', TOTAL, 'Updates skipped for gradients not finite.', '0'),
  Metric(
    'optimizer/skipped_in_a_row',
    'updates',
    UPDATE,
    'Updates skipped one after the other, up to this one.',
    '0; at `optimizer.max_skipped` training stops',
  ),
  Metric(
    'packing/filled',
    'share',
    UPDATE,
    'Share of a training batch that holds real tokens.',
    'above 0.7; below it lower `rl.rows` or `rl.capacity`',
  ),
  Metric(
    'packing/learned',
    'share',
    UPDATE,
    'Share of a training batch that has a loss: the output head is computed for these tokens only.',
  ),
  Metric('speed/rollout_tokens_per_s', 'tokens per second', ROLLOUT, 'New tokens of the sampler.'),
  Metric('speed/train_tokens_per_s', 'tokens per second', ROLLOUT, 'Tokens of the updates.'),
  Metric('speed/wall_seconds', 'seconds', TOTAL, 'Wall time of the run, all its starts together.'),
  Metric(
    'compute/flops',
    'operations',
    ROLLOUT,
    'Counted operations of sampling, scoring and updates; of each update in distillation.',
  ),
  Metric('handover/seconds', 'seconds', ROLLOUT, 'Time to lay the weights out for the sampler.'),
  Metric('handover/bytes', 'bytes per device', ROLLOUT, 'What that brought from other devices.'),
  Metric(
    'compile/programs',
    'programs',
    TOTAL,
    'Programs compiled by this process.',
    'stops growing after the first updates and examinations',
  ),
  Metric('speed/eval_seconds', 'seconds', EXAM, 'What an examination in training took.'),
  Metric('compile/loaded', 'programs', TOTAL, 'Those of them that an earlier start had compiled.'),
)
_SUPERVISED = (
  Metric('loss/total', 'nats', UPDATE, 'The loss, all its parts together.', 'falls'),
  Metric('sft/nll', 'nats per token', UPDATE, 'Negative log-likelihood of the text.', 'falls'),
  Metric('sft/loss', 'nats', UPDATE, 'The loss in distillation; elsewhere it is `loss/total`.'),
  Metric('sft/token_probability', 'share', UPDATE, 'Mean probability of a learned token.', 'rises'),
  Metric(
    'sft/mtp1_nll',
    'nats per token',
    UPDATE,
    'The same of the module that predicts one token further.',
    'falls',
  ),
  Metric(
    'router/load_max',
    'ratio',
    UPDATE,
    'Load of the busiest expert over the mean, in the worst layer.',
    'below 2; 1 is even',
  ),
  Metric('distill/kl', 'nats per token', UPDATE, "Divergence from the teacher's distribution."),
)
_PREFERENCE = (
  Metric('preference/loss', 'nats', UPDATE, 'Loss of a reward model.', 'falls below 0.69'),
  Metric('preference/accuracy', 'share', UPDATE, 'Pairs of the batch in order.', 'above 0.5'),
  Metric('preference/margin', 'score', UPDATE, 'Mean score of chosen minus rejected.', 'above 0'),
  Metric('preference/score', 'score', UPDATE, 'Mean score of all texts.'),
  Metric(
    'hacking/accuracy_drop',
    'share',
    ROLLOUT,
    'Fall of rule accuracy since preference rewards began.',
    'near 0',
  ),
  Metric('hacking/accuracy_error', 'share', ROLLOUT, 'Standard error of that fall.'),
  Metric('hacking/preference_gain', 'score', ROLLOUT, 'Rise of preference in the same time.'),
  Metric(
    'hacking/suspected',
    '0 or 1',
    ROLLOUT,
    'Whether accuracy has fallen beyond tolerance and error while preference has risen.',
    '0',
  ),
)
_COMMANDS = (
  Metric('exam/pass_at_1', 'share', TOTAL, 'Right replies so far.'),
  Metric('exam/length', 'tokens', TOTAL, 'Mean length of a reply so far.'),
  Metric('exam/truncated', 'share', TOTAL, 'Replies so far that ran into the cap.'),
  Metric('exam/tokens_per_s', 'tokens per second', TOTAL, 'New tokens so far.'),
  Metric('metrics/nonfinite', 'values', UPDATE, 'Metrics of this row without a finite value.', '0'),
)
METRICS = (
  *_REWARD,
  *_VERDICT,
  *_ROLLOUT,
  *_GRPO,
  *_PARITY,
  *_EVAL,
  *_TRAINING,
  *_SUPERVISED,
  *_PREFERENCE,
  *_COMMANDS,
)
NAMES = frozenset(metric.name for metric in METRICS)
