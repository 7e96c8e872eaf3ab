"""Killable processes that compare answers and run tests, away from the process that trains."""
