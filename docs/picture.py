"""Draws the README's picture from a finished run: python docs/picture.py RUN [--output=FILE.png].

Two panels: accuracy and format with the held-out results before and after, and length; below them
what both say to the first held-out question that the base answers wrong at once.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import textwrap

from matplotlib import figure

from r1jax import files
from r1jax.data.tasks import tiny_world
from r1jax.evaluation import heldout
from r1jax.rewards import service

FOLDER = pathlib.Path(__file__).resolve().parent
BLUE, ORANGE, GREY = '#1f5fa8', '#c8641e', '0.45'
_TRIED = 32  # held-out questions asked until the base answers one wrong at once


def course(rows, name):
  """(updates, values) of a metric where rows of `files.read_rows` have it."""
  found = [(row['step'], row[name]) for row in rows if row.get(name) is not None]
  return [step for step, _ in found], [value for _, value in found]


def shares(axis, rows, summary):
  """Accuracy and format over the updates; dots are held-out pass@1 with 95 % intervals."""
  for name, label, color in (
    ('reward/format', 'format', ORANGE),
    ('reward/accuracy', 'accuracy', BLUE),
  ):
    steps, values = course(rows, name)
    axis.plot(steps, values, color=color, linewidth=1.6, label=label)
  for step, when in ((0, 'before'), (rows[-1]['step'], 'after')):
    mean, (low, high) = summary[when]['pass@1'], summary[when]['ci95']
    bars = [[mean - low], [high - mean]]
    label = 'accuracy, held-out questions' if step else None
    style = dict(fmt='o', color=BLUE, capsize=3, clip_on=False, label=label)
    axis.errorbar([step], [mean], yerr=bars, **style)
  axis.legend(loc='lower right', frameon=False, fontsize=8)
  axis.set_ylim(0, 1.02)
  axis.set_title('Share of replies', loc='left', fontsize=10)


def lengths(axis, rows):
  """Mean tokens per reply over the updates."""
  axis.plot(*course(rows, 'rollout/length'), color=BLUE, linewidth=1.6)
  axis.set_ylim(bottom=0)
  axis.set_title('Tokens per reply', loc='left', fontsize=10)


def ask(checkpoint, question):
  """What a model replies, as `r1jax.chat` prints it."""
  command = [sys.executable, '-m', 'r1jax.chat', f'--checkpoint={checkpoint}']
  command += [f'--prompt={question}', '--max_tokens=96', '--seed=0']
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  return ' '.join(done.stdout.split())


def transcript(run):
  """(question, the base's reply, that of the run's model); the first answered wrong at once."""
  base = json.loads((run / 'config.json').read_text())['checkpoint']
  world = tiny_world.WorldConfig(levels=(1, 3))
  for problem in tiny_world.World(0, _TRIED, world, tiny_world.HELDOUT):
    before = ask(base, problem.question)
    right = service.judge(before, problem.answer).score
    if not right and not heldout.worked(before):
      return problem.question, before, ask(run, problem.question)
  raise ValueError(f'the base answers none of {_TRIED} questions wrong at once')


def draw(run):
  """The picture, a matplotlib Figure."""
  rows = files.read_rows(run / 'metrics.jsonl')
  summary = json.loads((run / 'summary.json').read_text())
  drawing = figure.Figure(figsize=(8.4, 4.4))
  axes = drawing.subplots(1, 2)
  drawing.subplots_adjust(left=0.06, right=0.98, top=0.92, bottom=0.45, wspace=0.16)
  shares(axes[0], rows, summary)
  lengths(axes[1], rows)
  for axis in axes:
    axis.spines[['top', 'right']].set_visible(False)
    axis.grid(axis='y', color='0.9')
    axis.set_xlabel('policy updates', fontsize=9)
    axis.tick_params(labelsize=8)
  question, before, after = transcript(run)
  text = dict(family='monospace', fontsize=8.5, va='top', linespacing=1.4)
  said = (('question', question, '0.1'), ('base', before, ORANGE), ('after RL', after, BLUE))
  place = 0.29
  for who, words, color in said:
    lines = textwrap.wrap(words, 94)
    drawing.text(0.03, place, who, color=GREY, **text)
    drawing.text(0.13, place, '\n'.join(lines), color=color, **text)
    place -= 0.045 * len(lines) + 0.035
  return drawing


def main():
  """Draws the picture of a run's folder."""
  flags = argparse.ArgumentParser(description=__doc__.split('\n')[0])
  flags.add_argument('run', type=pathlib.Path)
  flags.add_argument('--output', type=pathlib.Path, default=FOLDER / 'pictures' / 'r1_zero.png')
  given = flags.parse_args()
  given.output.parent.mkdir(parents=True, exist_ok=True)
  draw(given.run).savefig(given.output, dpi=150)


if __name__ == '__main__':
  main()
