"""The code reward: the last program of a completion against tests, in a sandbox (reference §1.4).

`judging` runs the tests, `extraction` finds the program, `comparison` says what output is right,
`sandbox` holds the processes, and `harness` is what runs inside them.
"""

from r1jax.rewards.code.extraction import extract
from r1jax.rewards.code.judging import CallTest, CodeConfig, StdinTest, Tests, check

__all__ = ['CallTest', 'CodeConfig', 'StdinTest', 'Tests', 'check', 'extract']
