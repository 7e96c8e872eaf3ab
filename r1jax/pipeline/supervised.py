"""What the stages that learn from given texts share: how they begin, are saved and go on."""

import jax

from r1jax import params as params_lib
from r1jax.model import transformer
from r1jax.train import state as state_lib


class Stage:
  """The life cycle that `train.loop` asks for; a stage adds `title`, `total` and `update`.

  Its `__init__` sets `job`, `cfg`, the optimizer `tx`, the `stream` of data, and calls
    `wait_for_weights`.
  """

  def wait_for_weights(self):
    """No state yet: set `initial` before `start`, or `restore`."""
    self.state, self.initial, self.seconds = None, None, {'update': 0.0}

  @property
  def specs(self):
    """Spec tree of the weights."""
    return transformer.specs(self.cfg)

  def start(self):
    """Begins from the initial weights."""
    self.state = state_lib.create(self.initial, self.tx, False)
    self.initial = None

  def abstract(self, host):
    """Shapes of what `arrays` saved."""
    weights = params_lib.abstract(self.specs, self.cfg.param_dtype)
    return jax.eval_shape(lambda w: state_lib.create(w, self.tx, False), weights)

  def restore(self, arrays, host):
    """Continues exactly where `arrays` and `host` were saved."""
    self.state, self.initial, self.seconds = arrays, None, host['seconds']
    self.stream.set_state(host['stream'])

  def arrays(self):
    """The state on the devices."""
    return self.state

  def host(self):
    """Position in the data and the time spent."""
    return {'stream': self.stream.get_state(), 'seconds': self.seconds}
