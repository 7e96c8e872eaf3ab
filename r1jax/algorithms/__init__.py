"""Objectives as pure functions of log-probabilities: no loops, no parameters, no devices."""
