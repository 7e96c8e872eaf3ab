"""Keeps picture and page of a run fresh while it goes on, and says what is wrong with it."""

import pathlib
import time

from r1jax.runs.doctor import rules
from r1jax.runs.report import course
from r1jax.runs.show import page, reading

PICTURE = 'report.png'
_SHARE = 50  # a report may take a fiftieth of the time since the last one


class Report:
  """The report of one run; it never stops that run."""

  def __init__(self, folder, say=print):
    """`folder` of the run; `say` hears a line for what the doctor finds first, and for failures."""
    self._folder, self._say = pathlib.Path(folder), say
    self._told, self._ended, self._cost = set(), float('-inf'), 0.0

  def refresh(self, always=False):
    """Writes `report.png` and `report.html`; says each finding of the doctor once.

    Unless `always`, it does nothing where the last time is too near for what that took.
    """
    began = time.monotonic()
    if not always and began - self._ended < _SHARE * self._cost:
      return
    try:
      run = reading.read(self._folder)
      # Until there are figures there is nothing to see.
      if run.rows:
        self._write(run)
    # A full disk, a file that somebody damaged: the weights are worth more than their picture.
    except (OSError, ValueError) as error:
      self._once('report', f'WARNING: no report of {self._folder}: {" ".join(str(error).split())}')
    self._ended = time.monotonic()
    self._cost = self._ended - began

  def _write(self, run):
    course.plot(run, self._folder / PICTURE)
    page.write(self._folder / page.NAME, [run])
    for one in rules.of(run):
      self._once(one.name, f'WARNING: {one.told()}')

  def _once(self, name, line):
    if name not in self._told:
      self._told.add(name)
      self._say(line)
