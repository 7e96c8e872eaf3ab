"""The flags of docs/variants.md make jobs, each another objective."""

import pathlib
import re

import pytest

from r1jax import config as config_lib
from r1jax.cli import overrides
from r1jax.experiments import r1_zero

PAGE = pathlib.Path(__file__).resolve().parents[2] / 'docs' / 'variants.md'
ROWS = re.findall(r'^\| (.+) \| `((?:grpo|rl)\.[^`]+)` \|$', PAGE.read_text(), re.MULTILINE)


def job(flags):
  config = r1_zero.get_config('tiny')
  for flag in flags.split():
    overrides.override(config, *flag.split('='))
  return config_lib.build(config)


@pytest.mark.parametrize('name, flags', ROWS, ids=[name for name, _ in ROWS])
def test_a_variant_of_the_page_is_a_job(name, flags):
  plain, made = job('grpo.beta=0.001'), job(flags)
  assert (made.grpo, made.rl) != (plain.grpo, plain.rl)
  # The page speaks of this preset's cap.
  assert made.grpo.max_length in (plain.grpo.max_length, made.sample.max_new)


def test_the_page_has_its_variants():
  assert len(ROWS) == 11 and {'DAPO', 'RLOO', 'GSPO', 'CISPO', 'Dr. GRPO'} < {n for n, _ in ROWS}
