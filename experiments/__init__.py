"""Experiments by name: `--config=r1_zero:hub` is the preset `hub` of `r1_zero.py` in this folder.

One file is one run, a diff against `r1jax.config.default`. `get_config(preset)` returns it locked.
"""
