"""What the stages that learn from given texts share: how they begin, are saved and go on."""

import time

import jax

from r1jax import params as params_lib
from r1jax import programs
from r1jax.train import ledger, phases, steps
from r1jax.train import state as state_lib


class Stage(state_lib.FrozenBase):
  """The life cycle that `train.loop` asks for; a stage adds `title`, `total` and `update`.

  Its `__init__` sets `job`, `cfg`, the optimizer `tx` and the `stream` of data, and then calls
  `wait_for_weights`, which leaves the state empty. `updates_by` is the jitted update.
  """

  updates_by = staticmethod(steps.language_update)

  def wait_for_weights(self):
    """No state yet: set `initial` before `start`, or `restore`."""
    self.state, self.initial, self.ledger = None, None, ledger.Ledger()
    self.examine = lambda weights, step: {}  # metrics of an evaluation, where one is due
    # What the progress bar knows, and what it asks: what is being done beside an update.
    self.cycle, self.examine_every, self.base, self.doing = 1, 0, {}, str

  def start(self):
    """Begins from the initial weights."""
    # No reference policy (False): only RL compares with one.
    self.state = state_lib.create(self.hold(self.initial), self.tx, False)
    # The last name of the first weights, whose memory is free with it.
    self.initial = None

  def abstract(self, host):
    """Shapes of what `arrays` saved."""
    weights = params_lib.abstract(params_lib.trained(self.specs), self.cfg.param_dtype)
    return jax.eval_shape(lambda w: state_lib.create(w, self.tx, False), weights)

  def restore(self, arrays, host):
    """Continues exactly where `arrays` and `host` were saved."""
    self.hold_again(self.initial, host.get('frozen', ''))
    self.state, self.initial = arrays, None
    self.stream.set_state(host['stream'])

  def arrays(self):
    """The state on the devices."""
    return self.state

  def host(self):
    """Position in the data, and the base of adapters."""
    return {'stream': self.stream.get_state(), 'frozen': self.beside}

  def close(self):
    """Nothing: such a stage starts no thread."""

  def to_compile(self):
    """The `programs.Program`s up to a first update, in order."""
    return [self.program(state_lib.begin, 'state'), self.program(self.updates_by)]

  def program(self, function, part=''):
    """The `programs.Program` of a jitted function of this stage's batches; `part` is for people."""
    # All that decides sizes is in the job.
    return programs.Program(function.__name__, (jax.sharding.get_mesh(), self.cfg, self.job), part)

  def language_update(self, batch, schedule):
    """(state, metrics) after a next-token update; `schedule` is the stage's own config."""
    return steps.language_update(
      self.state,
      batch,
      self.frozen,
      cfg=self.cfg,
      mtp_weight=schedule.mtp_weight,
      tx=self.tx,
      balance=schedule.balance,
      bias_speed=schedule.bias_speed,
    )

  def timed(self, learn, tokens, filled):
    """Metrics of one update: `learn()` gives (state, metrics), which are waited for.

    Args:
      learn: () -> (state, metrics); the metrics' `sft/loss` becomes `loss/total`.
      tokens: that are learned.
      filled: share of the computed places that hold a token.
    """
    began = time.monotonic()
    with self.ledger.phase(phases.UPDATES):
      self.state, figures = learn()
      # Else the seconds would be those of handing work to the devices.
      jax.block_until_ready(figures)
    spent = time.monotonic() - began
    figures['loss/total'] = figures.pop('sft/loss')
    return figures | {'speed/train_tokens_per_s': tokens / spent, 'packing/filled': filled}
