"""Rewards of the zoo that no run should have."""

import time


def fails(texts):
  """Cannot read a tenth of the replies."""
  if any(len(text) % 10 == 0 for text in texts):
    raise ValueError('a length that I cannot read')
  return [0.0] * len(texts)


def waits(texts):
  """Takes its time."""
  time.sleep(2.0)
  return [0.0] * len(texts)
