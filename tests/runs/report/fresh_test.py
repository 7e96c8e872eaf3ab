"""A report follows its run, takes little of its time, and never stops it."""

import json

from r1jax.runs.report import fresh
from r1jax.runs.show import page
from tests.runs.show import folders


def test_it_follows_the_run_and_tells_each_finding_once(tmp_path):
  folder = folders.write(tmp_path / 'run', folders.rows(packing__filled=lambda t: 0.2))
  said = []
  report = fresh.Report(folder, said.append)
  report.refresh()
  assert (folder / page.NAME).exists() and (folder / fresh.PICTURE).exists()
  report.refresh(always=True)
  (line,) = said
  assert line.startswith('WARNING: batches are mostly padding: only 20%') and 'rl.rows' in line


def test_before_the_first_figures_nothing_is_written(tmp_path):
  folder = folders.write(tmp_path / 'run', figures=[])
  fresh.Report(folder).refresh(always=True)
  assert not (folder / page.NAME).exists() and not (folder / fresh.PICTURE).exists()


def test_it_is_not_written_again_at_once_unless_it_must(tmp_path):
  folder = folders.write(tmp_path / 'run')
  report = fresh.Report(folder)
  report.refresh()
  (folder / page.NAME).unlink()
  report.refresh()
  assert not (folder / page.NAME).exists()
  report.refresh(always=True)
  assert (folder / page.NAME).exists()


def test_what_cannot_be_read_or_written_is_said_once_and_stops_nothing(tmp_path):
  folder, said = folders.write(tmp_path / 'run'), []
  report = fresh.Report(folder, said.append)
  (folder / 'samples' / 'step_000098.jsonl').write_text('damaged\n')
  report.refresh(always=True)
  report.refresh(always=True)
  (line,) = said
  assert 'no report of' in line and 'step_000098.jsonl:1' in line
  # It is whole again, and so is the report.
  (folder / 'samples' / 'step_000098.jsonl').write_text(json.dumps(folders.samples()[0]) + '\n')
  report.refresh(always=True)
  assert (folder / page.NAME).exists() and len(said) == 1
