"""The code reward: the last program of a completion against tests, in a sandbox (reference §1.4).

`record` holds the tests, `judging` runs them, `extraction` finds the program, `comparison` says
what output is right, `sandbox` holds the processes, and `harness` is what runs inside them.
"""

from r1jax.rewards.code.extraction import extract
from r1jax.rewards.code.judging import CodeConfig, check
from r1jax.rewards.code.record import CallTest, StdinTest, Tests

__all__ = ['CallTest', 'CodeConfig', 'StdinTest', 'Tests', 'check', 'extract']
