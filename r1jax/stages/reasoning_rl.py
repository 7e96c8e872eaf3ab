"""Reasoning RL by GRPO on rule rewards: R1-Zero, and the stage Dev1 -> Dev2 of R1 (reference §1.3).

One iteration: sample G completions per question, score them, turn rewards into group advantages,
split the completions into mini-batches at random, pack each, and make one update per mini-batch.
"""

import time

import jax
import numpy as np

from r1jax import kernels, keys, programs, sharding
from r1jax import params as params_lib
from r1jax.algorithms import advantages
from r1jax.evaluation import prospects
from r1jax.model import flops, transformer
from r1jax.rewards import functions
from r1jax.sampling import rollout
from r1jax.stages import packing, rollouts, sample_files, sample_log
from r1jax.train import ledger, loop, phases, progress, steps
from r1jax.train import state as state_lib


def initial_state(job, cfg, tx, weights):
  """`TrainState` of the stage before its first update; `weights` are what is trained."""
  # Without a KL penalty (beta 0) there is no reference, which saves a copy of the weights.
  dtype = job.rl.reference_dtype or cfg.param_dtype
  types = params_lib.types(params_lib.trained(transformer.specs(cfg)), dtype)
  return state_lib.create(weights, tx, bool(job.grpo.beta), types)


def layout(job, cfg):
  """`packing.Layout` of the job's updates; prompts are shared where kernels know how."""
  per_update = job.rl.prompts * job.sample.group // job.rl.mini_batches
  shared = job.rl.share_prompts and cfg.kernels in kernels.SHARING
  return packing.Layout(per_update, job.rl.rows, job.rl.capacity, shared)


def scores_old(job):
  """Whether the trainer's log-probabilities before the updates are needed."""
  # With one update a rollout the old policy is the current one: the ratio starts and ends at 1.
  return job.rl.mini_batches > 1 and job.grpo.old_logp == 'trainer'


class Stage(state_lib.FrozenBase):
  """The RL stage as `train.loop` drives it: see `loop.run` for the contract.

  Attributes:
    initial: weights of the base model, set before `start`.
    examine: (weights, step) -> metrics of an evaluation, where one is due.
    heed: sees each mini-batch before the update on it.
    doing: () -> what is being done within an update.
    stopping: () -> why the run is to stop, '' if it is not.
  """

  title = 'GRPO'
  models = ()  # reward models whose parts the bar shows

  def __init__(self, job, cfg, form, questions, rewards, workdir, rollout_mesh=None):
    """Nothing is sampled yet.

    Args:
      job: `config.Job`.
      cfg: `ModelConfig`.
      form: the `prompts.Form` of the model.
      questions: `rollouts.Questions`.
      rewards: `service.RewardService`.
      workdir: folder that gets `samples/`.
      rollout_mesh: where to sample, by default the mesh that is set.
    """
    self.job, self.cfg, self.form = job, cfg, form
    self.rewards, self.total = rewards, job.rl.updates
    own = (one.name for one in functions.parse(job.reward.function))
    self.figures = progress.rl_figures([*self.models, *own])
    self.log = sample_log.Log(workdir, form, job.reward.answer, job.rl.samples_mib)
    self.questions = questions
    self.rollouts = rollouts.Rollouts(job, cfg, form, questions, rewards, rollout_mesh)
    self.tx = state_lib.make_optimizer(job.optimizer, transformer.specs(cfg))
    self.layout = layout(job, cfg)
    self.ledger = ledger.Ledger()
    # On the devices is the state alone; mini-batches wait on the host.
    self.state, self.pending, self.iteration = None, [], 0
    self._tokens, self._training = 0, 0.0  # of the rollout being trained on
    self.initial = None
    self.examine, self.heed = lambda weights, step: {}, lambda minibatch: None
    self.cycle, self.examine_every, self.base = job.rl.mini_batches, 0, {}
    self.doing = lambda: self.rollouts.doing
    self.stopping, self.rollouts.heed = str, self._heed
    self.watch_silence()

  def watch_silence(self, silent=0, most=0.0):
    """Begins to watch for rollouts that teach nothing; arguments as of `prospects.SilenceWatch`."""
    say = print if jax.process_index() == 0 else lambda line: None
    self.prospects = prospects.SilenceWatch(self.job, say, silent, most)

  @property
  def policy(self):
    """The current weights as a sampling policy."""
    return rollout.Policy(self.weights, self.cfg, self.form)

  def start(self):
    """Begins from the base model's weights."""
    self.state = self._create(self.hold(self.initial))
    self.initial = None
    self.rollouts.hold(self.frozen)

  def abstract(self, host):
    """Shapes of what `arrays` saved."""
    weights = params_lib.abstract(params_lib.trained(self.specs), self.cfg.param_dtype)
    # With just those log-probabilities that the saved mini-batches hold.
    one = packing.empty(self.layout, scores_old(self.job), bool(self.job.grpo.beta))
    return {
      'state': jax.eval_shape(self._create, weights),
      'pending': [one] * host['pending'],
      'versions': self.rollouts.abstract_versions(host.get('versions', 0)),
    }

  def _create(self, weights):
    return initial_state(self.job, self.cfg, self.tx, weights)

  def restore(self, arrays, host):
    """Continues exactly where `arrays` and `host` were saved."""
    self.hold_again(self.initial, host.get('frozen', ''))
    self.state, self.initial = arrays['state'], None
    self.rollouts.hold(self.frozen)
    self.pending = arrays['pending']
    self.iteration = host['iteration']
    self.rollouts.restore(self.iteration, host['questions'], arrays['versions'])
    # Not part of the position: an examination may have come after the rollout.
    self.questions.asked = host.get('asked', self.questions.asked)
    self.watch_silence(host['silent'], host.get('most', 0.0))

  def close(self):
    """Ends the sampling ahead."""
    self.rollouts.close()

  def arrays(self):
    """Device state, the mini-batches of the rollout that are not consumed yet, and the weights that
    make the rollouts in flight.
    """
    return {'state': self.state, 'pending': self.pending, 'versions': self.rollouts.versions}

  def host(self):
    """Position of the questions, counters, and the base of adapters."""
    return {
      'frozen': self.beside,
      'iteration': self.iteration,
      'pending': len(self.pending),
      'versions': len(self.rollouts.versions),
      'questions': self.rollouts.position,
      'silent': self.prospects.silent,
      'most': self.prospects.most,
      'asked': self.questions.asked,
    }

  def to_compile(self):
    """The `programs.Program`s up to a first update: state, rollout, its judges, what learns."""
    job, key = self.job, (jax.sharding.get_mesh(), self.cfg, self.layout)
    # Of the samples of a first rollout the trainer's log-probabilities are always written.
    reference = job.rl.reference_dtype or self.cfg.param_dtype
    scored = [reference, self.cfg.param_dtype] if job.grpo.beta else [self.cfg.param_dtype]
    update = (*key, job.grpo, self.tx.rule, job.sample.temperature, job.rl.reference_every)
    return [
      programs.Program(state_lib.begin.__name__, update, 'state'),
      *self.rollouts.to_compile(),
      *self.judging(),
      *(programs.Program(steps.score.__name__, (*key, kind)) for kind in scored),
      programs.Program(steps.grpo_update.__name__, update),
    ]

  def judging(self):
    """The `programs.Program`s by which replies of a first rollout are judged: rules need none."""
    return []

  def update(self, step):
    """One policy update; takes a new rollout when the last one is used up."""
    # A rollout lasts `mini_batches` updates, of which the first one samples.
    figures = {} if self.pending else self._collect(step)
    began = time.monotonic()
    minibatch, *self.pending = self.pending
    self.heed(minibatch)
    with self.ledger.phase(phases.UPDATES):
      found = self._learn(minibatch)
      # Counted on the host's arrays, while the devices compute.
      self._tokens += minibatch.tokens
      figures['packing/filled'] = minibatch.tokens / minibatch.places
      figures['packing/learned'] = minibatch.learned / minibatch.places
      figures['packing/shared'] = float(minibatch.shared)
      if not self.pending:  # the next rollout needs these weights anyway
        jax.block_until_ready(found)
    self._training += time.monotonic() - began
    if not self.pending:
      figures['speed/train_tokens_per_s'] = self._tokens / self._training
      self._tokens, self._training = 0, 0.0
    examined = self.examine(self.weights, step + 1)
    if self.questions.climb(examined) and jax.process_index() == 0:
      print(f'from update {step + 2} on questions of level {self.questions.level} are asked too')
    return figures | found | examined

  def _heed(self):
    """Leaves a rollout that is being sampled where the run is to stop; raises `loop.LeftError`."""
    # Ahead of training another thread samples; and several processes have to stop together.
    alone = not self.job.rl.staleness and jax.process_count() == 1
    if alone and self.stopping():
      raise loop.LeftError

  def _learn(self, minibatch):
    """Dispatches the update on a mini-batch; its metrics."""
    self.state, found = steps.grpo_update(
      self.state,
      packing.put(minibatch.batch),
      self.frozen,
      cfg=self.cfg,
      gcfg=self.job.grpo,
      tx=self.tx,
      temperature=self.job.sample.temperature,
      reference_every=self.job.rl.reference_every,
    )
    # The first sum of results that are not there yet waits for them on a CPU: it is the update's.
    found['grpo/clip_fraction'] = found['grpo/clip_low'] + found['grpo/clip_high']
    return found

  def _collect(self, step):
    """Fills `pending` with the packed mini-batches of a new rollout; returns its metrics."""
    job, cap = self.job, self.job.rl.cap(step)
    # 1. Sample and judge: a rollout, perhaps one that was begun while the last was trained on.
    with self.ledger.phase(phases.ROLLOUTS):
      experience = self.rollouts.take(self.iteration, self.state.params)
    replies = experience.replies
    self.prospects.add(replies)
    # 2. Advantages, on whole groups: the split into mini-batches may break a group.
    reward_PG, _ = rollouts.shaped(replies, cap, job.grpo)
    advantage_B = advantages.estimate(reward_PG, replies.valid_PG, job.grpo).reshape(-1)
    # 3. Mini-batches, packed, with the log-probabilities that the loss compares with.
    last = step + job.rl.mini_batches >= job.rl.updates
    due = last or step % job.rl.samples_every < job.rl.mini_batches
    with self.ledger.phase(phases.SCORING):
      packed = self._packed(replies, advantage_B)
      self.pending, trainer = self._scored(packed, keep_trainer=due)
    # 4. For people: every reply of some rollouts, and what it all cost.
    if due and jax.process_index() == 0:
      with self.ledger.phase(phases.REPORT):
        self._write_samples(step, experience, trainer, advantage_B)
    cost = {
      'speed/rollout_tokens_per_s': experience.sampled.length_B.sum() / experience.seconds,
      'compute/flops': self._flops(experience, packed),
      'rollout/staleness': float(self.rollouts.age(self.iteration)),
    }
    self.iteration += 1
    figures = rollouts.figures(experience, cap, job.grpo) | self.notice(replies)
    if self.questions.levels:
      figures['rollout/level'] = float(self.questions.level)
    return figures | self.rewards.metrics() | cost | experience.handover

  def _packed(self, replies, advantage_B):
    """The mini-batches of a rollout, still without log-probabilities to compare with."""
    job = self.job
    # Seeded by the iteration: the same rollout is always split alike.
    seed = [job.seed, self.iteration, keys.number('mini-batches')]
    together = job.sample.group if job.rl.split == 'groups' else 1
    parts = packing.split(advantage_B.size, job.rl.mini_batches, seed, together)
    return [
      packing.for_grpo(replies.rollout, part, advantage_B, self.layout, job.grpo) for part in parts
    ]

  def _flops(self, experience, packed):
    """Counted operations of a rollout, of its scoring and of the updates on it."""
    out, counted = experience.sampled.rollout, lambda one: (one.tokens, one.pairs, one.learned)
    prompt_P = np.array([len(prompt) for prompt in out.prompts])
    drawn = flops.sampling(self.cfg, prompt_P, out.length_B, out.group)
    # Scored by the reference, and by the old policy all but the first: that one's is the policy.
    read = [flops.of_tokens(self.cfg, *counted(one)) for one in packed]
    scored = sum(read) * bool(self.job.grpo.beta) + sum(read[1:]) * scores_old(self.job)
    learned = sum(flops.update(self.cfg, *counted(one)) for one in packed)
    return float(drawn + scored + learned)

  def notice(self, replies):
    """Further metrics of a rollout's replies."""
    return {}

  def _scored(self, packed, keep_trainer):
    """Adds the reference's and the trainer's log-probabilities, all before its first update."""
    job, ready, trainer = self.job, [], []
    compares = scores_old(job)
    for number, one in enumerate(packed):
      loss, count = one.batch.loss, one.batch.count
      rows, mask = packing.put((one.batch.rows, loss.mask_BT))
      arguments = (self.cfg, rows, mask, count, job.sample.temperature)
      if job.grpo.beta:
        # To the host: mini-batches wait there for their update, and are part of a checkpoint.
        # The base and the adapters as they were when the reference was last refreshed.
        reference = params_lib.join(self.state.reference, self.frozen)
        scored = steps.score(reference, *arguments)
        loss = loss.replace(ref_logp_BT=sharding.fetch(scored))
      # The first update's old policy is the policy itself: it computes these values anyway. But
      # the written samples show sampler against trainer, whatever the loss needs.
      if (number and compares) or keep_trainer:
        trainer.append(sharding.fetch(steps.score(self.weights, *arguments)))
      one = one.replace(batch=one.batch.replace(loss=loss))
      ready.append(one.with_old(trainer[-1] if number else None) if compares else one)
    return ready, trainer

  def _write_samples(self, step, experience, trainer, advantage_B):
    out = experience.replies.rollout
    logp_BT = np.zeros_like(out.logp_BT)
    # From packed places back to replies: the split and the packing are undone.
    for one, values in zip(self.pending, trainer):
      packing.unpack(one, values, logp_BT, out.prompts, out.group)
    learned = sample_log.Learned(advantage_B, logp_BT, experience.version)
    self.log.write(sample_files.ROLLOUT, step, experience.replies, learned)
